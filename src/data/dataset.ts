// A split, or some rows of one, with labels as numbers.
import { createHash } from 'node:crypto';

import type { DataIdentity, LabelledRows } from './batch.js';
import { asTask, type LabelReader, type Task, type TaskDescription } from '../tasks/index.js';
import { labelReader, type Example, type Split } from './index.js';

/** Rows as the Trainer takes them. */
export class Dataset implements LabelledRows {
  readonly split: Split;
  readonly labels: LabelReader;
  readonly task: Task;
  /** The rows of the split that it is made of; null for all. */
  readonly #rows: Uint32Array | null;

  constructor(split: Split, task: TaskDescription, rows: Uint32Array | null = null) {
    this.split = split;
    this.task = asTask(task);
    this.#rows = rows;
    const labels = labelReader(split, task);
    this.labels = rows === null ? labels : (numbers) => labels(this.#inSplit(numbers));
  }

  /** The number of rows. */
  get size(): number {
    return this.#rows?.length ?? this.split.size;
  }

  /** Texts of the given rows, in that order. */
  async read(rows: ArrayLike<number>): Promise<Example[]> {
    return this.split.read(this.#inSplit(rows));
  }

  /** The first n rows with their labels as written, for people to look at. */
  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const rows = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const examples = await this.read(rows);
    const inSplit = this.#inSplit(rows);
    return examples.map((example, i) =>
      Object.assign(example, { label: this.split.labels?.at(inSplit[i] ?? 0).join('|') ?? null }),
    );
  }

  /** Where a row stands, e.g. `train.csv line 7`. */
  place(row: number): string {
    return this.split.place(this.#inSplit([row])[0] ?? row);
  }

  /** A number that is equal for rows with equal texts, and hardly ever for others. */
  hash(row: number): number {
    return this.split.hashes?.at(this.#inSplit([row])[0] ?? row) ?? row;
  }

  /** By what a resumed run knows its training data again. */
  async identity(): Promise<DataIdentity> {
    const whole = await this.split.digest();
    const files =
      this.#rows === null
        ? whole
        : `${whole}, of them ${createHash('sha256').update(this.#rows).digest('hex')}`;
    return { files, columns: this.split.columns, quoting: this.split.quoting };
  }

  #inSplit(rows: ArrayLike<number>): ArrayLike<number> {
    const all = this.#rows;
    if (all === null) return rows;
    return Uint32Array.from(rows, (row) => {
      const inSplit = all[row];
      if (inSplit === undefined)
        throw new RangeError(`Expected a row from 0 to ${all.length - 1} but received ${row}`);
      return inSplit;
    });
  }
}
