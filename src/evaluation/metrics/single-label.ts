// Metrics of problems with one label a row.
import type { Calibration } from '../../formats/calibration.js';
import { checkLengths, undefinedMetrics, type MetricAccumulator, type MetricDetails } from './accumulator.js';
import { CalibrationError } from './calibration.js';
import {
  averagedScoreNames,
  averagedScores,
  balancedAccuracy,
  ClassCounts,
  cohenKappa,
  matthewsCorrelation,
} from './class-counts.js';
import { Confusion } from './confusion.js';
import { RankedScores, rankingNames } from './ranked-scores.js';
import { softmaxRow } from './softmax-row.js';

export const singleLabelMetrics = [
  'loss',
  'accuracy',
  'balanced_accuracy',
  ...averagedScoreNames,
  'matthews_correlation',
  'cohen_kappa',
  ...rankingNames,
  'expected_calibration_error',
] as const;

/**
 * Keeps the confusion matrix, 15 bins of confidence, and for the ranks 5 bytes a row and class (with two classes 5
 * bytes a row) within the bounds of `RankedScores`.
 */
export class SingleLabelMetrics implements MetricAccumulator {
  private rows = 0;
  private loss = 0;
  private readonly confusion: Confusion;
  private readonly calibration = new CalibrationError();
  private readonly ranked: RankedScores;
  private readonly classes: number;
  private readonly temperature: number;

  /** @param options.temperature what logits are divided by; it changes no guess */
  constructor(
    private readonly labels: readonly string[],
    { temperature = 1 }: Calibration = {},
  ) {
    this.temperature = temperature;
    this.classes = labels.length;
    this.confusion = new Confusion(this.classes);
    this.ranked = new RankedScores(this.classes === 2 ? 1 : this.classes);
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.classes, labels.length, rows);
    for (let row = 0; row < rows; row++) {
      const label = labels[row] ?? -100;
      if (label === -100) continue;
      if (!(label in this.labels))
        throw new RangeError(
          `Expected class ids from 0 to ${this.classes - 1}, or -100, but received ${label}`,
        );
      this.addRow(logits.subarray(row * this.classes, (row + 1) * this.classes), label);
    }
  }

  private addRow(row: Float32Array, label: number): void {
    const logits = Float64Array.from(row, (logit) => logit / this.temperature);
    const { guess, confidence, logSum, logOdds } = softmaxRow(logits);
    this.rows += 1;
    this.loss += logSum - (logits[label] ?? Number.NaN);
    this.confusion.add(label, guess);
    this.calibration.add(confidence, guess === label);
    // Of two classes the second is the positive one, and its ranks say all. Of more, each is ranked against the rest.
    if (this.classes === 2) this.ranked.push(logOdds[1] ?? Number.NaN, label === 1);
    else for (let id = 0; id < this.classes; id++) this.ranked.push(logOdds[id] ?? Number.NaN, id === label);
  }

  result(): Record<string, number> {
    if (this.rows === 0) return undefinedMetrics(singleLabelMetrics);
    // As in scikit-learn, a class that was neither labelled nor predicted does not count in a mean.
    const tallies = this.counts().tallies.filter(({ labelled, predicted }) => labelled + predicted > 0);
    return {
      loss: this.loss / this.rows,
      accuracy: tallies.reduce((hits, tally) => hits + tally.hits, 0) / this.rows,
      balanced_accuracy: balancedAccuracy(tallies),
      ...averagedScores(tallies),
      matthews_correlation: matthewsCorrelation(tallies),
      cohen_kappa: cohenKappa(tallies),
      ...this.ranked.result(),
      expected_calibration_error: this.calibration.result(),
    };
  }

  details(): MetricDetails {
    return {
      per_class: this.counts().byLabel(this.labels),
      confusion_matrix: this.confusion.toObject(this.labels),
    };
  }

  private counts(): ClassCounts {
    const counts = new ClassCounts(this.classes);
    for (const { label, guess, rows } of this.confusion.entries()) {
      if (label === guess) counts.add(label, true, true, rows);
      else {
        counts.add(label, false, true, rows);
        counts.add(guess, true, false, rows);
      }
    }
    return counts;
  }
}
