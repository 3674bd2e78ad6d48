// What to begin with on a data set: lengths, batch size, epochs and so on, from its size, its texts and its labels.
import type { Example } from '../data/index.js';
import type { Task } from '../tasks/index.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { LabelReport } from './dataset.js';

/** Limits that are suggested; texts up to one of them cost no more than their own tokens. */
const LIMITS = [64, 128, 256, 512] as const;
/** Of the most frequent label to the rarest; above it accuracy hides how the rare one does. */
export const IMBALANCE = 3;

/** Tokens of the rows that were looked at. */
export interface TokenLengths {
  readonly median: number;
  readonly p99: number;
  readonly longest: number;
  /** Counted by a tokenizer, or estimated from words and characters. */
  readonly isCounted: boolean;
}

/** @param tokenizer of the model; without one the lengths are estimated */
export function tokenLengths(examples: readonly Example[], tokenizer: BertTokenizer | null): TokenLengths {
  const lengths = examples
    .map(({ text, textPair }) =>
      tokenizer === null
        ? estimatedTokens(text) + (textPair === undefined ? 2 : 3 + estimatedTokens(textPair))
        : tokenizer.encode(text, textPair).ids.length,
    )
    .toSorted((a, b) => a - b);
  const at = (share: number): number => lengths[Math.max(Math.ceil(share * lengths.length) - 1, 0)] ?? 0;
  return { median: at(0.5), p99: at(0.99), longest: at(1), isCounted: tokenizer !== null };
}

/**
 * Word pieces of a text, from above: a third of a word's letters, at least one a word; a sign or an ideograph each, as BERT
 * cuts them.
 */
function estimatedTokens(text: string): number {
  let tokens = 0;
  for (const [piece] of text.matchAll(/\p{Ideographic}|[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]/gu))
    tokens += Math.max(1, Math.ceil(piece.length / 6));
  return tokens;
}

/** The share of letters that English does not have. */
export function foreignLetters(examples: readonly Example[]): number {
  let [letters, foreign] = [0, 0];
  for (const { text } of examples) {
    letters += text.match(/\p{L}/gu)?.length ?? 0;
    foreign += text.match(/[^\P{L}A-Za-z]/gu)?.length ?? 0;
  }
  return letters === 0 ? 0 : foreign / letters;
}

/** What a training could begin with. */
export interface Suggestion {
  maxSeqLength: number;
  batchSize: number;
  epochs: number;
  learningRate: number;
  /** For the best checkpoint. */
  metric: string;
  /** Of the most frequent to the rarest label; 1 where there are none. */
  imbalance: number;
}

/**
 * Few rows want small batches and more passes, so that there are enough steps. Their evaluations often end with the same
 * accuracy, of which the first counts as the best, however unsure that model is: the loss tells them apart. Of tokens there are
 * more, and F1 of entities moves while the loss of the many O hardly does. The rates are those of the BERT paper (Devlin et al.
 * 2019, appendix A.3).
 *
 * @param rows to train on
 * @param positions most tokens that the model takes
 */
export function suggest(
  rows: number,
  {
    task,
    labels,
    lengths,
    positions,
  }: {
    task: Task;
    labels: LabelReport;
    lengths: TokenLengths;
    positions: number;
  },
): Suggestion {
  const fitting = LIMITS.find((limit) => limit >= lengths.p99) ?? 512;
  // Most tokens are no entity, which is no reason to weight the others.
  const imbalance = task.kind.unit === 'token' ? 1 : imbalanceOf(labels);
  return {
    maxSeqLength: Math.min(fitting, positions),
    batchSize: rows < 2000 ? 8 : rows < 50_000 ? 16 : 32,
    epochs: rows < 500 ? 10 : rows < 5000 ? 5 : rows < 50_000 ? 3 : 2,
    learningRate: rows < 5000 ? 5e-5 : 2e-5,
    metric:
      task.kind.unit === 'token' ? task.kind.mainMetric : rows < 2000 ? 'loss' : metricOf(task, imbalance),
    imbalance,
  };
}

function imbalanceOf(labels: LabelReport): number {
  if (labels.kind === 'numbers') return 1;
  const counts = Object.values(labels.counts);
  return Math.max(...counts) / Math.max(1, Math.min(...counts));
}

function metricOf({ kind }: Task, imbalance: number): string {
  const wanted = imbalance > IMBALANCE ? ['f1_macro', 'f1_micro'] : ['accuracy', 'f1_micro'];
  return wanted.find((name) => kind.metricNames.includes(name)) ?? 'loss';
}
