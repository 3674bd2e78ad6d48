// What a person may say of how data are to be read, and what the layer below makes of it.
import type { ProblemType } from '../tasks/index.js';
import type { inferTask, Quoting, SplitOptions } from './index.js';
import { expected } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import type { SplitName } from './dataset-dict.js';
import type { HoldOut } from './dataset-hold-out.js';

/** How the columns and labels of a data set are to be read; everything has a sensible default. */
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

export function holdOutOf({ validationSplit: share, seed = 42 }: ReadOptions): HoldOut | undefined {
  if (share === undefined) return undefined;
  if (!(share > 0 && share < 1)) throw expected('a number above 0 and below 1', 'validationSplit', share);
  return { share, seed };
}

export function splitOptions(
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

export function taskOptions(
  options: ReadOptions & { forTraining: boolean },
): Parameters<typeof inferTask>[1] {
  const { problemType, labelList, modelLabels, forTraining } = options;
  return { forTraining, ...withoutUndefined({ problemType, labelList, modelLabels }) };
}
