// The splits of a data set with labels as numbers, and the task that they make.
import { createHash } from 'node:crypto';
import {
  asTask,
  type AggregationStrategy,
  type LabelReader,
  type Task,
  type TaskDescription,
} from '../tasks/index.js';
import { expected, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import type { DataIdentity, LabelledExamples, LabelledRows } from './batch.js';
import type { Quoting } from './csv-dialect.js';
import { foldsOf, heldOut, type HoldOut } from './hold-out.js';
import type { SplitOptions } from './indexer.js';
import type { LabelFormat } from './label-lists.js';
import type { Example } from './row.js';
import type { EntityOffsets } from './span-rows.js';
import type { Split } from './split.js';
import { labelReader } from './task.js';
import { shownEntities } from './token-split.js';

/** How rows are read, by the names of the options that say so; the columns apart. */
export interface ReadingOptions {
  quoting?: Quoting;
  encoding?: string;
  escape?: string;
  jsonField?: string;
  foldLabels?: boolean;
  labelFormat?: LabelFormat;
  labelDelimiter?: string;
  naLabels?: string[];
  maxRowBytes?: number;
  entityOffsets?: EntityOffsets;
  aggregationStrategy?: AggregationStrategy;
}

/**
 * Rows as the Trainer takes them.
 *
 * @example
 * ```ts
 * import { loadDataset, type Dataset } from 'bertune';
 *
 * const data = await loadDataset({ train: 'train.csv' });
 * const train: Dataset = data.train;
 * console.log(train.size, await train.preview(3), train.place(0));
 * ```
 */
export class Dataset implements LabelledRows {
  /** The files that the rows are of. */
  readonly split: Split;
  readonly labels: LabelReader;
  readonly hardLabels: LabelReader | undefined;
  readonly task: Task;
  /** The rows of the split that it is made of; null for all. */
  readonly #rows: Uint32Array | null;

  constructor(split: Split, task: TaskDescription, rows: Uint32Array | null = null) {
    this.split = split;
    this.task = asTask(task);
    this.#rows = rows;
    const ofRows = (labels: LabelReader): LabelReader =>
      rows === null ? labels : (numbers) => labels(this.#inSplit(numbers));
    this.labels = ofRows(labelReader(split, task));
    this.hardLabels = split.hard === undefined ? undefined : ofRows(labelReader(split.hard, task));
  }

  /** The number of rows. */
  get size(): number {
    return this.#rows?.length ?? this.split.size;
  }

  /** The given rows in that order, with their labels as numbers. */
  async read(rows: ArrayLike<number>): Promise<LabelledExamples> {
    return { examples: await this.split.read(this.#inSplit(rows)), labels: this.labels(rows) };
  }

  /** The first n rows with their labels as written, several of a row in brackets, for people to look at. */
  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const rows = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const inSplit = this.#inSplit(rows);
    const examples = await this.split.read(inSplit);
    const { labels, tokens } = this.split;
    return examples.map((example, i) =>
      Object.assign(example, {
        label: tokens === null ? (labels?.shownAt(inSplit[i] ?? 0) ?? null) : shownEntities(example),
      }),
    );
  }

  /** Where a row stands, e.g. `train.csv line 7`. */
  place(row: number): string {
    return this.split.place(this.#inSplit([row])[0] ?? row);
  }

  /** The number of a row among all rows of its files. */
  rowOfSplit(row: number): number {
    return this.#inSplit([row])[0] ?? row;
  }

  /** A number that is equal for rows with equal texts, and hardly ever for others. */
  hash(row: number): number {
    return this.split.hashes?.at(this.#inSplit([row])[0] ?? row) ?? row;
  }

  /** Identifies the rows, so that a resumed run can refuse others. */
  async identity(): Promise<DataIdentity> {
    const whole = await this.split.digest();
    const files =
      this.#rows === null
        ? whole
        : `${whole}, of them ${createHash('sha256').update(this.#rows).digest('hex')}`;
    const { quoting, encoding, escape, jsonField, textUnit, entityOffsets } = this.split;
    const ofSome = withoutUndefined({ textUnit, entityOffsets });
    const columns = { ...this.split.columns, escape, jsonField, ...ofSome };
    const { foldLabels, labelFormat, labelDelimiter, naLabels } = this.reading;
    const kind = this.split.labelKind;
    const corrections = this.split.labels?.corrections?.digest;
    const labels = { kind, foldLabels, labelFormat, labelDelimiter, naLabels, corrections };
    return { files, skipped: this.split.badRows.digest(), columns, quoting, encoding, labels };
  }

  /** How the files and labels were read, by request or since the rows showed it: others of their kind are read the same. */
  get reading(): ReadingOptions {
    const { quoting, encoding, escape, jsonField, textUnit, labels, naLabels, maxRowBytes } = this.split;
    const { entityOffsets } = this.split;
    const { format, delimiter } = labels?.reading ?? {};
    return withoutUndefined({
      quoting: quoting ?? undefined,
      encoding: encoding ?? undefined,
      escape,
      jsonField,
      textUnit,
      entityOffsets,
      foldLabels: labels?.isFolded,
      // A number to predict is no list, whatever says so.
      labelFormat: labels?.width === 1 ? undefined : format,
      labelDelimiter: format === 'names' && quoting !== null ? (delimiter ?? undefined) : undefined,
      // The setting that is saved knows no empty label.
      naLabels: naLabels?.filter((label) => label !== ''),
      maxRowBytes,
      // What stands between the tokens of a word says nothing where all tokens had a label.
      aggregationStrategy: this.split.hasSpans === true ? 'simple' : undefined,
    });
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

export type SplitName = SplitOptions['name'];

/**
 * The splits of a data set, which share one task; HF's DatasetDict. Its files stay open until `close`.
 *
 * @example
 * ```ts
 * import { loadDataset, type DatasetDict } from 'bertune';
 *
 * const data: DatasetDict = await loadDataset({ train: 'train.csv' });
 * for (const { train, validation } of data.folds(5)) console.log(train.size, validation.size);
 * await data.close();
 * ```
 */
export class DatasetDict {
  /** What the labels of all splits mean: their kind and their names. */
  readonly task: Task;
  /** Those that there are. */
  readonly splits: Readonly<Partial<Record<SplitName, Dataset>>>;
  /** What a data set of the hub calls those that were taken from it. */
  readonly hubSplits: Readonly<Partial<Record<SplitName, string>>>;

  readonly #opened: readonly Split[];
  readonly #maxValidation: number | undefined;

  /**
   * @param options which training rows are set aside
   * @param options.aside the share of the training rows that becomes the validation split
   * @param options.maxValidation of rows that are set aside, for a share or a fold, only the first so many are validated with
   * @param options.hubSplits what a data set of the hub calls the splits
   */
  constructor(
    splits: readonly Split[],
    task: Task,
    {
      aside,
      maxValidation,
      hubSplits = {},
    }: {
      aside?: HoldOut | undefined;
      maxValidation?: number | undefined;
      hubSplits?: Readonly<Partial<Record<SplitName, string>>> | undefined;
    } = {},
  ) {
    this.task = task;
    this.hubSplits = hubSplits;
    this.#opened = splits;
    this.#maxValidation = maxValidation;
    const whole = Object.fromEntries(splits.map((split) => [split.name, new Dataset(split, task)]));
    const train = splits.find(({ name }) => name === 'train');
    if (aside === undefined || train === undefined) {
      this.splits = whole;
      return;
    }
    const rows = heldOut(train, task, aside);
    this.splits = {
      ...whole,
      train: new Dataset(train, task, rows.train),
      validation: this.#validating(train, rows.validation),
    };
  }

  /** @throws UsageError where the data set has no train split */
  get train(): Dataset {
    return this.#split('train');
  }

  /** @throws UsageError where the data set has no validation split */
  get validation(): Dataset {
    return this.#split('validation');
  }

  /** @throws UsageError where the data set has no test split */
  get test(): Dataset {
    return this.#split('test');
  }

  /**
   * The training rows cut into k folds, stratified by label, and by group where a group column was named: for each
   * fold a part to validate with and the others to train on.
   *
   * @throws UsageError for fewer than 2 folds or more than there are rows or groups
   */
  folds(k: number, seed = 42): { train: Dataset; validation: Dataset }[] {
    const { split } = this.train;
    if (!Number.isInteger(k) || k < 2 || k > split.size)
      throw expected(`a whole number of folds from 2 to ${split.size}, the rows`, 'folds', k);
    return foldsOf(split, this.task, k, seed).map(({ train, validation }) => ({
      train: new Dataset(split, this.task, train),
      validation: this.#validating(split, validation),
    }));
  }

  /** Closes the files of all splits. */
  async close(): Promise<void> {
    await Promise.all(this.#opened.map((split) => split.close()));
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Of rows in the order of their file, as run_classification.py takes the first of its validation split. */
  #validating(split: Split, rows: Uint32Array): Dataset {
    return new Dataset(split, this.task, rows.subarray(0, this.#maxValidation));
  }

  #split(name: SplitName): Dataset {
    const dataset = this.splits[name];
    if (dataset === undefined)
      throw new UsageError(
        `The data set has no ${name} split; it has ${Object.keys(this.splits).join(', ')}`,
      );
    return dataset;
  }
}
