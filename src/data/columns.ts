// Which columns hold the text, the second text of a pair, and the label.
import { UsageError } from '../util/errors.js';
import { nearestName } from '../util/text.js';
import type { TextColumns } from './row.js';

/**
 * One column with labels, or several, one for each label, in the order of the label ids: of zeros and ones, of
 * probabilities, or of numbers to predict.
 */
export type LabelColumns = string | readonly string[];

/** @throws UsageError for no name, and for one that is given twice */
function labelColumns(named: LabelColumns): LabelColumns {
  if (typeof named === 'string') return named;
  const twice = named.find((name, i) => named.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`labelColumn names ${JSON.stringify(twice)} twice`);
  const [only] = named;
  if (only === undefined) throw new UsageError('labelColumn names no column');
  return named.length === 1 ? only : named;
}

/** All of them. */
export function labelColumnList(columns: LabelColumns | null): readonly string[] {
  if (columns === null) return [];
  return typeof columns === 'string' ? [columns] : columns;
}

/** Usual names of the two texts of a pair; the first pair found wins, and wins over a single text. */
const PAIR_NAMES: readonly (readonly [string, string])[] = [
  ['sentence1', 'sentence2'],
  ['sentence_1', 'sentence_2'],
  ['sentence_a', 'sentence_b'],
  ['text_a', 'text_b'],
  ['text1', 'text2'],
  ['text_1', 'text_2'],
  ['text', 'text_pair'],
  ['premise', 'hypothesis'],
  ['question1', 'question2'],
  ['question', 'sentence'],
  ['question', 'passage'],
  ['question', 'answer'],
  ['query', 'passage'],
];

/** Usual names of a single text, the likeliest first. */
const TEXT_NAMES: readonly string[] = [
  'text',
  'sentence',
  'review',
  'review_text',
  'review_body',
  'content',
  'body',
  'message',
  'comment',
  'comment_text',
  'document',
  'tweet',
  'question',
  'utterance',
  'query',
  'headline',
  'title',
  'description',
];

/** Usual names of the label, the likeliest first. */
const LABEL_NAMES: readonly string[] = [
  'label',
  'labels',
  'target',
  'class',
  'category',
  'sentiment',
  'intent',
  'topic',
  'emotion',
  'gold_label',
  'stars',
  'rating',
  'score',
  'cats',
];

/** The columns that the caller names. */
export interface ColumnOptions {
  /** Default: found by its usual name, see `chooseColumns`. */
  textColumn?: string;
  /** The second text of a pair. Default: found together with the first, unless `textColumn` is given. */
  textPairColumn?: string;
  /** Several: columns of zeros and ones, or of numbers, whose names are the labels, in the order of the ids. */
  labelColumn?: LabelColumns;
  /** Whether the labels are probabilities: then those in a file of predictions are found. */
  softLabels?: boolean;
  /** False for prediction: labels are not looked for and not read. */
  needsLabels: boolean;
  /** Columns that have to be there besides. */
  passthroughColumns?: readonly string[];
  groupColumn?: string;
}

/** The columns in use; `label` is null when labels are not needed. */
export interface ColumnChoice extends TextColumns {
  label: LabelColumns | null;
}

/**
 * Chooses the columns of a file. A column named in the options must exist. Without names the usual ones are looked for,
 * ignoring case and writing `_` for spaces and hyphens: pairs first, then single texts, in the order of the lists above;
 * when one column alone is left beside the label, it is the text. A named text column stands alone: its pair has to be
 * named, too.
 *
 * @param file for messages
 * @throws UsageError that lists the columns there are and the options that name them
 */
export function chooseColumns(
  file: string,
  columns: readonly string[],
  options: ColumnOptions,
): ColumnChoice {
  requireAll(file, columns, [
    ['textColumn', options.textColumn],
    ['textPairColumn', options.textPairColumn],
    ...(options.passthroughColumns ?? []).map((column) => ['idColumn', column] as const),
    ['validationGroupColumn', options.groupColumn],
    ...(options.needsLabels ? labelColumnList(options.labelColumn ?? null) : []).map(
      (column) => ['labelColumn', column] as const,
    ),
  ]);
  const label = options.needsLabels ? chooseLabel(columns, options) : null;
  const labels = labelColumnList(label ?? null);
  for (const [option, column] of [
    ['textColumn', options.textColumn],
    ['textPairColumn', options.textPairColumn],
  ] as const)
    if (column !== undefined && labels.includes(column))
      throw new UsageError(
        `${option} and the column of the labels are both ${column}; name another with labelColumn`,
      );
  const left = columns.filter((column) => !labels.includes(column));
  const texts = chooseTexts(left, options, label === undefined);
  if (label === undefined || texts === undefined)
    throw notFound(file, columns, [
      ...(label === undefined ? [['label', 'labelColumn'] as const] : []),
      ...(texts === undefined ? [['text', 'textColumn'] as const] : []),
    ]);
  return { ...texts, label };
}

