// Metrics of problems with any number of labels a row.
import { binaryCrossEntropy, isAboveThreshold, isPositive, type Calibration } from '../probabilities.js';
import { checkLengths, undefinedMetrics, type MetricAccumulator, type MetricDetails } from './accumulator.js';
import { averagedScoreNames, averagedScores, ClassCounts } from './class-counts.js';
import { averagePrecision, RankedScores, rankingNames } from './ranked-scores.js';

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
