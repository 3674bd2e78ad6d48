// How rows of labelled tokens are written: words with labels in columns of whatever name, or texts with marked parts.
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { listed } from '../util/text.js';
import type { ColumnChoice } from './columns.js';
import { readBytes } from './compression.js';
import { columnName, columnNumber, DOCUMENT_START, SENTENCE_COLUMNS, type ConllColumns } from './conll.js';
import { findDataFiles, type DataFile } from './files.js';
import type { DataInput, SplitOptions } from './indexer.js';
import type { RawRecord } from './records.js';
import { DEFAULT_READ_SETTINGS, openSource, type ReadSettings } from './source.js';
import {
  offsetUnitIn,
  spanColumns,
  spanRow,
  UNIT_NAMES,
  type OffsetUnit,
  type SpanRow,
} from './span-rows.js';

/** Usual names of the column of words and of that of their labels, the likeliest first. */
const TOKEN_NAMES = ['tokens', 'words', 'token', 'word'];
const TAG_NAMES = ['ner_tags', 'ner', 'tags', 'labels', 'ner_labels', 'label', 'iob', 'bio'];

/** Rows that are looked at to find out how a file is written. */
const LOOKED_AT = 100;

/** What the rows of a file are; words without labels where none are read. */
export type Form = { words: string; labels: string | null } | 'spans';

/** The columns that were named. */
interface NamedColumns {
  readonly text?: string | undefined;
  readonly label?: string | undefined;
}

/** As `SplitOptions`, with the one column that labels of tokens are in. */
export interface TokenOptions extends Omit<SplitOptions, 'labelColumn'> {
  labelColumn?: string;
}

/** How a file is written. */
export interface FileForm {
  readonly form: Form;
  readonly named: NamedColumns;
  /** In which places are counted where nothing in a row shows it; null where nothing in the file does. */
  readonly unit: OffsetUnit | null;
  readonly columns: ColumnChoice;
  /** Remarks for the log. */
  readonly notes: readonly string[];
}

/**
 * How the rows of a file are written, by the first of them.
 *
 * @throws UsageError for columns that it does not have, and for rows of another kind
 */
export function fileForm(
  file: DataInput,
  good: readonly RawRecord[],
  names: readonly string[],
  options: TokenOptions,
): FileForm {
  const { path } = file;
  if (isConll(file)) {
    const { token = 0, label } = conllColumns(path, options);
    const columns = { text: columnName(token), textPair: null, label: columnName(label ?? -1) };
    return { form: SENTENCE_COLUMNS, named: {}, unit: null, columns, notes: [] };
  }
  const named = namedIn(path, names, options);
  const { needsLabels, groupColumn } = options;
  const rows = good.slice(0, LOOKED_AT).map((record) => objectOf(record, names));
  const form = needsLabels ? formOf(rows, named) : wordsAlone(rows, named.text);
  if (form === null)
    throw new UsageError(
      `${path} has no words with labels and no marked parts; it has the columns ${listed(names)}. ` +
        'Rows have lists such as tokens and ner_tags (textColumn and labelColumn name others), or a text and entities with start, end and label',
    );
  if (groupColumn !== undefined && !names.includes(groupColumn)) throw noColumn(path, groupColumn, names);
  if (form !== 'spans') {
    const columns = { text: form.words, textPair: null, label: form.labels };
    return { form, named, unit: null, columns, notes: [] };
  }
  const marked = rows.map((row) => withUsualNames(row, named));
  const found = marked.map(spanColumns).find(({ label }) => label !== null);
  const columns = {
    text: named.text ?? found?.text ?? spanColumns(marked[0] ?? {}).text,
    textPair: null,
    label: named.label ?? found?.label ?? null,
  };
  const unit = (options.entityOffsets ?? 'auto') === 'auto' ? unitIn(marked) : null;
  const note =
    unit === null ? [] : [`${path}: the places of entities count ${UNIT_NAMES[unit]}, as their texts show`];
  return { form, named, unit, columns, notes: note };
}

