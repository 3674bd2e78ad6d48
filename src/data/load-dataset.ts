// Opens data sets, from files or from the hub.
import { stat } from 'node:fs/promises';
import { datasetFiles } from '../hub/dataset.js';
import type { HubOptions } from '../hub/model.js';
import { maskedLm, tokenClassification, type ProblemType, type TaskName } from '../tasks/index.js';
import { expected, UsageError } from '../util/errors.js';
import { nearestName } from '../util/text.js';
import { withoutUndefined } from '../util/without-undefined.js';
import type { Quoting } from './csv-dialect.js';
import { DatasetDict, type SplitName } from './dataset.js';
import type { HoldOut } from './hold-out.js';
import { correctLabels } from './label-corrections.js';
import type { LabelFormat } from './label-lists.js';
import type { SplitOptions } from './indexer.js';
import { areRows, type Rows } from './own-rows.js';
import { openSplit, type Split } from './split.js';
import { inferTask, inferTokenTask, type TaskOptions } from './task.js';
import { holdsTokens } from './token-form.js';
import { openTokenSplit } from './token-split.js';
import type { EntityOffsets } from './span-rows.js';
import type { TextUnit } from './text-lines.js';

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
 * Rows of a script per split, or files and globs.
 *
 * @example
 * ```ts
 * import { loadDataset, type SplitRows } from 'bertune';
 *
 * const rows: SplitRows<{ text: string; label: string }> = { train: [{ text: 'a fine film', label: 'pos' }] };
 * const data = await loadDataset(rows);
 * ```
 */
export type SplitRows<R extends object> = Partial<Record<SplitName, string | readonly string[] | Rows<R>>>;

const SPLITS = ['train', 'validation', 'test'] as const satisfies readonly SplitName[];

type ColumnOf<R> = Extract<keyof R, string>;

/**
 * As {@link ReadOptions}, with the columns that the rows of a script have.
 *
 * @example
 * ```ts
 * import { loadDataset, type RowReadOptions } from 'bertune';
 *
 * const options: RowReadOptions<{ body: string; mood: string }> = { textColumn: 'body', labelColumn: 'mood' };
 * const data = await loadDataset({ train: [{ body: 'a fine film', mood: 'good' }] }, options);
 * ```
 */
export interface RowReadOptions<R extends object> extends ReadOptions {
  textColumn?: ColumnOf<R> | undefined;
  textPairColumn?: ColumnOf<R> | undefined;
  labelColumn?: ColumnOf<R> | readonly ColumnOf<R>[] | undefined;
  validationGroupColumn?: ColumnOf<R> | undefined;
}

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
  options?: ReadOptions & HubOptions & { config?: string },
): Promise<DatasetDict>;
/**
 * Opens rows that a script has, e.g. `loadDataset({ train: [{ text: 'a film', label: 'good' }] })`: arrays, generators, and
 * streams of objects such as the cursor of a database. They are read once, into a temporary file.
 *
 * @throws UsageError naming split, row and column for rows that cannot be used; what an iterator throws
 */
export async function loadDataset<R extends object>(
  source: SplitRows<R>,
  options?: RowReadOptions<R>,
): Promise<DatasetDict>;
export async function loadDataset(
  source: string | SplitRows<object>,
  options: ReadOptions & HubOptions & { config?: string } = {},
): Promise<DatasetDict> {
  requireSource(source);
  if (typeof source !== 'string' && [source.validation ?? []].flat().length > 0)
    requireNoShare(options.validationSplit);
  const { files, classNames } = await filesOf(source, options);
  return openSplits(files, { ...options, classNames, forTraining: files.train !== undefined });
}

/** For callers without types. */
function requireSource(source: unknown): void {
  if (typeof source === 'string') return;
  if (typeof source !== 'object' || source === null || isIterable(source))
    throw expected(
      'the name of a hub data set, or files or rows by split, such as { train: rows },',
      'the data',
      source,
    );
  for (const [name, given] of Object.entries(source)) {
    if (!(SPLITS as readonly string[]).includes(name)) {
      const nearest = SPLITS.find((split) => split.startsWith(name)) ?? nearestName(name, SPLITS);
      throw new UsageError(
        `${JSON.stringify(name)} is no split; ${nearest === undefined ? `there are ${SPLITS.join(', ')}` : `did you mean ${nearest}?`}`,
      );
    }
    const isGiven = typeof given === 'string' || isIterable(given);
    if (given !== undefined && !isGiven)
      throw expected('names of files, or rows in an array, a generator or a stream', name, given);
  }
}

function isIterable(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value)
  );
}

