// From logits to probabilities: softmax and sigmoid without overflow, thresholds, and what is tuned for them.
import { RunError } from '../util/errors.js';

/**
 * How logits become probabilities and labels, where that is not by a temperature of 1 and thresholds of one half.
 *
 * @example
 * ```ts
 * import { predictionOf, type Calibration } from 'bertune';
 *
 * const calibration: Calibration = { thresholds: [0.5, 0.2] };
 * const task = { problemType: 'multi_label_classification', labels: ['film', 'music'] } as const;
 * console.log(predictionOf([2, -1], task, calibration).label); // ['film', 'music']
 * ```
 */
export interface Calibration {
  /** Probabilities are those of the logits divided by it; it changes no label. */
  readonly temperature?: number;
  /** By label id: a label is predicted when its probability before the temperature, `sigmoid(logit)`, is above. */
  readonly thresholds?: readonly number[];
}

/** The probability above which a multi-label model predicts a label, unless another was tuned. */
export const DEFAULT_THRESHOLD = 0.5;

/** @throws RunError for a row of logits from which no prediction follows */
export function requireFinite(logits: ArrayLike<number>): void {
  if (Array.from(logits).every(Number.isFinite)) return;
  throw new RunError(
    'The model gives logits that are not finite (NaN or infinite), so there is nothing to predict: its weights are damaged; use another checkpoint',
  );
}

/** Numerically safe softmax of a row of logits, in float64. */
export function softmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** 1 / (1 + exp(-x)) */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Whether a multi-label model predicts the label of a logit: strictly above its threshold. */
export function isAboveThreshold(logit: number, threshold = DEFAULT_THRESHOLD): boolean {
  // Near one half sigmoid rounds; the sign of the logit does not.
  return threshold === DEFAULT_THRESHOLD ? logit > 0 : sigmoid(logit) > threshold;
}

/** Binary cross-entropy of one logit, in float64 and in the form that cannot overflow. */
export function binaryCrossEntropy(logit: number, target: number): number {
  return Math.max(logit, 0) - logit * target + Math.log1p(Math.exp(-Math.abs(logit)));
}

/**
 * Whether a target counts as having the label: a soft one is on the side that it is nearer to, as a probability is.
 * Everything that counts labels asks here.
 */
export function isPositive(target: number): boolean {
  return target > 0.5;
}

/** The position of the largest value: the first of them where several are. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

/** What metrics read from a row of class logits, in one pass over its powers and in float64. */
export interface SoftmaxRow {
  /** The class with the highest logit: the first of them where several are. */
  guess: number;
  /** The softmax probability of the guess. */
  confidence: number;
  /** The log of the sum of the powers: less the logit of the label it is the cross-entropy. */
  logSum: number;
  /**
   * `log(p / (1 - p))` of each class: the logit less the `logSum` of the others. They rank rows as the softmax
   * probabilities do, but do not run together near 0 and 1, where a float32 cannot tell probabilities apart.
   */
  logOdds: Float64Array;
}

export function softmaxRow(logits: Float32Array | Float64Array): SoftmaxRow {
  const guess = indexOfLargest(logits);
  const top = logits[guess] ?? Number.NaN;
  const powers = new Float64Array(logits).map((logit) => Math.exp(logit - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  const logOdds = powers.map((power, id) => (logits[id] ?? Number.NaN) - (top + Math.log(sum - power)));
  // The sum less the power of the guess may have lost everything to rounding, so that one is summed separately.
  logOdds[guess] = top - logSumOfOthers(logits, guess);
  return { guess, confidence: 1 / sum, logSum: top + Math.log(sum), logOdds };
}

function logSumOfOthers(logits: ArrayLike<number>, except: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (i !== except) top = Math.max(top, logits[i] ?? Number.NaN);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) if (i !== except) sum += Math.exp((logits[i] ?? Number.NaN) - top);
  return top + Math.log(sum);
}
