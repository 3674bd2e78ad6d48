// Metrics of problems with one label a row, and of those with any number of labels.
import {
  indexOfLargest,
  softmaxRow,
  type Calibration,
  type SoftmaxRow,
  binaryCrossEntropy,
  isAboveThreshold,
  isPositive,
} from '../probabilities.js';
import { checkLengths, undefinedMetrics, type MetricAccumulator, type MetricDetails } from './accumulator.js';
import {
  averagedScoreNames,
  averagedScores,
  balancedAccuracy,
  ClassCounts,
  cohenKappa,
  Confusion,
  matthewsCorrelation,
} from './class-counts.js';
import { RankedScores, rankingNames, averagePrecision } from './ranked-scores.js';

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

const BINS = 15;

/**
 * Whether a model with a confidence of 80% is right 80% of the time: Guo et al.'s expected calibration error: in 15 equal bins of confidence, each with its upper edge, the distance
 * between mean confidence and accuracy, weighted by rows. Keeps one number a bin.
 */
class CalibrationError {
  private rows = 0;
  /** What the confidences of the bin are above the hits, in sum. */
  private readonly surplus = new Float64Array(BINS);

  /** @param confidence the probability of the predicted class */
  add(confidence: number, isRight: boolean): void {
    this.rows += 1;
    const bin = Math.min(Math.max(Math.ceil(confidence * BINS) - 1, 0), BINS - 1);
    // A confidence that is NaN has no bin; it shows in the result all the same.
    const at = Number.isNaN(bin) ? 0 : bin;
    this.surplus[at] = (this.surplus[at] ?? 0) + confidence - (isRight ? 1 : 0);
  }

  result(): number {
    return this.surplus.reduce((total, surplus) => total + Math.abs(surplus), 0) / this.rows;
  }
}

/**
 * Keeps the confusion matrix, 15 bins of confidence, and for the ranks 5 bytes a row and class (with two classes 5
 * bytes a row) within the bounds of `RankedScores`.
 *
 * Soft labels, one probability a class, enter the loss as they are: it is their cross-entropy. All other metrics take the
 * most probable class for the label of the row.
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
    const width = labels instanceof Int32Array ? 1 : this.classes;
    checkLengths(logits.length, rows * this.classes, labels.length, rows * width);
    for (let row = 0; row < rows; row++) {
      const own = logits.subarray(row * this.classes, (row + 1) * this.classes);
      if (labels instanceof Int32Array) this.addClass(own, labels[row] ?? -100);
      else this.addSoft(own, labels.subarray(row * width, (row + 1) * width));
    }
  }

  private addClass(logits: Float32Array, label: number): void {
    if (label === -100) return;
    if (!(label in this.labels))
      throw new RangeError(
        `Expected class ids from 0 to ${this.classes - 1}, or -100, but received ${label}`,
      );
    this.addRow(logits, label, ({ logSum }, scaled) => logSum - (scaled[label] ?? Number.NaN));
  }

  private addSoft(logits: Float32Array, probabilities: Float32Array): void {
    this.addRow(logits, indexOfLargest(probabilities), ({ logSum }, scaled) =>
      probabilities.reduce((loss, p, id) => loss + p * (logSum - (scaled[id] ?? Number.NaN)), 0),
    );
  }

  private addRow(
    row: Float32Array,
    label: number,
    lossOf: (softmax: SoftmaxRow, logits: Float64Array) => number,
  ): void {
    const logits = Float64Array.from(row, (logit) => logit / this.temperature);
    const softmax = softmaxRow(logits);
    const { guess, confidence, logOdds } = softmax;
    this.rows += 1;
    this.loss += lossOf(softmax, logits);
    this.confusion.add(label, guess);
    this.calibration.add(confidence, guess === label);
    // Of two classes the second is the positive one, and its ranks are those of both. Of more, each is ranked against the rest.
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

export const multiLabelMetrics = [
  'loss',
  'subset_accuracy',
  'hamming_loss',
  ...averagedScoreNames,
  'label_ranking_average_precision',
  ...rankingNames,
] as const;

/**
 * Keeps three counts a label, and for the ranks 5 bytes a row and label within the bounds of `RankedScores`. A label is
 * predicted when its probability is above one half, or above the threshold that was tuned for it. Soft labels enter the
 * loss as they are; all other metrics take those above one half.
 */
export class MultiLabelMetrics implements MetricAccumulator {
  private rows = 0;
  private loss = 0;
  private exact = 0;
  private wrong = 0;
  private labelRanking = 0;
  private readonly counts: ClassCounts;
  private readonly ranked: RankedScores;
  private readonly width: number;

  constructor(
    private readonly labels: readonly string[],
    private readonly calibration: Calibration = {},
  ) {
    this.width = labels.length;
    this.counts = new ClassCounts(this.width);
    this.ranked = new RankedScores(this.width);
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.width, labels.length, rows * this.width);
    for (let row = 0; row < rows; row++) {
      const [start, end] = [row * this.width, (row + 1) * this.width];
      this.addRow(logits.subarray(start, end), labels.subarray(start, end));
    }
  }

  private addRow(logits: Float32Array, labels: Int32Array | Float32Array): void {
    const { temperature = 1, thresholds } = this.calibration;
    let wrong = 0;
    for (let id = 0; id < this.width; id++) {
      const logit = logits[id] ?? Number.NaN;
      const target = labels[id] ?? 0;
      const isPredicted = isAboveThreshold(logit, thresholds?.[id]);
      const isLabelled = isPositive(target);
      this.loss += binaryCrossEntropy(logit / temperature, target);
      this.counts.add(id, isPredicted, isLabelled);
      this.ranked.push(logit, isLabelled);
      if (isPredicted !== isLabelled) wrong += 1;
    }
    this.rows += 1;
    this.wrong += wrong;
    if (wrong === 0) this.exact += 1;
    this.labelRanking += labelRankingPrecision(logits, labels);
  }

  result(): Record<string, number> {
    if (this.rows === 0) return undefinedMetrics(multiLabelMetrics);
    return {
      loss: this.loss / (this.rows * this.width),
      subset_accuracy: this.exact / this.rows,
      hamming_loss: this.wrong / (this.rows * this.width),
      ...averagedScores(this.counts.tallies),
      label_ranking_average_precision: this.labelRanking / this.rows,
      ...this.ranked.result(),
    };
  }

  details(): MetricDetails {
    return { per_class: this.counts.byLabel(this.labels) };
  }
}

/** The average precision of the labels of one row, ranked by logit; 1 for a row without labels. */
function labelRankingPrecision(logits: Float32Array, labels: Int32Array | Float32Array): number {
  const positives = logits.filter((_, id) => isPositive(labels[id] ?? 0)).toSorted();
  const negatives = logits.filter((_, id) => !isPositive(labels[id] ?? 0)).toSorted();
  return positives.length === 0 ? 1 : averagePrecision(positives, negatives);
}