/** A hub data set brings its validation rows unasked, files are named on purpose: with a share they would be dropped. */
function requireNoShare(validationSplit: number | undefined): void {
  if (validationSplit !== undefined)
    throw new UsageError('validation files and validationSplit exclude each other; keep one of them');
}

/** Opens the splits that have files and gives them one label map. */
export async function openSplits(
  files: SplitRows<object>,
  options: ReadOptions &
    Pick<SplitOptions, 'presumed'> & {
      classNames?: SplitOptions['classNames'];
      forTraining: boolean;
      hubSplits?: DatasetDict['hubSplits'] | undefined;
    },
): Promise<DatasetDict> {
  const opened: Split[] = [];
  const ofTokens = await areTokens(files, options);
  if (!ofTokens && options.entityOffsets !== undefined)
    throw new UsageError(
      'entityOffsets is for texts with marked parts, and these rows are none; leave it out, or give task token-classification',
    );
  const open = ofTokens ? openTokenSplit : openSplit;
  const read = ofTokens ? forTokens(options) : options;
  try {
    for (const name of SPLITS) {
      const patterns = files[name];
      if (patterns === undefined || patterns === '') continue;
      if (Array.isArray(patterns) && patterns.length === 0) continue;
      const like = opened.map(({ labels }) => labels?.reading ?? null).find((reading) => reading !== null);
      const own = splitOptions(
        name,
        patterns,
        opened[0] === undefined ? read : likeTraining(read, opened[0]),
      );
      const split = await open({ ...own, ...(like && { like }) });
      opened.push(split);
      if (name === 'train' && options.hardLabelColumn !== undefined)
        split.hard = await openHard(split, own, options.hardLabelColumn);
      if (name === 'train' && options.labelCorrections !== undefined)
        await correctLabels(split, options.labelCorrections);
    }
    if (opened.length === 0) {
      const empty = SPLITS.filter((name) => files[name] !== undefined && files[name] !== '');
      throw new UsageError(
        empty.length === 0
          ? 'No data were given: name a hub data set, files or rows'
          : `No rows and no files were given for ${empty.join(' and ')}: the list is empty`,
      );
    }
    const infer = ofTokens ? inferTokenTask : inferTask;
    const task = options.task === 'masked-lm' ? maskedLm.create([]) : infer(opened, taskOptions(read));
    return new DatasetDict(opened, task, {
      aside: holdOutOf(options),
      maxValidation: options.maxSamples?.validation,
      hubSplits: options.hubSplits,
    });
  } catch (error) {
    await Promise.all(opened.map((split) => split.close()));
    throw error;
  }
}

/**
 * The rows of a split with their own labels in place of a teacher's probabilities. The files are read once more, for the labels.
 *
 * @throws UsageError where rows of one are none of the other
 */
async function openHard(soft: Split, options: SplitOptions, labelColumn: string): Promise<Split> {
  const { softLabels: _soft, labelFormat: _format, labelDelimiter: _delimiter, ...own } = options;
  const ordered = soft.labels?.ordered;
  const hard = await openSplit({ ...own, labelColumn, ...(ordered && { knownLabels: ordered }) });
  await hard.close();
  const rows = Math.min(soft.size, hard.size);
  let row = 0;
  while (row < rows && soft.hashes?.at(row) === hard.hashes?.at(row)) row++;
  if (soft.size === hard.size && row === rows) return hard;
  throw new UsageError(
    `hardLabelColumn ${JSON.stringify(labelColumn)} and the probabilities are not of the same rows, from ${soft.place(Math.min(row, soft.size - 1))} on; give each row both`,
  );
}

/** Rows to evaluate on may have classes where those to train on have probabilities. */
function likeTraining<T extends ReadOptions & Pick<SplitOptions, 'presumed'>>(
  options: T,
  { columns: { label } }: Split,
): T {
  if (options.softLabels !== true || label === null) return options;
  return { ...options, labelColumn: label, presumed: [...(options.presumed ?? []), 'softLabels'] };
}

/** Labels of a model that nobody said is for tokens may be those of texts. */
function forTokens<T extends ReadOptions>({
  task,
  problemType,
  modelLabels,
  ...rest
}: T): ReadOptions & typeof rest {
  const isAsked = problemType === tokenClassification.problemType;
  return {
    ...rest,
    ...(!isAsked && { problemType }),
    modelLabels: isAsked || task !== undefined ? modelLabels : undefined,
  };
}

