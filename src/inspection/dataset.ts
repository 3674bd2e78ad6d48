// What `bertune inspect` reports on a data set: lengths in tokens, labels, duplicates, and how fast this machine trains on it.
import type { Dataset } from '../data/dataset.js';
import { countLabels, eachTargets } from '../tasks/index.js';
import { loadBatch } from '../data/batch.js';
import { createTokenAligner } from '../data/token-labels.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { randomNumbers } from '../util/random.js';
import type { TokenizerPool } from '../tokenizer/index.js';

/** Limits that people choose from. */
const LIMITS = [64, 128, 256, 512] as const;

export interface LengthReport {
  /** Tokens of all rows, uncut. */
  total: number;
  mean: number;
  /** By name, e.g. `median`; the nearest-rank value. */
  quantiles: Record<'min' | 'median' | 'p90' | 'p95' | 'p99' | 'max', number>;
  /** The share of the rows that is longer, for each limit. */
  cutAt: Record<string, number>;
}

/**
 * @param lengths tokens of each row, special tokens included
 * @param limit another limit, if requested
 */
export function describeLengths(lengths: Uint16Array, limit?: number): LengthReport {
  const sorted = lengths.toSorted();
  const at = (share: number): number => sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? 0;
  const total = sorted.reduce((sum, length) => sum + length, 0);
  const limits = [...LIMITS, ...(limit === undefined ? [] : [limit])].toSorted((a, b) => a - b);
  const longer = (most: number): number => sorted.length - countUpTo(sorted, most);
  return {
    total,
    mean: total / sorted.length,
    quantiles: { min: at(0), median: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: at(1) },
    cutAt: Object.fromEntries(limits.map((most) => [most, longer(most) / sorted.length])),
  };
}

/** Tokens of all rows when each is cut at a limit. */
export function tokensUpTo(lengths: Uint16Array, limit: number): number {
  return lengths.reduce((sum, length) => sum + Math.min(length, limit), 0);
}

function countUpTo(sorted: Uint16Array, limit: number): number {
  const first = sorted.findIndex((length) => length > limit);
  return first === -1 ? sorted.length : first;
}

export type LabelReport =
  /** `of`: how many labels there are, where rows have one for each token. */
  | { kind: 'counts'; counts: Record<string, number>; withoutLabel: number; of?: number }
  | { kind: 'numbers'; lowest: number; mean: number; highest: number };

export function describeLabels(data: Dataset): LabelReport {
  const { kind, labels: names } = data.task;
  if (!kind.hasClasses) return spread(data);
  const { counts, total, unlabelled } = countLabels(data.task, data);
  return {
    kind: 'counts',
    counts: Object.fromEntries(names.map((name, id) => [name, counts[id] ?? 0])),
    withoutLabel: unlabelled,
    ...(kind.unit === 'token' && { of: total }),
  };
}

function spread(data: Dataset): LabelReport {
  let [lowest, sum, highest] = [Infinity, 0, -Infinity];
  for (const values of eachTargets(data)) {
    for (const value of values) {
      lowest = Math.min(lowest, value);
      highest = Math.max(highest, value);
      sum += value;
    }
  }
  return { kind: 'numbers', lowest, mean: sum / data.size, highest };
}

export interface DuplicateReport {
  /** Rows whose text an earlier row has already. */
  duplicates: number;
  /** Texts that rows give different labels to, and how many rows those are. */
  contradictions: { texts: number; rows: number };
  /** Where two equal rows stand, of those with different labels if there are any. */
  example?: { first: string; second: string };
}

/** Finds equal texts by their hashes, in 4 bytes a row. */
export function findDuplicates(data: Dataset): DuplicateReport {
  const order = Uint32Array.from({ length: data.size }, (_, row) => row).toSorted(
    (a, b) => data.hash(a) - data.hash(b) || a - b,
  );
  const report: DuplicateReport = { duplicates: 0, contradictions: { texts: 0, rows: 0 } };
  let isContradiction = false;
  for (let start = 0; start < order.length;) {
    const hash = data.hash(order[start] ?? 0);
    let end = start + 1;
    while (end < order.length && data.hash(order[end] ?? 0) === hash) end += 1;
    const rows = order.subarray(start, end);
    start = end;
    if (rows.length === 1) continue;
    report.duplicates += rows.length - 1;
    const [first = 0] = rows;
    const other = rows.find((row) => labelsOf(data, row) !== labelsOf(data, first));
    if (other !== undefined) {
      report.contradictions.texts += 1;
      report.contradictions.rows += rows.length;
    }
    if (report.example === undefined || (other !== undefined && !isContradiction))
      report.example = { first: data.place(first), second: data.place(other ?? rows[1] ?? 0) };
    isContradiction ||= other !== undefined;
  }
  return report;
}

function labelsOf(data: Dataset, row: number): string {
  return Array.from(data.labels([row])).join();
}

/** Steps are measured until this much time has gone. */
const SECONDS = 4;

/**
 * Real tokens a second of training steps with batches of that many rows, after one step that is not counted. The pool gives offsets
 * where the model classifies tokens.
 */
export async function measureSpeed(
  model: EncoderModel,
  data: Dataset,
  options: { pool: TokenizerPool; batchSize: number },
): Promise<number> {
  const { pool, batchSize } = options;
  const align = createTokenAligner(model.task, 'first');
  const random = randomNumbers(42);
  let [tokens, began] = [0, 0];
  for (let step = 0; step < 2 || performance.now() - began < 1000 * SECONDS; step++) {
    const rows = Uint32Array.from({ length: Math.min(batchSize, data.size) }, () =>
      Math.floor(random() * data.size),
    );
    const batch = await loadBatch(data, rows, pool, { align });
    await model.session.accumulate(batch, { divisor: rows.length });
    await model.session.update({
      learningRate: 0,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: 1,
    });
    await model.session.stats(); // waits for the device
    if (step === 0) began = performance.now();
    else tokens += batch.inputIds.length;
  }
  return tokens / ((performance.now() - began) / 1000);
}
