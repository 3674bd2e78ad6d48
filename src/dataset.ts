// Data sets as a person uses them: splits with a shared label map, from files or from the hub.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';

import { counted } from './counted.js';
import {
  groupFolds,
  holdOut,
  holdOutGroups,
  inferTask,
  labelReader,
  openSplit,
  quantileStrata,
  stratifiedFolds,
  type Example,
  type HeldOut,
  type LabelReader,
  type ProblemType,
  type Split,
  type SplitOptions,
  type Task,
} from './data/index.js';
import { expected, UsageError } from './errors.js';
import { datasetFiles, type HubOptions } from './hub/index.js';
import type { LabelledRows } from './batching/batch.js';
import { randomNumbers } from './random.js';

export type SplitName = SplitOptions['name'];

/** How the columns and labels of a data set are to be read; everything has a sensible default. */
export interface ReadOptions {
  textColumn?: string | undefined;
  textPairColumn?: string | undefined;
  labelColumn?: string | undefined;
  labelDelimiter?: string | undefined;
  /** A share of the training rows, above 0 and below 1, that becomes the validation split, stratified by label. */
  validationSplit?: number | undefined;
  /** Decides which rows those are; default 42. */
  seed?: number | undefined;
  /** Rows with equal values in this column stay on one side of `validationSplit`. */
  validationGroupColumn?: string | undefined;
  badRows?: 'stop' | 'skip' | undefined;
  /** Default 16 MiB; see `DataLimits`. */
  maxRowBytes?: number | undefined;
  /** Default 100; see `DataLimits`. */
  maxCompressionRatio?: number | undefined;
  problemType?: ProblemType | undefined;
  /** The label map in the order of the ids. */
  labelList?: readonly string[] | undefined;
  /** The label map of a trained model. */
  modelLabels?: readonly string[] | undefined;
  maxSamples?: Partial<Record<SplitName, number | undefined>> | undefined;
}

/** Local files or globs per split. */
export type SplitFiles = Partial<Record<SplitName, string | readonly string[]>>;

/** A split, or some rows of one, with labels as numbers, as the Trainer takes it. */
export class Dataset implements LabelledRows {
  readonly split: Split;
  readonly labels: LabelReader;
  readonly task: Task;
  /** The rows of the split that it is made of; null for all. */
  readonly #rows: Uint32Array | null;

