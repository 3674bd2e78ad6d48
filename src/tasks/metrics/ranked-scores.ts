// Metrics of the order of the rows by score: ROC-AUC and average precision, equal to scikit-learn, ties included.
import { GrowingArray } from '../../util/growing-array.js';

/** The metrics of `RankedScores`. */
export const rankingNames = ['roc_auc', 'average_precision'] as const;

/** Scores that are kept at most: 320 MiB. */
const MOST_SCORES = 2 ** 26;

/**
 * Ranks the rows by each of `columns` scores. Exact ranks need all of them: 5 bytes a row and column are kept. Beyond
 * 67 million scores they are dropped and the metrics are not defined.
 */
export class RankedScores {
  private scores = new GrowingArray(Float32Array);
  private positives = new GrowingArray(Uint8Array);
  private isFull = false;

  constructor(
    private readonly columns: number,
    private readonly most = MOST_SCORES,
  ) {}

  /** The scores come row after row. @param isPositive whether the row has the label of the column */
  push(score: number, isPositive: boolean): void {
    if (this.isFull) return;
    if (this.scores.length === this.most) {
      this.isFull = true;
      this.scores = new GrowingArray(Float32Array);
      this.positives = new GrowingArray(Uint8Array);
      return;
    }
    this.scores.push(score);
    this.positives.push(isPositive ? 1 : 0);
  }

  /** The plain mean over the columns, so that a ROC-AUC that is not defined makes the mean so. */
  result(): Record<string, number> {
    if (this.scores.length === 0) return { roc_auc: Number.NaN, average_precision: Number.NaN };
    const means = { roc_auc: 0, average_precision: 0 };
    for (let column = 0; column < this.columns; column++) {
      const { positives, negatives } = this.sorted(column);
      means.roc_auc += rocAuc(positives, negatives) / this.columns;
      means.average_precision += averagePrecision(positives, negatives) / this.columns;
    }
    return means;
  }

  /** The scores of a column's positive and negative rows, ascending; NaN last. */
  private sorted(column: number): { positives: Float32Array; negatives: Float32Array } {
    const sides = new Float32Array(this.scores.length / this.columns);
    let found = 0;
    for (let row = 0; row < sides.length; row++) {
      const at = row * this.columns + column;
      const place = this.positives.at(at) === 1 ? found++ : sides.length - 1 - (row - found);
      sides[place] = this.scores.at(at);
    }
    return { positives: sides.subarray(0, found).toSorted(), negatives: sides.subarray(found).toSorted() };
  }
}

/**
 * The share of pairs of a positive and a negative row in which the positive one scores higher, a tie being half a pair.
 * NaN without positives or without negatives, or where a score is NaN. Both sides ascend.
 */
export function rocAuc(positives: Float32Array, negatives: Float32Array): number {
  if (endsInNaN(positives) || endsInNaN(negatives)) return Number.NaN;
  let below = 0;
  let notAbove = 0;
  let wins = 0;
  for (const score of positives) {
    while (below < negatives.length && (negatives[below] ?? 0) < score) below++;
    while (notAbove < negatives.length && (negatives[notAbove] ?? 0) <= score) notAbove++;
    wins += (below + notAbove) / 2;
  }
  return wins / (positives.length * negatives.length);
}

/**
 * The precision at each score that a positive row has, weighted by the positive rows that have it. 0 without positives,
 * NaN where a score is NaN. Both sides ascend.
 */
export function averagePrecision(positives: Float32Array, negatives: Float32Array): number {
  if (endsInNaN(positives) || endsInNaN(negatives)) return Number.NaN;
  let total = 0;
  let wrong = 0;
  for (let found = 0; found < positives.length;) {
    const score = positives.at(-1 - found) ?? 0;
    const before = found;
    while (found < positives.length && positives.at(-1 - found) === score) found++;
    while (wrong < negatives.length && (negatives.at(-1 - wrong) ?? 0) >= score) wrong++;
    total += ((found - before) * found) / (found + wrong);
  }
  return positives.length === 0 ? 0 : total / positives.length;
}

function endsInNaN(ascending: Float32Array): boolean {
  return Number.isNaN(ascending.at(-1) ?? 0);
}
