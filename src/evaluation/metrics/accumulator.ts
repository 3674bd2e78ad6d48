// What the metrics of the three kinds of problems have in common.
import type { ClassScores } from './class-counts.js';

/** Takes the batches of an evaluation, in any order and cut. */
export interface MetricAccumulator {
  /**
   * @param logits [rows * numLabels]
   * @param labels class ids [rows] (-100: a row without label), or [rows * numLabels] of 0 and 1, or of targets
   * @throws RangeError for arrays that do not fit the number of rows, and for a class that there is not
   */
  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void;
  /**
   * The metrics of all rows so far. A metric that is not defined for them (a correlation with a constant, anything of
   * no rows) is NaN, as in scikit-learn and scipy; JSON.stringify writes it as null.
   */
  result(): Record<string, number>;
  /** What is more than a number: the figures of every class. Null for regression. */
  details(): MetricDetails | null;
}

export interface MetricDetails {
  /** By label. `support`: the rows that have the label. */
  per_class: Record<string, ClassScores & { support: number }>;
  /** How often each label was taken for each other one: `[label][prediction]`, without zeros. With one label a row. */
  confusion_matrix?: Record<string, Record<string, number>>;
  /** `per_class` with the thresholds that were tuned, where there are any. */
  tuned_per_class?: MetricDetails['per_class'];
}

/** What there is to say of no rows. */
export function undefinedMetrics(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, Number.NaN]));
}

/** @throws RangeError for arrays of other lengths than the number of rows implies */
export function checkLengths(
  logits: number,
  expectedLogits: number,
  labels: number,
  expectedLabels: number,
): void {
  if (logits === expectedLogits && labels === expectedLabels) return;
  throw new RangeError(
    `Expected ${expectedLogits} logits and ${expectedLabels} labels but received ${logits} and ${labels}`,
  );
}