function unitIn(rows: readonly JsonObject[]): OffsetUnit | null {
  return rows.map((row) => offsetUnitIn(row)).find((unit) => unit !== null) ?? null;
}

export function isConll({ format }: Pick<DataInput, 'format'>): boolean {
  return format === 'conll' || format === 'text';
}

/** The columns of a CoNLL file, which have numbers and no names. @throws UsageError for a name */
export function conllColumns(path: string, options: TokenOptions): ConllColumns {
  const { needsLabels, groupColumn } = options;
  if (groupColumn !== undefined)
    throw new UsageError(
      `${path}: a CoNLL file has no column ${JSON.stringify(groupColumn)}; leave validationGroupColumn out`,
    );
  const numberOf = (name: 'textColumn' | 'labelColumn'): number | undefined => {
    const column = options[name];
    const number = columnNumber(column);
    if (column === undefined || number !== undefined || options.presumed?.includes(name) === true)
      return number;
    throw new UsageError(
      `${path}: the columns of CoNLL files have numbers, from 1 or as -1 from the end, and ${name} is ${JSON.stringify(column)}`,
    );
  };
  const token = numberOf('textColumn');
  const label = needsLabels ? numberOf('labelColumn') : null;
  return { ...(token !== undefined && { token }), ...(label !== undefined && { label }) };
}

/** The columns that were named, but for those of the training that this file has not. @throws UsageError for others */
function namedIn(path: string, names: readonly string[], options: TokenOptions): NamedColumns {
  const named = (name: 'textColumn' | 'labelColumn'): string | undefined => {
    const column = options[name];
    if (column === undefined || names.includes(column)) return column;
    if (options.presumed?.includes(name) === true) return undefined;
    throw noColumn(path, column, names);
  };
  return { text: named('textColumn'), label: options.needsLabels ? named('labelColumn') : undefined };
}

function noColumn(path: string, column: string, names: readonly string[]): UsageError {
  return new UsageError(`${path} has no column ${JSON.stringify(column)}; it has ${listed(names)}`);
}

/** Whether rows are of tokens by what they hold: lists of words and labels, or marked parts beside no label of the whole text. */
export async function holdsTokens(
  given: Pick<SplitOptions, 'files' | 'rows' | 'name' | 'textColumn' | 'labelColumn'> & Partial<ReadSettings>,
): Promise<boolean> {
  const [label, another] = [given.labelColumn ?? []].flat();
  if (another !== undefined) return false;
  const named = { text: given.textColumn, label };
  if (given.rows !== undefined)
    return (
      Array.isArray(given.rows) &&
      given.rows.slice(0, LOOKED_AT).some((row) => isObject(row) && isOfTokens(row, named))
    );
  const found = await firstOf(given);
  return typeof found === 'boolean' ? found : found.some((row) => isOfTokens(row, named));
}

function isOfTokens(row: JsonObject, named: NamedColumns): boolean {
  const form = formOf([row], named);
  if (form === null) return false;
  if (form !== 'spans') return listIn(row, form.words).length === listIn(row, form.labels ?? '').length;
  const spans = spansIn(row, named);
  // A list may be something else, such as labels that are no JSON.
  if (spans === null || spans === 'wrong' || spans.length === 0) return false;
  const isLabelled = ['label', 'labels', 'intent', 'category', 'class'].some(
    (name) => typeof row[name] === 'string' || typeof row[name] === 'number',
  );
  return named.label !== undefined || !isLabelled;
}

/** Whether files are of texts that are split into words. */
export async function holdsWords(
  given: Pick<SplitOptions, 'files' | 'name' | 'textColumn'> & Partial<ReadSettings>,
): Promise<boolean> {
  const found = await firstOf(given);
  if (typeof found === 'boolean') return found;
  const [first] = found;
  return first !== undefined && wordsIn(first, given.textColumn) !== undefined;
}

