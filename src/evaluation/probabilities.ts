// From logits to what a person reads: probabilities, the winning label, its score.
import type { Task } from '../data/index.js';

/** One text's prediction. */
export interface Prediction {
  /** The most probable class; for multi-label all labels above one half; for regression the value, or all of them. */
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

/**
 * Explains one row of logits.
 *
 * @param logits [numLabels]
 */
export function predictionOf(logits: ArrayLike<number>, task: Task): Prediction {
  if (task.problemType === 'regression') {
    const values = Array.from(logits);
    const [value = Number.NaN] = values;
    return { label: values.length === 1 ? value : values, score: value, probabilities: {} };
  }
  const isMultiLabel = task.problemType === 'multi_label_classification';
  const values = isMultiLabel ? Array.from(logits, sigmoid) : softmax(logits);
  const probabilities = Object.fromEntries(task.labels.map((label, id) => [label, values[id] ?? 0]));
  const score = Math.max(...values);
  const best = task.labels[values.indexOf(score)] ?? '';
  const label = isMultiLabel ? task.labels.filter((_, id) => (values[id] ?? 0) > 0.5) : best;
  return { label, score, probabilities };
}
