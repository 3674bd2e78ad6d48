// Opens data sets, from files or from the hub.
import { stat } from 'node:fs/promises';
import { datasetFiles } from '../hub/dataset.js';
import type { HubOptions } from '../hub/model.js';
import type { ProblemType } from '../tasks/index.js';
import { expected, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import type { Quoting } from './csv-dialect.js';
import { DatasetDict, type SplitName } from './dataset.js';
import type { HoldOut } from './hold-out.js';
import type { SplitOptions } from './indexer.js';
import { openSplit, type Split } from './split.js';
import { inferTask } from './task.js';

/**
 * Local files or globs per split.
 *
 * @example
 * ```ts
 * import { loadDataset, type SplitFiles } from 'bertune';
 *
 * const files: SplitFiles = { train: 'part-*.csv', validation: ['dev.csv', 'more.csv'] };
 * const data = await loadDataset(files);
 * ```
 */
export type SplitFiles = Partial<Record<SplitName, string | readonly string[]>>;

/**
 * Opens a data set: a hub id such as `stanfordnlp/imdb`, or local files by split.
 *
 * @throws UsageError naming file, line and column for data that cannot be used; RunError when the hub cannot be reached
 *
 * @example
 * ```ts
 * import { loadDataset } from 'bertune';
 *
 * const files = await loadDataset({ train: ['a.csv', 'b.csv'], validation: 'dev.csv' }, { textColumn: 'body' });
 * const hub = await loadDataset('nyu-mll/glue', { config: 'sst2' });
 * ```
 */
export async function loadDataset(
  source: string | SplitFiles,
  options: ReadOptions & HubOptions & { config?: string } = {},
): Promise<DatasetDict> {
  if (typeof source !== 'string' && [source.validation ?? []].flat().length > 0)
    requireNoShare(options.validationSplit);
  const { files, classNames } = await filesOf(source, options);
  return openSplits(files, { ...options, classNames, forTraining: files.train !== undefined });
}

/** A hub data set brings its validation rows unasked, files are named on purpose: with a share they would be dropped. */
function requireNoShare(validationSplit: number | undefined): void {
  if (validationSplit !== undefined)
    throw new UsageError('validation files and validationSplit exclude each other; keep one of them');
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
    if (opened.length === 0) throw new UsageError('No data were given: name a hub data set or files');
    return new DatasetDict(opened, inferTask(opened, taskOptions(options)), {
      aside: holdOutOf(options),
      maxValidation: options.maxSamples?.validation,
    });
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

/**
 * How the columns and labels of a data set are to be read; everything has a sensible default.
 *
 * @example
 * ```ts
 * import { loadDataset, type ReadOptions } from 'bertune';
 *
 * const options: ReadOptions = { labelColumn: 'stars', problemType: 'regression', validationSplit: 0.1 };
 * const data = await loadDataset({ train: 'reviews.csv' }, options);
 * ```
 */
export interface ReadOptions {
  textColumn?: string | undefined;
  textPairColumn?: string | undefined;
  /** Several: columns of zeros and ones, or of probabilities, whose names are the labels. */
  labelColumn?: string | readonly string[] | undefined;
  labelDelimiter?: string | undefined;
  /** A share of the training rows, above 0 and below 1, that becomes the validation split, stratified by label. */
  validationSplit?: number | undefined;
  /** Decides which rows those are; default 42. */
  seed?: number | undefined;
  /** Rows with equal values in this column stay on one side of `validationSplit`. */
  validationGroupColumn?: string | undefined;
  badRows?: 'stop' | 'skip' | undefined;
  /** Whether quotes in CSV and TSV keep fields together: `minimal` (default), or are characters: `none`. */
  quoting?: Quoting | undefined;
  /** Default 16 MiB; see `DataLimits`. */
  maxRowBytes?: number | undefined;
  /** Default 100; see `DataLimits`. */
  maxCompressionRatio?: number | undefined;
  problemType?: ProblemType | undefined;
  /** Whether labels are probabilities, one for each label; see `SplitOptions`. */
  softLabels?: boolean | undefined;
  /** The label map in the order of the ids. */
  labelList?: readonly string[] | undefined;
  /** The label map of a trained model. */
  modelLabels?: readonly string[] | undefined;
  /** Of each split only the first so many rows; of rows set aside as well, after they were set aside. */
  maxSamples?: Partial<Record<SplitName, number | undefined>> | undefined;
}

function holdOutOf({ validationSplit: share, seed = 42 }: ReadOptions): HoldOut | undefined {
  if (share === undefined) return undefined;
  if (!(share > 0 && share < 1)) throw expected('a number above 0 and below 1', 'validationSplit', share);
  return { share, seed };
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
      softLabels: options.softLabels,
      quoting: options.quoting,
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