/** Checks that a file has every chosen column, once, and the group column where there is one. */
export function requireColumns(
  file: string,
  columns: readonly string[],
  choice: ColumnChoice,
  groupColumn?: string,
): void {
  const { text, textPair, label, passthrough = [] } = choice;
  requireAll(file, columns, [
    ['textColumn', text],
    ['textPairColumn', textPair],
    ...labelColumnList(label).map((column) => ['labelColumn', column] as const),
    ...passthrough.map((column) => ['idColumn', column] as const),
    ['validationGroupColumn', groupColumn],
  ]);
}

/** Undefined where none is named and none has a usual name. */
function chooseLabel(
  columns: readonly string[],
  { labelColumn: named, softLabels }: ColumnOptions,
): LabelColumns | undefined {
  if (named !== undefined) return labelColumns(named);
  return (softLabels === true ? predictedProbabilities(columns) : null) ?? findUsual(columns, LABEL_NAMES);
}

/** Whether none of the columns of probabilities is there, and one with the usual name of a label is. */
export function hasClassesAlone(
  columns: readonly string[],
  probabilities: LabelColumns | undefined,
): boolean {
  const named = labelColumnList(probabilities ?? predictedProbabilities(columns));
  return findUsual(columns, LABEL_NAMES) !== undefined && !named.some((name) => columns.includes(name));
}

/** What `predict` writes: an object in JSON Lines, a column for each label in CSV and Parquet. */
function predictedProbabilities(columns: readonly string[]): LabelColumns | null {
  if (columns.includes('probabilities')) return 'probabilities';
  const found = columns.filter((column) => column.startsWith(PROBABILITY_PREFIX));
  return found.length < 2 ? null : found;
}

/** A note where the answers of a teacher are there, and are not what is learned. */
export function ignoredProbabilities(columns: readonly string[], options: ColumnOptions): string[] {
  const { needsLabels, softLabels, labelColumn } = options;
  const found = predictedProbabilities(columns);
  if (!needsLabels || softLabels === true || labelColumn !== undefined || found === null) return [];
  const shown = typeof found === 'string' ? JSON.stringify(found) : JSON.stringify(found[0]).concat(' ...');
  return [
    `The rows have probabilities of labels (${shown}), which are not read; softLabels makes them the labels`,
  ];
}

/** What the predictions call the column of the probability of a label. */
export const PROBABILITY_PREFIX = 'probability_';

/**
 * Undefined where none is named and none has a usual name.
 *
 * @param left the columns without those of the labels
 * @param isLabelAmong whether one of them may be the label
 */
function chooseTexts(
  left: readonly string[],
  { textColumn, textPairColumn }: ColumnOptions,
  isLabelAmong: boolean,
): { text: string; textPair: string | null } | undefined {
  if (textColumn !== undefined) {
    if (textColumn === textPairColumn)
      throw new UsageError(`textColumn and textPairColumn are both ${textColumn}`);
    return { text: textColumn, textPair: textPairColumn ?? null };
  }
  const usualPair = findUsualPair(left);
  if (usualPair !== undefined && (textPairColumn === undefined || textPairColumn === usualPair[1])) {
    return { text: usualPair[0], textPair: usualPair[1] };
  }
  const candidates = left.filter((column) => column !== textPairColumn);
  const likely =
    candidates.length === 1 ? candidates : candidates.filter((column) => !ROW_NUMBERS.test(column));
  const only = likely.length === 1 && !isLabelAmong ? likely[0] : undefined;
  const text = findUsual(candidates, TEXT_NAMES) ?? only;
  return text === undefined ? undefined : { text, textPair: textPairColumn ?? null };
}

