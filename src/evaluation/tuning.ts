// What can be tuned on validation rows after training: the thresholds above which labels are predicted, and the
// temperature of the probabilities.
import type { LossKind } from '../native/spec.js';
import {
  binaryCrossEntropy,
  DEFAULT_THRESHOLD,
  isPositive,
  sigmoid,
  type Calibration,
  type Targets,
} from '../tasks/index.js';

/** Logits and labels of all rows. */
export interface LabelledLogits {
  /** [rows * width] */
  logits: Float32Array;
  /** Class ids [rows] (-100: none), or probabilities [rows * width]. */
  labels: Targets;
  width: number;
  /** Of the model's task. */
  loss: LossKind;
}

export const thresholdModes = ['global', 'per_label'] as const;
/** One threshold for all labels, for the highest micro F1; or one for each, for the highest F1 of that label. */
export type ThresholdMode = (typeof thresholdModes)[number];

/** Thresholds by label id, and the micro F1 over all labels with one half and with them. */
export interface TunedThresholds extends Required<Pick<Calibration, 'thresholds'>> {
  before: number;
  after: number;
}

/** @param data of a multi-label task; a soft label counts as given above one half, as in its metrics */
export function tuneThresholds(
  { logits, labels, width }: LabelledLogits,
  mode: ThresholdMode,
): TunedThresholds {
  const all = {
    probabilities: Float64Array.from(logits, sigmoid),
    isTrue: Uint8Array.from(labels, (label) => (isPositive(label) ? 1 : 0)),
  };
  const before = f1At(DEFAULT_THRESHOLD, all.probabilities, all.isTrue);
  if (mode === 'global') {
    const { threshold, f1 } = bestThreshold(all.probabilities, all.isTrue);
    return { thresholds: Array.from({ length: width }, () => threshold), before, after: f1 };
  }
  const thresholds = Array.from({ length: width }, (_, label) => {
    const own = Uint32Array.from({ length: logits.length / width }, (_one, row) => row * width + label);
    const probabilities = Float64Array.from(own, (i) => all.probabilities[i] ?? 0);
    return bestThreshold(
      probabilities,
      Uint8Array.from(own, (i) => all.isTrue[i] ?? 0),
    ).threshold;
  });
  // Micro F1 of different thresholds is that of one, of what lies above it.
  const margins = all.probabilities.map((value, i) => value - (thresholds[i % width] ?? DEFAULT_THRESHOLD));
  return { thresholds, before, after: f1At(0, margins, all.isTrue) };
}

/** A threshold, and the F1 that it has on the rows it was chosen on. */
export interface ChosenThreshold {
  threshold: number;
  f1: number;
}

/**
 * Tries each cut between neighbouring probabilities: halfway between the two, or halfway to 0 below the smallest. Of
 * several with the same F1 the lowest is taken; a label that no row has keeps one half.
 *
 * @param probabilities [n]
 * @param isTrue [n], 1 where the label is right
 */
function bestThreshold(probabilities: Float64Array, isTrue: Uint8Array): ChosenThreshold {
  const positives = isTrue.reduce((sum, one) => sum + one, 0);
  const order = Uint32Array.from(probabilities, (_, i) => i).toSorted(
    (a, b) => (probabilities[a] ?? 0) - (probabilities[b] ?? 0),
  );
  let best: ChosenThreshold = { threshold: DEFAULT_THRESHOLD, f1: 0 };
  let given = probabilities.length;
  let hits = positives;
  let below = 0;
  for (const i of order) {
    const above = probabilities[i] ?? 0;
    // Equal probabilities stand on the same side of every cut.
    if (above > below) {
      const f1 = (2 * hits) / (given + positives);
      if (f1 > best.f1) best = { threshold: between(below, above), f1 };
    }
    below = above;
    given -= 1;
    hits -= isTrue[i] ?? 0;
  }
  return best;
}

/** F1 of the labels that a threshold gives; 0 where there are none, right or given. */
function f1At(threshold: number, probabilities: Float64Array, isTrue: Uint8Array): number {
  let [hits, given, positives] = [0, 0, 0];
  for (let i = 0; i < isTrue.length; i++) {
    const isGiven = (probabilities[i] ?? 0) > threshold ? 1 : 0;
    const truth = isTrue[i] ?? 0;
    hits += isGiven * truth;
    given += isGiven;
    positives += truth;
  }
  return hits === 0 ? 0 : (2 * hits) / (given + positives);
}

/** Halfway, unless rounding takes that to the upper one, which then would not be above. */
function between(below: number, above: number): number {
  const middle = (below + above) / 2;
  return middle < above ? middle : below;
}

/** Where the minimum is looked for: temperatures from 1/10,000 to 10,000. */
const LIMIT = 10_000;
const PRECISION = 1e-12;
const MOST_STEPS = 200;

/**
 * Temperature scaling (Guo et al. 2017): the one number that logits are divided by so that the negative log-likelihood of
 * the validation labels is smallest. The loss is convex in 1 / temperature, so that Newton's method finds the minimum; a step that leaves the bracket is
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

function derivatives({ logits, labels, width, loss }: LabelledLogits, scale: number): Derivatives {
  if (loss === 'binary_cross_entropy') return ofFlags(logits, labels, scale);
  const sums = { loss: 0, slope: 0, curvature: 0, count: 0 };
  for (let row = 0; row < logits.length / width; row++) {
    const own = logits.subarray(row * width, (row + 1) * width);
    const [id = -100] = labels instanceof Int32Array ? labels.subarray(row, row + 1) : [];
    if (labels instanceof Float32Array)
      addRow(sums, own, labels.subarray(row * width, (row + 1) * width), scale);
    else if (id >= 0)
      addRow(
        sums,
        own,
        own.map((_, other) => (other === id ? 1 : 0)),
        scale,
      );
  }
  return sums;
}

/**
 * Cross-entropy against probabilities, of which a class is one of 1: the slope is the mean of the logits by the softmax
 * less their mean by the probabilities, the curvature the variance of the logits by the softmax.
 */
function addRow(sums: Derivatives, logits: Float32Array, probabilities: Float32Array, scale: number): void {
  const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  // Moments of the distances from the largest logit, which keeps exp from overflowing and the variance exact.
  let [total, first, second, wanted, mass] = [0, 0, 0, 0, 0];
  for (const [id, logit] of logits.entries()) {
    const distance = logit - top;
    const weight = Math.exp(scale * distance);
    const probability = probabilities[id] ?? 0;
    total += weight;
    first += weight * distance;
    second += weight * distance * distance;
    wanted += probability * distance;
    mass += probability;
  }
  const mean = first / total;
  sums.loss += mass * Math.log(total) - scale * wanted;
  sums.slope += mass * mean - wanted;
  sums.curvature += mass * (second / total - mean * mean);
  sums.count += 1;
}

/** Binary cross-entropy of each logit. */
function ofFlags(logits: Float32Array, flags: Targets, scale: number): Derivatives {
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
