// An opened split: the answers to what a caller wants to know and read, on top of the finished index.

import { expected } from '../util/errors.js';
import { findDataFiles, type DataFile } from './files.js';
import { digestOf } from './digest.js';
import { changedInUse } from './row-store.js';
import { hashOf } from './text-hash.js';
import { indexFiles } from './indexer.js';
import type { IndexedRows } from './indexer.js';
import { labelNotes } from './notes.js';
import type { Example, Split, SplitOptions } from './types.js';

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
  const files = await findDataFiles(options.files, options.name);
  return new IndexedSplit(options, files, await indexFiles(files, options));
}

class IndexedSplit implements Split {
  readonly name;
  readonly size;
  readonly columns;
  readonly labels;
  readonly kept;
  readonly labelKind;
  readonly labelValues;
  readonly badRows;
  readonly notes;
  readonly hashes;
  readonly groups;
  readonly quoting;
  private readonly rows;
  /** Every trial of a search and every fold asks for it. */
  private digested: Promise<string> | undefined;

  constructor(
    options: SplitOptions,
    private readonly files: readonly DataFile[],
    { rows, columns, labels, badRows, hashes, groups, kept, notes }: IndexedRows,
  ) {
    this.name = options.name;
    this.size = Math.min(rows.size, options.maxSamples ?? Infinity);
    this.columns = columns;
    this.kept = kept.result();
    this.labels = labels;
    this.labelKind = labels?.kind ?? ('none' as const);
    this.labelValues = labels?.values ?? [];
    this.badRows = badRows;
    this.notes = [...notes, ...(labels === null ? [] : labelNotes(labels, this.size))];
    this.rows = rows;
    this.quoting = files.some(({ format }) => format === 'csv' || format === 'tsv')
      ? (options.quoting ?? 'minimal')
      : null;
    this.hashes = hashes;
    this.groups = groups;
  }

  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const first = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const examples = await this.read(first);
    return examples.map((example, row) =>
      Object.assign(example, { label: this.labels?.at(row).join('|') ?? null }),
    );
  }

  async read(indices: ArrayLike<number>): Promise<Example[]> {
    return Promise.all(Array.from(indices, (row) => this.readRow(row)));
  }

  place(row: number): string {
    return this.rows.place(row);
  }

  digest(): Promise<string> {
    this.digested ??= digestOf(this.files);
    return this.digested;
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  private async readRow(row: number): Promise<Example> {
    if (!(row >= 0 && row < this.size))
      throw new RangeError(`Expected a row from 0 to ${this.size - 1} but received ${row}`);
    const example = await this.rows.read(row);
    // Another text of the same length would go unnoticed, and no run could be repeated.
    if (this.hashes === null || hashOf(example) === this.hashes.at(row)) return example;
    throw changedInUse(this.place(row));
  }
}
