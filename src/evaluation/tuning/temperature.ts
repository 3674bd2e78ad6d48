// Temperature scaling (Guo et al. 2017): the one number that logits are divided by so that the negative log-likelihood
// of the validation labels is smallest.
import { binaryCrossEntropy, sigmoid } from '../probabilities.js';

/** Logits and labels of all rows: class ids [rows] (-100: none), or zeros and ones [rows * width]. */
export interface LabelledLogits {
  /** [rows * width] */
  logits: Float32Array;
  labels: Int32Array | Float32Array;
  width: number;
}

/** Where the minimum is looked for: temperatures from 1/10,000 to 10,000. */
const LIMIT = 10_000;
const PRECISION = 1e-12;
const MOST_STEPS = 200;

/**
 * The loss is convex in 1 / temperature, so that Newton's method finds the minimum; a step that leaves the bracket is
 * replaced by halving the bracket.
 *
 * @returns undefined where there is no minimum: every row is right, or the logits tell nothing of the labels
 */
export function bestTemperature(data: LabelledLogits): number | undefined {
  let [low, high] = [1 / LIMIT, LIMIT];
  const isMinimumBetween = derivatives(data, low).slope < 0 && derivatives(data, high).slope > 0;
  if (!isMinimumBetween) return undefined;
  let scale = 1;
  for (let i = 0; i < MOST_STEPS; i++) {
    const { slope, curvature } = derivatives(data, scale);
    if (slope > 0) high = scale;
    else low = scale;
    const newton = scale - slope / curvature;
    const next = newton > low && newton < high ? newton : Math.sqrt(low * high);
    const isDone = Math.abs(next - scale) <= PRECISION * scale;
    scale = next;
    if (isDone) break;
  }
  return 1 / scale;
}

/** Mean negative log-likelihood of a label when logits are divided by the temperature. */
export function meanLoss(data: LabelledLogits, temperature: number): number {
  const { loss, count } = derivatives(data, 1 / temperature);
  return loss / count;
}

/** Loss and its first two derivatives by the factor of the logits, summed, and the number of losses. */
interface Derivatives {
  loss: number;
  slope: number;
  curvature: number;
  count: number;
}

function derivatives(data: LabelledLogits, scale: number): Derivatives {
  return data.labels instanceof Int32Array
    ? ofClasses(data.logits, data.labels, data.width, scale)
    : ofFlags(data.logits, data.labels, scale);
}

/** Cross-entropy: the slope is the expected minus the right logit, the curvature the variance of the logits. */
function ofClasses(logits: Float32Array, labels: Int32Array, width: number, scale: number): Derivatives {
  const sums = { loss: 0, slope: 0, curvature: 0, count: 0 };
  for (const [row, label] of labels.entries()) {
    if (label < 0) continue;
    const own = logits.subarray(row * width, (row + 1) * width);
    const top = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    // Moments of the distances from the largest logit, which keeps exp from overflowing and the variance exact.
    let [total, first, second] = [0, 0, 0];
    for (const logit of own) {
      const distance = logit - top;
      const weight = Math.exp(scale * distance);
      total += weight;
      first += weight * distance;
      second += weight * distance * distance;
    }
    const right = (own[label] ?? Number.NaN) - top;
    const mean = first / total;
    sums.loss += Math.log(total) - scale * right;
    sums.slope += mean - right;
    sums.curvature += second / total - mean * mean;
    sums.count += 1;
  }
  return sums;
}

/** Binary cross-entropy of each logit. */
function ofFlags(logits: Float32Array, flags: Float32Array, scale: number): Derivatives {
  const sums = { loss: 0, slope: 0, curvature: 0, count: logits.length };
  for (const [i, logit] of logits.entries()) {
    const scaled = scale * logit;
    const flag = flags[i] ?? 0;
    const probability = sigmoid(scaled);
    sums.loss += binaryCrossEntropy(scaled, flag);
    sums.slope += (probability - flag) * logit;
    sums.curvature += probability * (1 - probability) * logit * logit;
  }
  return sums;
}
