// A split of a data set, opened: rows by number on top of the finished index.
import type { LabelKind } from '../tasks/index.js';
import { expected } from '../util/errors.js';
import type { BadRowReport } from './bad-rows.js';
import type { ColumnChoice } from './columns.js';
import type { Quoting } from './csv-dialect.js';
import { encodingOf } from './encoding.js';
import { changedInUse, digestOf, findDataFiles } from './files.js';
import { type DataInput, type IndexedRows, indexFiles, type SplitOptions } from './indexer.js';
import { labelNotes } from './label-notes.js';
import type { LabelColumn } from './labels.js';
import { OwnRows } from './own-rows.js';
import { JsonLinesText } from './source.js';
import { type GroupColumn, hashOf, type TextHashes } from './row-store.js';
import type { EntityOffsets } from './span-rows.js';
import type { TokenColumn } from './token-column.js';
import type { Example, PassthroughKind } from './row.js';
import type { TextUnit } from './text-lines.js';

/**
 * One split, indexed once and read by offset: memory holds a few bytes a row, never the texts.
 *
 * @example
 * ```ts
 * import { loadDataset } from 'bertune';
 *
 * const { train } = await loadDataset({ train: 'train.csv' });
 * console.log(train.split.columns, train.split.badRows.count, train.split.notes);
 * ```
 */
export interface Split {
  readonly name: string;
  /** Rows that can be read, at most `maxSamples`. */
  readonly size: number;
  readonly columns: ColumnChoice;
  /** The passthrough columns, and what all their values are. */
  readonly passthrough: readonly { name: string; kind: PassthroughKind }[];
  readonly labelKind: 'none' | LabelKind;
  /** Distinct labels as written (members, for lists), in `sortLabels` order, or the ClassLabel names; empty for float. */
  readonly labelValues: readonly string[];
  /** The labels behind `inferTask` and `labelReader`; null when labels were not requested. */
  readonly labels: LabelColumn | null;
  /** The same rows with their own labels, beside probabilities of a teacher. */
  hard?: Split;
  /** The labels of words; null but for token classification. */
  readonly tokens: TokenColumn | null;
  /** Of token classification: whether parts of texts are marked, and not their words labelled. */
  readonly hasSpans?: boolean;
  /** Of marked parts: how their places are counted, by request. */
  readonly entityOffsets?: EntityOffsets | undefined;
  readonly badRows: BadRowReport;
  /** Rows that were left out since Prodigy's column `answer` rejects their label. */
  readonly rejected: number;
  /** Remarks worth a line in the log, e.g. that two labels differ only in case. */
  readonly notes: readonly string[];
  /** The first n rows, for people to look at. */
  preview(n: number): Promise<{ text: string; textPair?: string; label: string | null }[]>;
  /** Reads rows by number, 0 to size - 1, in any order; the answer keeps the requested order. */
  read(indices: ArrayLike<number>): Promise<Example[]>;
  /** Where a row stands, for messages: `train.csv line 7`. */
  place(row: number): string;
  /** How quotes are read; null without CSV and TSV. */
  readonly quoting: Quoting | null;
  /** The encoding that text files are read in by request; null for UTF-8, and without text files. */
  readonly encoding: string | null;
  /** What escapes a character in CSV and TSV, by request. */
  readonly escape: string | undefined;
  /** The list of JSON files with the rows, by request. */
  readonly jsonField: string | undefined;
  /** What a text of .txt files is, by request. */
  readonly textUnit: TextUnit | undefined;
  /** The labels that mean none, by request. */
  readonly naLabels: readonly string[] | undefined;
  /** The longest row of text files, by request. */
  readonly maxRowBytes: number | undefined;
  /** SHA-256 over the bytes of all files of the split. */
  digest(): Promise<string>;
  /** A number that is equal for rows with equal texts, and hardly ever for others; null where labels are not read. */
  readonly hashes: TextHashes | null;
  /** The number of each row's group; null without `groupColumn`. */
  readonly groups: GroupColumn | null;
  /** Closes the files; temporary files vanish with it. */
  close(): Promise<void>;
}

/**
 * Indexes the files of a split. Plain CSV, TSV and JSON Lines are then read in place; compressed text, JSON arrays and
 * Parquet are copied once to a temporary file (in TMPDIR) that vanishes with `close` or with the process.
 *
 * @throws UsageError for files that cannot be used, columns that cannot be found, and bad rows (first ten in the
 *   message) unless they are skipped; RunError when the disk fails
 */