/** Whether the first file has words by its kind alone, else its first rows. */
async function firstOf(
  given: Pick<SplitOptions, 'files' | 'name'> & Partial<ReadSettings>,
): Promise<boolean | JsonObject[]> {
  const [file] = await findDataFiles(given.files, given.name);
  if (file === undefined || file.format === 'conll') return file !== undefined;
  if (file.format === 'text') return beginsDocument(file, given);
  return ['json', 'jsonl', 'parquet'].includes(file.format) && firstRows(file, given);
}

/** Whether a text file is one of CoNLL-2003, whatever its name. */
async function beginsDocument(file: DataFile, given: Partial<ReadSettings>): Promise<boolean> {
  for await (const bytes of readBytes(file, () => undefined, { ...DEFAULT_READ_SETTINGS, ...given }))
    return bytes
      .toString('utf8')
      .replace(/^\uFEFF/, '')
      .startsWith(DOCUMENT_START);
  return false;
}

/** The first rows of a file, without the bad ones. */
async function firstRows(file: DataFile, given: Partial<ReadSettings>): Promise<JsonObject[]> {
  const source = await openSource(file, () => undefined, { ...DEFAULT_READ_SETTINGS, ...given });
  try {
    const columns = source.columns ?? [];
    for await (const batch of source.batches(columns)) {
      const good = batch.slice(0, LOOKED_AT).filter(({ problem }) => problem === null);
      return good.map((record) => objectOf(record, columns));
    }
    return [];
  } finally {
    await source.close?.();
  }
}

/** How rows are written; null where they have no labels of tokens. */
function formOf(rows: readonly JsonObject[], named: NamedColumns): Form | null {
  for (const row of rows) {
    const words = wordsIn(row, named.text);
    if (words === undefined) continue;
    const names = named.label === undefined ? TAG_NAMES : [named.label];
    const labels = names.find((name) => {
      const tags = listIn(row, name);
      const isAsLong = tags.length === listIn(row, words).length || names.length === 1;
      return Array.isArray(row[name]) && isAsLong && tags.every(isTag);
    });
    if (labels !== undefined) return { words, labels };
  }
  return rows.some((row) => spansIn(row, named) !== null) ? 'spans' : null;
}

function wordsAlone(rows: readonly JsonObject[], named: string | undefined): Form | null {
  const words = rows.map((row) => wordsIn(row, named)).find((name) => name !== undefined);
  return words === undefined ? null : { words, labels: null };
}

/** The list in a column, empty where there is none. */
export function listIn(row: JsonObject, column: string): readonly unknown[] {
  const value = row[column];
  return Array.isArray(value) ? value : [];
}

function wordsIn(row: JsonObject, named: string | undefined): string | undefined {
  return (named === undefined ? TOKEN_NAMES : [named]).find((name) => {
    const words = listIn(row, name);
    return words.length > 0 && words.every((word) => typeof word === 'string');
  });
}

function isTag(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
}

/** A row with marked parts under the names that `spanRow` knows: of named columns nothing else counts. */
export function withUsualNames(row: JsonObject, { text, label }: NamedColumns): JsonObject {
  const renamed = text === undefined ? row : { ...row, text: row[text] };
  return label === undefined ? renamed : { text: renamed['text'], entities: row[label] };
}

/** The marked parts of a row; null for one that has none. */
function spansIn(row: JsonObject, named: NamedColumns): SpanRow['spans'] | 'wrong' | null {
  try {
    return spanRow(withUsualNames(row, named), '')?.spans ?? null;
  } catch (error) {
    if (error instanceof UsageError) return 'wrong';
    throw error;
  }
}

export function objectOf(record: RawRecord, columns: readonly string[]): JsonObject {
  return record.object?.() ?? Object.fromEntries(columns.map((column) => [column, record.value(column)]));
}