/** By request, else by the rows of the first split. */
async function areTokens(
  files: SplitRows<object>,
  options: ReadOptions & Pick<SplitOptions, 'presumed'>,
): Promise<boolean> {
  const { task, problemType } = options;
  if (task !== undefined) return task === 'token-classification';
  if (problemType !== undefined) return problemType === tokenClassification.problemType;
  const name = SPLITS.find((split) => files[split] !== undefined && files[split] !== '');
  const given = name === undefined ? undefined : files[name];
  if (name === undefined || given === undefined) return false;
  const plain = splitOptions(name, given, options);
  return plain.files.length > 0 || plain.rows !== undefined ? holdsTokens(plain) : false;
}

async function filesOf(
  source: string | SplitRows<object>,
  options: HubOptions & { config?: string },
): Promise<{ files: SplitRows<object>; classNames?: SplitOptions['classNames'] }> {
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
  /** What the rows are for: texts with labels, tokens with labels, or with `masked-lm` texts alone. Default: as the rows show. */
  task?: TaskName | undefined;
  /** Of .txt files: what a text is. Default a line. */
  textUnit?: TextUnit | undefined;
  textColumn?: string | undefined;
  textPairColumn?: string | undefined;
  /** Several: columns of zeros and ones, or of probabilities, whose names are the labels. */
  labelColumn?: string | readonly string[] | undefined;
  labelDelimiter?: string | undefined;
  /** What lists of numbers hold; decided from the first rows by default. */
  labelFormat?: LabelFormat | undefined;
  /** Whether labels that differ only in white space, case, width or invisible characters are one. */
  foldLabels?: boolean | undefined;
  /** Labels that mean that a row has none, such as `n/a`: these rows are left out. */
  naLabels?: readonly string[] | undefined;
  /** A file that `inspect --label-errors` wrote: its suggested labels replace those of the training rows. */
  labelCorrections?: string | undefined;
  /** A share of the training rows, above 0 and below 1, that becomes the validation split, stratified by label. */
  validationSplit?: number | undefined;
  /** Decides which rows those are; default 42. */
  seed?: number | undefined;
  /** Rows with equal values in this column stay on one side of `validationSplit`. */
  validationGroupColumn?: string | undefined;
  /**
   * Of marked parts of texts: whether places count code points, as in Python, or UTF-16 units. Default `auto`: as the text
   * shows that entities repeat, else code points; of Label Studio UTF-16 units.
   */
  entityOffsets?: EntityOffsets | undefined;
  badRows?: 'stop' | 'skip' | undefined;
  /** Whether quotes in CSV and TSV keep fields together: `minimal` (default), or are characters: `none`. */
  quoting?: Quoting | undefined;
  /**
   * Of text files without a byte order mark, by the name that Python or WHATWG gives it, e.g. `windows-1252`,
   * `shift_jis`. Default UTF-8.
   */
  encoding?: string | undefined;
  /** In CSV and TSV, the character that makes the one behind it a character like others, e.g. a backslash. Default none. */
  escape?: string | undefined;
  /** The list with the rows in JSON files that are one object, e.g. `data`; found by itself where there is one. */
  jsonField?: string | undefined;
  /** Default 16 MiB; see `DataLimits`. */
  maxRowBytes?: number | undefined;
  /** Default 100; see `DataLimits`. */
  maxCompressionRatio?: number | undefined;
  problemType?: ProblemType | undefined;
  /** Whether labels are probabilities, one for each label; see `SplitOptions`. */
  softLabels?: boolean | undefined;
  /** With `softLabels`, of the training rows: the column with their own labels, which count beside those of a teacher. */
  hardLabelColumn?: string | undefined;
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
  patterns: string | readonly string[] | Rows,
  options: ReadOptions & Pick<SplitOptions, 'presumed'> & { classNames?: SplitOptions['classNames'] },
): SplitOptions {
  const { textColumn, textPairColumn, labelColumn, labelDelimiter, badRows, problemType, classNames } =
    options;
  return {
    name,
    ...(areRows(patterns)
      ? { files: [], rows: patterns }
      : { files: typeof patterns === 'string' ? [patterns] : patterns }),
    needsLabels: options.task !== 'masked-lm',
    ...withoutUndefined({
      textColumn,
      textPairColumn,
      labelColumn,
      labelDelimiter,
      badRows,
      problemType,
      classNames,
      softLabels: options.softLabels,
      labelFormat: options.labelFormat,
      foldLabels: options.foldLabels,
      naLabels: options.naLabels,
      quoting: options.quoting,
      encoding: options.encoding,
      escape: options.escape,
      entityOffsets: options.entityOffsets,
      jsonField: options.jsonField,
      textUnit: options.textUnit,
      presumed: options.presumed,
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

function taskOptions(options: ReadOptions & { forTraining: boolean }): TaskOptions {
  const { problemType, labelList, modelLabels, forTraining } = options;
  return { forTraining, ...withoutUndefined({ problemType, labelList, modelLabels }) };
}
