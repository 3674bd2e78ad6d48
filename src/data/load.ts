// Opens data sets, from files or from the hub.
import { stat } from 'node:fs/promises';

import { inferTask, openSplit, type Split, type SplitOptions } from './index.js';
import { UsageError } from '../util/errors.js';
import { datasetFiles, type HubOptions } from '../hub/index.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { DatasetDict, type SplitName } from './dataset-dict.js';
import { holdOutOf, splitOptions, taskOptions, type ReadOptions } from './read-options.js';

/** Local files or globs per split. */
export type SplitFiles = Partial<Record<SplitName, string | readonly string[]>>;

/**
 * Opens a data set: a hub id such as `stanfordnlp/imdb`, or local files by split.
 *
 * @throws UsageError naming file, line and column for data that cannot be used; RunError when the hub cannot be reached
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
    if (opened.length === 0) throw new UsageError('There are no data: give a hub data set or files');
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
