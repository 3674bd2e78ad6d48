// From logits to what a person reads: probabilities, the winning label, its score.
import type { Task } from '../data/index.js';
import type { Calibration } from '../formats/calibration.js';

/** The probability above which a multi-label model gives a label, unless another was tuned. */
export const DEFAULT_THRESHOLD = 0.5;

/** One text's prediction. */
export interface Prediction {
  /** The most probable class; for multi-label all labels above their thresholds; for regression the value, or all of them. */
  label: string | string[] | number | number[];
  /** Probability of `label`; for multi-label the highest one; for regression the value. */
  score: number;
  /** By label name: softmax (they add up to 1) or sigmoid (each for itself). Empty for regression. */
  probabilities: Record<string, number>;
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

/** Whether a multi-label model gives the label of a logit: at its threshold as it is without one, it does not. */
export function isAboveThreshold(logit: number, threshold = DEFAULT_THRESHOLD): boolean {
  // Near one half sigmoid rounds; the sign of the logit does not.
  return threshold === DEFAULT_THRESHOLD ? logit > 0 : sigmoid(logit) > threshold;
}

/** Binary cross-entropy of one logit, in float64 and in the form that cannot overflow. */
export function binaryCrossEntropy(logit: number, target: number): number {
  return Math.max(logit, 0) - logit * target + Math.log1p(Math.exp(-Math.abs(logit)));
}

/**
 * Explains one row of logits.
 *
 * @param logits [numLabels]
 * @param calibration what was tuned for the model. The temperature moves probabilities, never the label.
 */
export function predictionOf(
  logits: ArrayLike<number>,
  task: Task,
  { temperature = 1, thresholds }: Calibration = {},
): Prediction {
  const values = Array.from(logits);
  if (task.problemType === 'regression') {
    const [value = Number.NaN] = values;
    return { label: values.length === 1 ? value : values, score: value, probabilities: {} };
  }
  const isMultiLabel = task.problemType === 'multi_label_classification';
  const scaled = values.map((value) => value / temperature);
  const probable = isMultiLabel ? scaled.map(sigmoid) : softmax(scaled);
  const probabilities = Object.fromEntries(task.labels.map((label, id) => [label, probable[id] ?? 0]));
  const isGiven = (_label: string, id: number): boolean =>
    isAboveThreshold(values[id] ?? 0, thresholds?.[id]);
  const best = task.labels[values.indexOf(Math.max(...values))] ?? '';
  const label = isMultiLabel ? task.labels.filter(isGiven) : best;
  return { label, score: Math.max(...probable), probabilities };
}