/** Columns of row numbers and ids by the names that pandas, datasets and databases give them. */
const ROW_NUMBERS =
  /^(|#|unnamed: \d+(\.\d+)*|index|level_\d+|__index_level_\d+__|idx|no\.?|nr\.?|uid|uuid|guid|(\w+[ _-])?id|row|row_?id|row_?number)$/i;

function findUsual(columns: readonly string[], usual: readonly string[]): string | undefined {
  const byName = firstByName(columns);
  return usual.map((name) => byName.get(name)).find((found) => found !== undefined);
}

/** The first column of each name, as it is compared: of a million columns each is looked at once. */
function firstByName(columns: readonly string[]): Map<string, string> {
  const byName = new Map<string, string>();
  for (const column of columns) {
    const name = plain(column);
    if (!byName.has(name)) byName.set(name, column);
  }
  return byName;
}

function findUsualPair(columns: readonly string[]): readonly [string, string] | undefined {
  const byName = firstByName(columns);
  for (const [first, second] of PAIR_NAMES) {
    const text = byName.get(first);
    const textPair = byName.get(second);
    if (text !== undefined && textPair !== undefined) return [text, textPair];
  }
  return undefined;
}

function plain(column: string): string {
  return column
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_');
}

/**
 * @param named columns by the option that names them
 * @throws UsageError naming all that are missing, the columns that there are, and the options that name others
 */
function requireAll(
  file: string,
  columns: readonly string[],
  named: readonly (readonly [option: string, column: string | null | undefined])[],
): void {
  const missing = new Map<string, string>();
  for (const [option, name] of named) {
    if (name === null || name === undefined) continue;
    const count = columns.filter((column) => column === name).length;
    if (count > 1) throw new UsageError(`${file} has ${count} columns called ${quote(name)}`);
    if (count === 0 && !missing.has(name)) missing.set(name, option);
  }
  if (missing.size === 0) return;
  // What is named already is not what was meant.
  const free = columns.filter((column) => !named.some(([, name]) => name === column));
  const nearest = [...missing.keys()].map((name) => nearestName(name, free));
  const options = [...new Set(missing.values())].join(' and ');
  const isClear = nearest.every((name) => name !== undefined) && new Set(nearest).size === nearest.length;
  const hint = isClear
    ? `did you mean ${nearest.map(quote).join(' and ')}?`
    : `${options} ${options.includes(' ') ? 'name others' : 'names another'}`;
  const names = [...missing.keys()].map(quote).join(', ');
  throw new UsageError(
    `${file} has no ${missing.size === 1 ? 'column' : 'columns'} ${names}; it has ${listed(columns)}; ${hint}`,
  );
}

function notFound(
  file: string,
  columns: readonly string[],
  missing: readonly (readonly [what: string, option: string])[],
): UsageError {
  const [what, option] = [0, 1].map((i) => missing.map((one) => one[i]).join(' and '));
  const separator = columns.length === 1 ? (/[;\t|]/.exec(columns[0] ?? '')?.[0] ?? null) : null;
  const hint = (columns[0] ?? '').startsWith('__label__')
    ? 'its rows look like those of fastText: give it a name that ends in .txt'
    : /\.txt(\.|$)/i.test(file)
      ? 'a .txt file has one text a line, with labels only as the __label__ of fastText; a table has a name that ends in .csv or .tsv'
      : separator === null
        ? `name ${missing.length === 1 ? 'it' : 'them'} with ${option}${/\.(csv|tsv)(\.|$)/i.test(file) ? ', or, if that is a row already, write a line of names above it' : ''}`
        : `fields are separated by a comma in .csv and a tab in .tsv, here it seems to be ${quote(separator)}, but not in every row alike: write the file with ${/\.tsv(\.|$)/i.test(file) ? 'tabs' : 'commas'}, and texts in quotes`;
  return new UsageError(
    `${file} has no ${missing.length === 1 ? 'column with a usual name' : 'columns with usual names'} for the ${what}; it has ${listed(columns)}; ${hint}`,
  );
}

/** At most 20 names, shortened: a file without a header line shows its first row here. */
function listed(columns: readonly string[]): string {
  if (columns.length === 0) return 'no columns';
  const shown = columns
    .slice(0, 20)
    .map((column) => quote(column.length > 40 ? `${column.slice(0, 37)}...` : column));
  const more = columns.length > shown.length ? ` and ${columns.length - shown.length} more` : '';
  return `${columns.length === 1 ? 'the column' : 'the columns'} ${shown.join(', ')}${more}`;
}

function quote(name: string): string {
  return JSON.stringify(name);
}

/** Whether there are columns with usual names for a text and for a label. */
export function labelledColumns(columns: readonly string[]): boolean {
  return usualText(columns) !== undefined && hasUsualLabel(columns);
}

/** The column that has the likeliest of the usual names for a text. */
export function usualText(columns: readonly string[]): string | undefined {
  return findUsual(columns, TEXT_NAMES) ?? findUsualPair(columns)?.[0];
}

/** Whether there is a column with a usual name for a label. */
export function hasUsualLabel(columns: readonly string[]): boolean {
  return findUsual(columns, LABEL_NAMES) !== undefined;
}
