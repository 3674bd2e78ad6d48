// Opens the data of a command and prints what was found in them.
import { counted, listed, oneLine } from '../util/text.js';
import { describeBadRow, encodingIn, type Example, type Split, type SplitOptions } from '../data/index.js';
import { maskedLm, type Task, type TaskName } from '../tasks/index.js';
import { openSplits, type SplitFiles, type ReadOptions } from '../data/load-dataset.js';
import type { DatasetDict } from '../data/dataset.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { asFlags, presumedOf } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { datasetFiles } from '../hub/dataset.js';
import type { Progress } from '../terminal/progress.js';
import { reportOverlap, reportUnseenLabels } from './notes.js';

/** The commands' options about data. */
export interface DataOptions extends Omit<ReadOptions, 'validationSplit'>, Pick<SplitOptions, 'presumed'> {
  task?: TaskName | undefined;
  trainFile?: readonly string[] | undefined;
  validationFile?: readonly string[] | undefined;
  dataset?: string | undefined;
  datasetConfig?: string | undefined;
  trainSplit?: string | undefined;
  validationSplit?: string | number | undefined;
}

const LINE = 100;
const LABEL = 40;

/**
 * Opens the rows that a model is compared on, with the model's labels.
 *
 * @param asked the options before the model's reading filled them in
 */
export async function openRowsOf(
  { kind, problemType, labels }: Task,
  options: DataOptions & { maxEvalSamples?: number | undefined },
  asked: Parameters<typeof presumedOf>[0],
  progress: Progress,
): Promise<DatasetDict> {
  return openData(
    {
      ...options,
      presumed: presumedOf(asked),
      task: kind.name,
      problemType: kind.name === 'masked-lm' ? undefined : problemType,
      // The name of a single number says nothing.
      modelLabels: kind.hasClasses || labels.length > 1 ? labels : undefined,
      maxSamples: { validation: options.maxEvalSamples },
    },
    'evaluate',
    progress,
  );
}

/** Opens training and validation rows (or validation rows alone) and prints columns, sizes and three examples. */
export async function openData(
  options: DataOptions,
  purpose: 'train' | 'evaluate',
  progress: Progress,
): Promise<DatasetDict> {
  const { files, classNames, hubSplits } = await findFiles(options, purpose);
  const { validationSplit } = options;
  const share = typeof validationSplit === 'number' ? validationSplit : undefined;
  const data = await openSplits(files, {
    ...options,
    validationSplit: share,
    classNames,
    hubSplits,
    forTraining: purpose === 'train',
  });
  try {
    for (const split of splitsOf(data)) await describeSplit(split, progress);
    if (share !== undefined) progress.line(describeShare(data));
    if (data.task.problemType !== maskedLm.problemType) {
      reportOverlap(data, progress);
      reportUnseenLabels(data, progress);
    }
    progress.line(`Task: ${describeTask(data.task)}`);
    return data;
  } catch (error) {
    await data.close();
    throw error;
  }
}

/**
 * Opens training data to describe them, without the bad rows. Rows in another encoding are not bad: where they show one, the
 * files are read in it.
 *
 * @returns the options with that encoding
 */
export async function openToDescribe<T extends DataOptions>(
  options: T,
  progress: Progress,
): Promise<{ data: DatasetDict; options: T }> {
  const skipping = { ...options, badRows: 'skip' as const };
  const data = await openData(skipping, 'train', progress);
  const encoding = [...splitsOf(data)]
    .flatMap(({ badRows }) => badRows.first.map(({ reason }) => encodingIn(reason)))
    .find((found) => found !== undefined);
  if (encoding === undefined || options.encoding !== undefined) return { data, options };
  await data.close();
  progress.line(
    `note: the data are not UTF-8 and are read with --encoding ${encoding}; look whether it fits`,
  );
  const again = await openData({ ...skipping, encoding }, 'train', progress);
  return { data: again, options: { ...options, encoding } };
}

/** Each once, where training and validation rows are shares of one. */
export function splitsOf({ splits }: DatasetDict): Set<Split> {
  return new Set(Object.values(splits).map((dataset) => dataset.split));
}

