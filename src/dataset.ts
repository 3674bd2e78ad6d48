// Data sets as a person uses them: splits with a shared label map, from files or from the hub.
import { stat } from 'node:fs/promises';

import {
  inferTask,
  labelReader,
  openSplit,
  type Example,
  type LabelReader,
  type ProblemType,
  type Split,
  type SplitOptions,
  type Task,
} from './data/index.js';
import { UsageError } from './errors.js';
import { datasetFiles, type HubOptions } from './hub/index.js';
import type { LabelledRows } from './batching/batch.js';

export type SplitName = SplitOptions['name'];

/** How the columns and labels of a data set are to be read; everything has a sensible default. */
export interface ReadOptions {
  textColumn?: string | undefined;
  textPairColumn?: string | undefined;
  labelColumn?: string | undefined;
  labelDelimiter?: string | undefined;
  badRows?: 'stop' | 'skip' | undefined;
  problemType?: ProblemType | undefined;
  /** The label map in the order of the ids. */
  labelList?: readonly string[] | undefined;
  /** The label map of a trained model. */
  modelLabels?: readonly string[] | undefined;
  maxSamples?: Partial<Record<SplitName, number | undefined>> | undefined;
}

/** Local files or globs per split. */
export type SplitFiles = Partial<Record<SplitName, string | readonly string[]>>;

/** One split with labels as numbers, as the Trainer takes it. */
export class Dataset implements LabelledRows {
  readonly split: Split;
  readonly labels: LabelReader;
  readonly task: Task;

  constructor(split: Split, task: Task) {
    this.split = split;
    this.task = task;
    this.labels = labelReader(split, task);
  }

  /** The number of rows. */
  get size(): number {
    return this.split.size;
  }

  /** Texts of the given rows, in that order. */
  read(rows: ArrayLike<number>): Promise<Example[]> {
    return this.split.read(rows);
  }

  /** By what a resumed run knows its training data again. */
  async identity(): Promise<{ files: string; columns: unknown }> {
    return { files: await this.split.digest(), columns: this.split.columns };
  }
}

/** The splits of a data set and the task that their labels make. */
export class DatasetDict {
  readonly task: Task;
  readonly splits: Readonly<Partial<Record<SplitName, Dataset>>>;

  constructor(splits: readonly Split[], task: Task) {
    this.task = task;
    this.splits = Object.fromEntries(splits.map((split) => [split.name, new Dataset(split, task)]));
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

  /** Closes the files of all splits. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.splits).map((dataset) => dataset.split.close()));
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
    return new DatasetDict(opened, inferTask(opened, taskOptions(options)));
  } catch (error) {
    await Promise.all(opened.map((split) => split.close()));
    throw error;
  }
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
    }),
    ...withoutUndefined({
      maxSamples: options.maxSamples?.[name],
      knownLabels: options.labelList ?? options.modelLabels,
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
