// From token ids to the packed arrays that the native session takes.
import type { LabelReader, Targets, TaskDescription } from '../tasks/index.js';
import type { Example } from './index.js';
import type { PackedBatch } from '../native/index.js';
import type { Encoding, TokenizerPool } from '../tokenizer/index.js';

/** Texts that can be read by row number. */
export interface TextRows {
  readonly size: number;
  read(rows: ArrayLike<number>): Promise<Example[]>;
}

/** Texts with their labels. */
export interface LabelledRows extends TextRows {
  readonly labels: LabelReader;
  /** What the labels mean, where it is known. */
  readonly task?: TaskDescription;
  /** By what a resumed run knows the rows again. */
  identity?(): Promise<DataIdentity>;
}

export interface DataIdentity {
  /** A digest of all files. */
  readonly files: string;
  /** The columns that are read. */
  readonly columns: unknown;
  /** How quotes in the files are read, where there are such that may be. */
  readonly quoting?: string | null;
}

/** Lays sequences one after another. */
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

/** Reads, tokenizes and packs the given rows, with labels where the data have them. */
export async function loadBatch(
  data: TextRows | LabelledRows,
  rows: Uint32Array,
  pool: TokenizerPool,
): Promise<PackedBatch> {
  const batch = pack(await pool.encode(await data.read(rows)));
  const labels = labelsOf(data, rows);
  return labels === undefined ? batch : { ...batch, labels };
}

/** The labels of rows, where the data have them. */
export function labelsOf(data: TextRows | LabelledRows, rows: Uint32Array): Targets | undefined {
  return isLabelled(data) ? data.labels(rows) : undefined;
}

/** A split has `labels` too, but not as a function of rows. */
function isLabelled(data: TextRows): data is LabelledRows {
  return 'labels' in data && typeof data.labels === 'function';
}
