// From rows to the packed arrays that the native session takes.
import { maxTokensOf, type ModelConfig } from '../models/config.js';
import type { PackedBatch } from '../native/index.js';
import type { LabelReader, Targets, TaskDescription } from '../tasks/index.js';
import type { BertTokenizer, Encoding, TokenizerPool } from '../tokenizer/index.js';
import { UsageError } from '../util/errors.js';
import type { Example } from './row.js';
import type { TokenAligner } from './token-labels.js';

/**
 * Texts that can be read by row number.
 *
 * @example
 * ```ts
 * import type { TextRows } from 'bertune';
 *
 * const texts = ['a film', 'a plot'];
 * const rows: TextRows = {
 *   size: texts.length,
 *   read: (numbers) => Promise.resolve(Array.from(numbers, (row) => ({ text: texts[row] ?? '' }))),
 * };
 * ```
 */
export interface TextRows {
  readonly size: number;
  /** The given rows in that order: their texts, or, of data with labels, texts and labels together. */
  read(rows: ArrayLike<number>): Promise<readonly Example[] | LabelledExamples>;
}

/**
 * Some rows, read together.
 *
 * @example
 * ```ts
 * import { loadDataset, type LabelledExamples } from 'bertune';
 *
 * const { train } = await loadDataset({ train: 'train.csv' });
 * const { examples, labels }: LabelledExamples = await train.read([0, 1]);
 * ```
 */
export interface LabelledExamples {
  readonly examples: readonly Example[];
  /** As `LabelReader` gives them for the same rows: of tokens those of the words, and `Example.marks` has where these are. */
  readonly labels: Targets;
}

/**
 * Texts with their labels.
 *
 * @example
 * ```ts
 * import type { LabelledRows } from 'bertune';
 *
 * const texts = ['a film', 'a plot'];
 * const ids = Int32Array.of(1, 0);
 * // Rows of a script: texts and labels by number.
 * const rows: LabelledRows = {
 *   size: texts.length,
 *   labels: (numbers) => Int32Array.from(numbers, (row) => ids[row] ?? -100),
 *   read: (numbers) => Promise.resolve(Array.from(numbers, (row) => ({ text: texts[row] ?? '' }))),
 * };
 * ```
 */
export interface LabelledRows extends TextRows {
  /** The labels alone, for what looks at those of all rows; also with the rows, where `read` gives texts only. */
  readonly labels: LabelReader;
  /** Beside probabilities of a teacher: the rows' own labels, as `labels` gives classes. */
  readonly hardLabels?: LabelReader | undefined;
  /** What the labels mean, where it is known. */
  readonly task?: TaskDescription;
  /** Identifies the rows, so that a resumed run can refuse others. */
  identity?(): Promise<DataIdentity>;
  /** Of rows that make their batches themselves, since their labels depend on more than the row. */
  batch?(rows: Uint32Array, at: BatchPlace, pool: TokenizerPool): Promise<PackedBatch>;
  /** Of rows that are no texts and all of one length: their tokens. */
  readonly tokensEach?: number | undefined;
}

/**
 * What a batch is for: a step of a training, with the epoch (from 0) and the share of all steps before it, or an evaluation.
 *
 * @example
 * ```ts
 * import type { BatchPlace } from 'bertune';
 *
 * const places: BatchPlace[] = [{ epoch: 0, progress: 0.25 }, 'evaluation'];
 * ```
 */
export type BatchPlace = { readonly epoch: number; readonly progress: number } | 'evaluation';

/**
 * Identifies rows, so that a resumed run can refuse others.
 *
 * @example
 * ```ts
 * import { loadDataset, type DataIdentity } from 'bertune';
 *
 * const { train } = await loadDataset({ train: 'train.csv' });
 * const identity: DataIdentity = await train.identity();
 * console.log(identity.files); // SHA-256
 * ```
 */
export interface DataIdentity {
  /** A digest of all files. */
  readonly files: string;
  /** A digest of which rows of them were skipped. */
  readonly skipped?: string;
  /** The columns that are read. */
  readonly columns: unknown;
  /** How quotes in the files are read, where there are such that may be. */
  readonly quoting?: string | null;
  /** The encoding that was asked for, of text files. */
  readonly encoding?: string | null;
  /** How labels are read: their kind, and the options that say so. */
  readonly labels?: Readonly<Record<string, unknown>>;
  /** Of a masked language model: how texts become rows and what is masked, by the names of the options. */
  readonly masking?: Readonly<Record<string, unknown>>;
}

/**
 * Lays sequences one after another.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, pack } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const batch = pack(['a film', 'music'].map((text) => tokenizer.encode(text)));
 * console.log(batch.cuSeqlens); // 0, 4, 7
 * ```
 */
export function pack(encodings: readonly Encoding[]): PackedBatch {
  const cuSeqlens = new Int32Array(encodings.length + 1);
  encodings.forEach(({ ids }, i) => (cuSeqlens[i + 1] = (cuSeqlens[i] ?? 0) + ids.length));
  const tokens = cuSeqlens[encodings.length] ?? 0;
  const inputIds = new Int32Array(tokens);
  encodings.forEach(({ ids }, i) => inputIds.set(ids, cuSeqlens[i]));
  if (encodings.every(({ typeIds }) => typeIds === null)) return { inputIds, cuSeqlens };
  const tokenTypeIds = new Int32Array(tokens);
  encodings.forEach(({ typeIds }, i) => typeIds !== null && tokenTypeIds.set(typeIds, cuSeqlens[i]));
  return { inputIds, cuSeqlens, tokenTypeIds };
}