export async function openSplit(options: SplitOptions): Promise<Split> {
  const { maxSamples } = options;
  if (maxSamples !== undefined && !(Number.isInteger(maxSamples) && maxSamples > 0)) {
    throw expected('a whole number above 0', `the largest number of ${options.name} samples`, maxSamples);
  }
  if (options.quoting !== undefined && !['minimal', 'none'].includes(options.quoting))
    throw expected('"minimal" or "none"', 'quoting', options.quoting);
  const encoding = await encodingOf(options.encoding);
  if (options.escape !== undefined && !/^[\x20-\x7e]$/.test(options.escape.replace(/[",;|\s]/, '')))
    throw expected('one character other than a quote or a delimiter, such as \\,', 'escape', options.escape);
  const files = await inputsOf(options);
  return new IndexedSplit(options, encoding, files, await indexFiles(files, options));
}

/** The files that patterns name, or the rows that are in none. */
export async function inputsOf({ rows, files, name }: SplitOptions): Promise<DataInput[]> {
  if (rows === undefined) return findDataFiles(files, name);
  return [rows instanceof JsonLinesText ? rows : new OwnRows(name, rows)];
}

class IndexedSplit implements Split {
  readonly name;
  readonly size;
  readonly columns;
  readonly labels;
  hard?: Split;
  readonly tokens = null;
  readonly passthrough;
  readonly labelKind;
  readonly labelValues;
  readonly badRows;
  readonly rejected;
  readonly notes;
  readonly hashes;
  readonly groups;
  readonly quoting;
  readonly encoding;
  readonly jsonField;
  readonly textUnit;
  readonly escape;
  readonly naLabels;
  readonly maxRowBytes;
  private readonly rows;
  /** Every trial of a search and every fold asks for it. */
  private digested: Promise<string> | undefined;

  constructor(
    options: SplitOptions,
    encoding: string | null,
    private readonly files: readonly DataInput[],
    { rows, columns, labels, badRows, rejected, hashes, groups, passthrough, notes }: IndexedRows,
  ) {
    this.name = options.name;
    this.size = Math.min(rows.size, options.maxSamples ?? Infinity);
    this.columns = columns;
    this.passthrough = passthrough.result();
    this.labels = labels;
    this.labelKind = labels?.kind ?? ('none' as const);
    this.labelValues = labels?.values ?? [];
    this.badRows = badRows;
    this.rejected = rejected;
    this.rows = rows;
    this.notes = [
      ...notes,
      ...(labels === null ? [] : labelNotes(labels, this.size, (row) => this.place(row))),
    ];
    this.quoting = files.some(({ format }) => format === 'csv' || format === 'tsv')
      ? (options.quoting ?? 'minimal')
      : null;
    this.encoding = files.some(({ format }) => format !== 'parquet' && format !== 'rows') ? encoding : null;
    this.jsonField = options.jsonField;
    this.textUnit = options.textUnit;
    this.escape = options.escape;
    this.naLabels = options.naLabels;
    this.maxRowBytes = options.maxRowBytes;
    this.hashes = hashes;
    this.groups = groups;
  }

  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const first = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const examples = await this.read(first);
    return examples.map((example, row) =>
      Object.assign(example, { label: this.labels?.shownAt(row) ?? null }),
    );
  }

  async read(indices: ArrayLike<number>): Promise<Example[]> {
    const { size, rows, hashes } = this;
    return Promise.all(Array.from(indices, (row) => readIndexed(row, { size, rows, hashes })));
  }

  place(row: number): string {
    return this.rows.place(row);
  }

  digest(): Promise<string> {
    this.digested ??= digestOfInputs(this.files);
    return this.digested;
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }
}

/** Rows that were indexed, and the hashes of their texts where the index has them. */
interface Indexed {
  readonly size: number;
  readonly rows: { read(row: number): Promise<Example>; place(row: number): string };
  readonly hashes: TextHashes | null;
}

/**
 * A row as it was indexed.
 *
 * @throws RangeError for a number that is no row's; RunError where its text is another one by now
 */
export async function readIndexed(row: number, { size, rows, hashes }: Indexed): Promise<Example> {
  if (!(row >= 0 && row < size))
    throw new RangeError(`Expected a row from 0 to ${size - 1} but received ${row}`);
  const example = await rows.read(row);
  // Another text of the same length would go unnoticed, and no run could be repeated.
  if (hashes === null || hashOf(example) === hashes.at(row)) return example;
  throw changedInUse(rows.place(row));
}

/** A digest of the files of a split, or of its rows in memory. */
export async function digestOfInputs(inputs: readonly DataInput[]): Promise<string> {
  const [first] = inputs;
  return first?.format === 'rows'
    ? first.digest()
    : digestOf(inputs.filter((file) => file.format !== 'rows'));
}