/** The files of each split, of the hub or local. @throws UsageError for a data set or split that there is not */
export async function findFiles(
  options: DataOptions,
  purpose: 'train' | 'evaluate',
): Promise<{
  files: SplitFiles;
  classNames?: Record<string, string[]>;
  hubSplits?: DatasetDict['hubSplits'];
}> {
  if (options.dataset === undefined)
    return { files: withoutUndefined({ train: options.trainFile, validation: options.validationFile }) };
  const { splits, classNames } = await datasetFiles(
    options.dataset,
    withoutUndefined({ config: options.datasetConfig }),
  );
  const pick = (name: string): string[] => splitOf(options.dataset ?? '', splits, name);
  const usual = splits['validation'] === undefined ? 'test' : 'validation';
  const { validationSplit: named } = options;
  // A share is taken from the training rows, and the splits that the data set brings stay untouched.
  const validation =
    typeof named === 'number' ? undefined : named === undefined ? splits[usual] : pick(named);
  const { trainSplit = 'train' } = options;
  const train = purpose === 'train' ? pick(trainSplit) : undefined;
  const hubSplits = {
    ...(train !== undefined && { train: trainSplit }),
    ...(validation !== undefined && typeof named !== 'number' && { validation: named ?? usual }),
  };
  return { files: withoutUndefined({ train, validation }), classNames, hubSplits };
}

/** The files of a split of a hub data set. @throws UsageError naming the splits that there are */
export function splitOf(id: string, splits: Readonly<Record<string, string[]>>, name: string): string[] {
  const files = splits[name];
  if (files !== undefined) return files;
  throw new UsageError(`${id} has no split '${name}'; it has ${Object.keys(splits).join(', ')}`);
}

/** Columns, number of rows, and the first three rows of a split, so that a wrong column shows at once. */
export async function describeSplit(split: Split, progress: Progress): Promise<void> {
  const { text, textPair, label, passthrough = [] } = split.columns;
  const columns = [
    `${split.tokens === null || split.hasSpans === true ? 'text' : 'words'} from ${columnName(text)}`,
    textPair === null ? '' : `pair from "${textPair}"`,
    label === null
      ? ''
      : `label from ${typeof label === 'string' ? '' : `the ${valuesOf(split)} in `}${[label].flat().map(columnName).join(', ')}`,
    passthrough.length === 0 ? '' : `carried over ${quoted(passthrough)}`,
  ];
  progress.line(
    `${split.name}: ${counted(split.size, 'row')}, ${columns.filter((part) => part !== '').join(', ')}`,
  );
  for (const row of await split.preview(3)) {
    progress.line(textsOf(row, row.label === null ? '  ' : `  ${oneLine(row.label, LABEL)}: `));
  }
  const { corrections } = split.labels ?? {};
  if (corrections !== undefined)
    progress.line(`${counted(corrections.rows, 'label')} corrected by ${corrections.path}`);
  for (const note of [...split.notes, ...headerNote(text)]) progress.line(`note: ${note}`);
  showBadRows(split, progress);
}

/** What several label columns hold. */
function valuesOf({ labelKind }: Split): string {
  if (labelKind === 'probabilities') return 'probabilities';
  return labelKind === 'float' ? 'numbers' : 'ones';
}

/** Those of a CoNLL file have numbers. */
function columnName(name: string): string {
  if (name === '-1') return 'the last column';
  return /^-?\d+$/.test(name) ? `column ${name}` : `"${name}"`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}

/** A file without a header loses its first row to it. */
function headerNote(textColumn: string): string[] {
  if (textColumn.trim().split(/\s+/).length < 3) return [];
  return [
    `"${textColumn}" is taken as the header; if it is a text, write a first line with the names of the columns, such as text`,
  ];
}

function showBadRows({ name, badRows: { count, first } }: Split, progress: Progress): void {
  if (count === 0) return;
  const which = count > first.length ? `, the first ${first.length}` : '';
  progress.line(`${name}: skipped ${counted(count, 'bad row')}${which}:`);
  // A row of somebody's data, but for the reason.
  for (const row of first) progress.line(`  ${describeBadRow({ ...row, reason: asFlags(row.reason) })}`);
}

function describeShare({ train, validation }: DatasetDict): string {
  const aside = train.split.size - train.size;
  const first = validation.size < aside ? `, the first ${validation.size} to evaluate on` : '';
  return `Set aside for validation: ${aside} of these rows${first}; ${train.size} to train on`;
}

/** A single number has no name of its own. */
function describeTask({ kind, problemType, labels }: Task): string {
  if (kind.name === 'masked-lm') return kind.name;
  return !kind.hasClasses && labels.length === 1 ? problemType : `${problemType}, labels ${listed(labels)}`;
}

/** The text of a row, or both texts of a pair, on one line of at most 100 columns with what stands before it. */
export function textsOf({ text, textPair }: Example, before = ''): string {
  const room = LINE - before.length;
  if (textPair === undefined) return before + oneLine(text, room);
  const half = Math.floor((room - 3) / 2);
  return `${before}${oneLine(text, half)} | ${oneLine(textPair, half)}`;
}