/** How `loadBatch` comes to the labels of a batch, where reading the rows does not give them. */
export interface BatchReading {
  /** For the labels of tokens, which are known only with the tokens. */
  readonly align?: TokenAligner | null;
  /** Whether the rows' own labels come behind the probabilities of each: [rows * 2 * labels]. */
  readonly withHardLabels?: boolean;
  /** What the batch is for, of rows that make their batches themselves. Default: evaluation. */
  readonly at?: BatchPlace;
}

/** Reads, tokenizes and packs the given rows, with labels where the data have them. */
export async function loadBatch(
  data: TextRows | LabelledRows,
  rows: Uint32Array,
  pool: TokenizerPool,
  { align = null, withHardLabels = false, at = 'evaluation' }: BatchReading = {},
): Promise<PackedBatch> {
  if ('batch' in data && data.batch !== undefined) return data.batch(rows, at, pool);
  const { examples, labels } = await readRows(data, rows);
  const encodings = await pool.encode(examples);
  const batch = pack(encodings);
  if (align !== null) return { ...batch, labels: align(examples, encodings) };
  if (labels === undefined) return batch;
  const hard = withHardLabels && 'hardLabels' in data ? data.hardLabels?.(rows) : undefined;
  return { ...batch, labels: hard === undefined ? labels : beside(labels, hard, rows.length) };
}

/** The probabilities of each row and behind them zeros and ones. */
function beside(soft: Targets, hard: Targets, rows: number): Float32Array {
  const width = soft.length / rows;
  const both = new Float32Array(2 * soft.length);
  for (let row = 0; row < rows; row++) {
    const begin = 2 * row * width;
    both.set(soft.subarray(row * width, (row + 1) * width), begin);
    if (hard instanceof Int32Array) both[begin + width + (hard[row] ?? NaN)] = 1;
    else both.set(hard.subarray(row * width, (row + 1) * width), begin + width);
  }
  return both;
}

/**
 * Reads rows with their labels, where the data have them.
 *
 * @throws UsageError when a script's own `read` gives something else than it should
 */
export async function readRows(
  data: TextRows | LabelledRows,
  rows: Uint32Array,
): Promise<Partial<LabelledExamples> & { examples: readonly Example[] }> {
  const read = await data.read(rows);
  const found = isList(read)
    ? { examples: read, ...(isLabelled(data) && { labels: data.labels(rows) }) }
    : read;
  if (Array.isArray(found?.examples) && found.examples.length === rows.length) return found;
  throw new UsageError(
    `read() of the data has to give ${rows.length} examples for as many rows: an array, or { examples, labels }`,
  );
}

function isList(read: readonly Example[] | LabelledExamples): read is readonly Example[] {
  return Array.isArray(read);
}

/** A split has `labels` too, but not as a function of rows. */
function isLabelled(data: TextRows): data is LabelledRows {
  return 'labels' in data && typeof data.labels === 'function';
}

const ROWS_PER_REQUEST = 256;

/**
 * Tokens a text may have, special tokens included: what was requested, else 512 or the model's limit.
 *
 * @param option the name of what was asked for, for the message
 * @throws UsageError when more is asked for than the model has positions
 */
export function maxLengthOf(
  model: { config: ModelConfig },
  tokenizer: BertTokenizer,
  requested: number | undefined,
  option = 'maxSeqLength',
): number {
  const positions = maxTokensOf(model.config);
  if (requested !== undefined && requested > positions)
    throw new UsageError(
      `${option} is ${requested} but the model has ${positions} positions; use at most ${positions}`,
    );
  return requested ?? Math.min(512, positions, tokenizer.modelMaxLength);
}

/**
 * Token counts of all rows, truncated as in training: what group_by_length sorts by. Two bytes a row.
 *
 * @param share of several processes, which each measure some rows: those of others have 0
 */
export async function measureLengths(
  data: TextRows,
  pool: TokenizerPool,
  onProgress: (rows: number) => void,
  { rank, size }: { rank: number; size: number } = { rank: 0, size: 1 },
): Promise<Uint16Array> {
  const lengths = new Uint16Array(data.size);
  const step = ROWS_PER_REQUEST * size;
  for (let first = ROWS_PER_REQUEST * rank; first < lengths.length; first += step) {
    const count = Math.min(ROWS_PER_REQUEST, lengths.length - first);
    const { examples } = await readRows(
      data,
      Uint32Array.from({ length: count }, (_, i) => first + i),
    );
    (await pool.encode(examples)).forEach(({ ids }, i) => (lengths[first + i] = ids.length));
    onProgress(first + count);
  }
  return lengths;
}

/** Calls `make` for each input, at most `ahead` calls before their results are taken; the order is kept. */
export async function* prefetch<In, Out>(
  inputs: Iterable<In>,
  make: (input: In) => Promise<Out>,
  ahead: number,
): AsyncGenerator<Out> {
  const pending: Promise<Out>[] = [];
  const iterator = inputs[Symbol.iterator]();
  const fill = (): void => {
    while (pending.length < ahead) {
      const next = iterator.next();
      if (next.done === true) return;
      const result = make(next.value);
      result.catch(() => undefined); // reported when its turn comes, not as an unhandled rejection before
      pending.push(result);
    }
  };
  for (fill(); pending.length > 0; fill()) {
    const result = pending.shift();
    if (result !== undefined) yield await result;
  }
}