  constructor(split: Split, task: Task, rows: Uint32Array | null = null) {
    this.split = split;
    this.task = task;
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

  /** The labels of a row as they are written in its file. */
  names(row: number): readonly string[] {
    return this.split.labels?.at(this.#inSplit([row])[0] ?? row) ?? [];
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
  async identity(): Promise<{ files: string; columns: unknown }> {
    const whole = await this.split.digest();
    const files =
      this.#rows === null
        ? whole
        : `${whole}, of them ${createHash('sha256').update(this.#rows).digest('hex')}`;
    return { files, columns: this.split.columns };
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

/** A share of the training rows to be set aside for validation. */
export interface HoldOut {
  /** Above 0 and below 1. */
  share: number;
  seed: number;
}

/** Rows to train on and to validate with: stratified by label, and group by group where the split has groups. */
function heldOut(split: Split, task: Task, { share, seed }: HoldOut): HeldOut {
  const { strata, groups } = stratified(split, task);
  const random = randomNumbers(seed);
  const found =
    groups === null ? holdOut(strata, share, random) : holdOutGroups(strata, groups, share, random);
  if (found.train.length > 0 && found.validation.length > 0) return found;
  throw new UsageError(
    `A validation split of ${share} of ${counted(split.size, 'training row')} leaves ${found.train.length} to train on and ` +
      `${found.validation.length} to validate with; use another share, or --validation-file`,
  );
}

/** The stratum of each row, and its group. */
function stratified(split: Split, task: Task): { strata: ArrayLike<number>; groups: Uint32Array | null } {
  const rows = Uint32Array.from({ length: split.size }, (_, row) => row);
  const { groups } = split;
  return {
    strata: strataOf(split, task, rows),
    groups: groups === null ? null : rows.map((row) => groups.at(row)),
  };
}

/** Classes; for several labels a row their combinations, the rare ones together; for numbers their deciles. */
function strataOf(split: Split, task: Task, rows: Uint32Array): ArrayLike<number> {
  const { labels } = split;
  if (task.problemType !== 'multi_label_classification') {
    const values = labelReader(split, task)(rows);
    return task.problemType === 'regression' ? quantileStrata(values) : values;
  }
  const combinations = Array.from(rows, (row) => (labels?.at(row) ?? []).toSorted().join('\0'));
  const counts = new Map<string, number>();
  for (const one of combinations) counts.set(one, (counts.get(one) ?? 0) + 1);
  const numbers = new Map([...counts.keys()].map((one, i) => [one, (counts.get(one) ?? 0) > 1 ? i + 1 : 0]));
  return combinations.map((one) => numbers.get(one) ?? 0);
}

/** The splits of a data set and the task that their labels make. */
export class DatasetDict {
  readonly task: Task;
  readonly splits: Readonly<Partial<Record<SplitName, Dataset>>>;

  readonly #opened: readonly Split[];

  /** @param aside the share of the training rows that becomes the validation split */
  constructor(splits: readonly Split[], task: Task, aside?: HoldOut) {
    this.task = task;
    this.#opened = splits;
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
      validation: new Dataset(train, task, rows.validation),
    };
  }

  get train(): Dataset {
    return this.#split('train');
  }

  get validation(): Dataset {
    return this.#split('validation');
  }

  get test(): Dataset {
    return this.#split('test');
  }

  /**
   * The training rows cut into k folds, stratified by label, and by group where a group column was named: for each
   * fold a part to validate with and the others to train on.
   *
   * @throws UsageError for fewer than 2 folds or more than there are rows
   */
  folds(k: number, seed = 42): { train: Dataset; validation: Dataset }[] {
    const { split } = this.train;
    if (!Number.isInteger(k) || k < 2 || k > split.size)
      throw expected(`a whole number of folds from 2 to ${split.size}, the rows`, 'folds', k);
    const { strata, groups } = stratified(split, this.task);
    const random = randomNumbers(seed);
    const folds =
      groups === null ? stratifiedFolds(strata, k, random) : groupFolds(strata, groups, k, random);
    return folds.map(({ train, validation }) => ({
      train: new Dataset(split, this.task, train),
      validation: new Dataset(split, this.task, validation),
    }));
  }

  /** Closes the files of all splits. */
  async close(): Promise<void> {
    await Promise.all(this.#opened.map((split) => split.close()));
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

/**
 * Opens a data set: a hub id such as `stanfordnlp/imdb`, or local files by split.
 *
 * @throws UsageError naming file, line and column for data that cannot be used; RunError when the hub cannot be reached
 */
export async function loadDataset(
  source: string | SplitFiles,
  options: ReadOptions & HubOptions & { config?: string } = {},
): Promise<DatasetDict> {
  const { files, classNames } = await filesOf(source, options);
  return openSplits(files, { ...options, classNames, forTraining: files.train !== undefined });
}

/** Opens the splits that have files and gives them one label map. */
export async function openSplits(
  files: SplitFiles,
  options: ReadOptions & { classNames?: SplitOptions['classNames']; forTraining: boolean },
): Promise<DatasetDict> {
  const opened: Split[] = [];
  try {
    for (const name of ['train', 'validation', 'test'] as const) {
      const patterns = files[name];
      if (patterns === undefined || patterns.length === 0) continue;
      opened.push(await openSplit(splitOptions(name, patterns, options)));
    }
    if (opened.length === 0) throw new UsageError('There are no data: give a hub data set or files');
    return new DatasetDict(opened, inferTask(opened, taskOptions(options)), holdOutOf(options));
  } catch (error) {
    await Promise.all(opened.map((split) => split.close()));
    throw error;
  }
}

function holdOutOf({ validationSplit: share, seed = 42 }: ReadOptions): HoldOut | undefined {
  if (share === undefined) return undefined;
  if (!(share > 0 && share < 1)) throw expected('a number above 0 and below 1', 'validationSplit', share);
  return { share, seed };
}

async function filesOf(
  source: string | SplitFiles,
  options: HubOptions & { config?: string },
): Promise<{ files: SplitFiles; classNames?: SplitOptions['classNames'] }> {
  if (typeof source !== 'string') return { files: source };
  const isLocal = await stat(source).then(
    () => true,
    () => false,
  );
  if (isLocal)
    throw new UsageError(
      `${source} is a local file: write loadDataset({ train: ${JSON.stringify(source)} })`,
    );
  const { splits, classNames } = await datasetFiles(source, options);
  const { train, validation, test } = splits;
  return { files: withoutUndefined({ train, validation, test }), classNames };
}

function splitOptions(
  name: SplitName,
  patterns: string | readonly string[],
  options: ReadOptions & { classNames?: SplitOptions['classNames'] },
): SplitOptions {
  const { textColumn, textPairColumn, labelColumn, labelDelimiter, badRows, problemType, classNames } =
    options;
  return {
    name,
    files: typeof patterns === 'string' ? [patterns] : patterns,
    needsLabels: true,
    ...withoutUndefined({
      textColumn,
      textPairColumn,
      labelColumn,
      labelDelimiter,
      badRows,
      problemType,
      classNames,
      maxRowBytes: options.maxRowBytes,
      maxCompressionRatio: options.maxCompressionRatio,
    }),
    ...withoutUndefined({
      maxSamples: options.maxSamples?.[name],
      knownLabels: options.labelList ?? options.modelLabels,
      groupColumn: name === 'train' ? options.validationGroupColumn : undefined,
    }),
  };
}

function taskOptions(options: ReadOptions & { forTraining: boolean }): Parameters<typeof inferTask>[1] {
  const { problemType, labelList, modelLabels, forTraining } = options;
  return { forTraining, ...withoutUndefined({ problemType, labelList, modelLabels }) };
}

/** Options may be given as undefined; the layers below tell "absent" and "undefined" apart. */
export function withoutUndefined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- entries lose the types of their keys
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
