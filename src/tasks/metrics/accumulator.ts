// What the metrics of all tasks have in common, and how those that a calibration changes stand beside the plain ones.
import type { Calibration } from '../probabilities.js';
import { averagedScoreNames, type ClassScores } from './class-counts.js';

/**
 * Takes the batches of an evaluation, in any order and cut.
 *
 * @example
 * ```ts
 * import { taskOf, type MetricAccumulator } from 'bertune';
 *
 * const metrics: MetricAccumulator = taskOf('regression', ['LABEL_0']).accumulator({});
 * metrics.add(Float32Array.of(1, 2, 4), Float32Array.of(1, 2, 3), 3);
 * const { mae, pearson } = metrics.result();
 * ```
 */
export interface MetricAccumulator {
  /**
   * @param logits [rows * numLabels]
   * @param labels class ids [rows] (-100: a row without label), or [rows * numLabels] of 0 and 1, of probabilities, or
   *   of values to predict
   * @param bounds of a task whose rows are tokens, where each text begins and the last ends, [texts + 1]
   * @throws RangeError for arrays that do not fit the number of rows, and for a class that there is not
   */
  add(
    logits: Float32Array,
    labels: Int32Array | Float32Array,
    rows: number,
    bounds?: ArrayLike<number>,
  ): void;
  /**
   * The metrics of all rows so far. A metric that is not defined for them (a correlation with a constant, anything of
   * no rows) is NaN, as in scikit-learn and scipy; JSON.stringify writes it as null.
   */
  result(): Record<string, number>;
  /** What is more than a number: the figures of every class, or type of entity. Null for regression. */
  details(): MetricDetails | null;
}

/**
 * What an evaluation knows beyond single numbers.
 *
 * @example
 * ```ts
 * import { createMetrics, type MetricDetails } from 'bertune';
 *
 * const metrics = createMetrics({ problemType: 'single_label_classification', labels: ['neg', 'pos'] });
 * metrics.add(Float32Array.of(2, -1), Int32Array.of(0), 1);
 * const details: MetricDetails | null = metrics.details();
 * console.log(details?.per_class['neg']?.f1);
 * ```
 */
export interface MetricDetails {
  /** By label, or type of entity. `support`: the rows that have the label, or the entities. */
  per_class: Record<string, ClassScores & { support: number }>;
  /** How often each label was taken for each other one: `[label][prediction]`, without zeros. With one label a row. */
  confusion_matrix?: Record<string, Record<string, number>>;
  /** `per_class` with the thresholds that were tuned, where there are any. */
  tuned_per_class?: MetricDetails['per_class'];
}

/** The metrics of no rows. */
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

/** What thresholds change: everything that looks at the predicted labels, and not at probabilities or ranks. */
const OF_THRESHOLDS = ['subset_accuracy', 'hamming_loss', ...averagedScoreNames];
/** What a temperature changes: everything that looks at probabilities, and not at labels or ranks. */
const OF_TEMPERATURE = ['loss', 'expected_calibration_error'];

/** The metrics that a calibration changes. */
export function tunedNames({ temperature, thresholds }: Calibration): string[] {
  return [
    ...(temperature === undefined ? [] : OF_TEMPERATURE),
    ...(thresholds === undefined ? [] : OF_THRESHOLDS),
  ];
}

/** Adds to the plain metrics those that the calibration changes, as `tuned_loss`, `tuned_f1_macro` ..., and in `details()` tuned_per_class. */
export class WithTunedMetrics implements MetricAccumulator {
  constructor(
    private readonly calibration: Calibration,
    private readonly plain: MetricAccumulator,
    private readonly tuned: MetricAccumulator,
  ) {}

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    this.plain.add(logits, labels, rows);
    this.tuned.add(logits, labels, rows);
  }

  result(): Record<string, number> {
    const tuned = this.tuned.result();
    const changed = tunedNames(this.calibration).flatMap((name) =>
      tuned[name] === undefined ? [] : [[`tuned_${name}`, tuned[name]] as const],
    );
    return { ...this.plain.result(), ...Object.fromEntries(changed) };
  }

  details(): MetricDetails | null {
    const plain = this.plain.details();
    const tuned = this.calibration.thresholds === undefined ? null : this.tuned.details();
    return plain === null || tuned === null ? plain : { ...plain, tuned_per_class: tuned.per_class };
  }
}
