// How rows of labelled tokens are written: words with labels in columns of whatever name, or texts with marked parts.
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { findDataFiles, type DataFile } from './files.js';
import type { SplitOptions } from './indexer.js';
import type { RawRecord } from './records.js';
import { DEFAULT_READ_SETTINGS, openSource, type ReadSettings } from './source.js';
import { spanRow, type SpanRow } from './token-rows.js';

/** Usual names of the column of words and of that of their labels, the likeliest first. */
const TOKEN_NAMES = ['tokens', 'words', 'token', 'word'];
const TAG_NAMES = ['ner_tags', 'ner', 'tags', 'labels', 'ner_labels', 'label', 'iob', 'bio'];

/** Rows that are looked at to find out how a file is written. */
export const LOOKED_AT = 100;

/** Names that the training of a model may have saved for files of another form. */
export const USUAL = new Set([...TOKEN_NAMES, ...TAG_NAMES, 'text', 'entities']);

/** What the rows of a file are; words without labels where none are read. */
export type Form = { words: string; labels: string | null } | 'spans';

/** Whether rows are of tokens by what they hold: lists of words and labels, or marked parts beside no label of the whole text. */
export async function holdsTokens(
  given: Pick<SplitOptions, 'files' | 'rows' | 'name'> & Partial<ReadSettings>,
): Promise<boolean> {
  if (given.rows !== undefined)
    return (
      Array.isArray(given.rows) &&
      given.rows.slice(0, LOOKED_AT).some((row) => isObject(row) && isOfTokens(row))
    );
  const [file] = await findDataFiles(given.files, given.name);
  if (file === undefined || file.format === 'conll') return file !== undefined;
  if (!['json', 'jsonl', 'parquet'].includes(file.format)) return false;
  return (await firstRows(file, given)).some(isOfTokens);
}

function isOfTokens(row: JsonObject): boolean {
  const form = formOf([row], {});
  if (form === null) return false;
  if (form !== 'spans') return true;
  if (spansIn(row) === 'wrong') return false; // a list may be something else, such as labels that are no JSON
  const isLabelled = ['label', 'labels', 'intent', 'category', 'class'].some(
    (name) => typeof row[name] === 'string' || typeof row[name] === 'number',
  );
  return !isLabelled;
}

/** Whether files are of texts that are split into words. */
export async function holdsWords(
  given: Pick<SplitOptions, 'files' | 'name' | 'textColumn'> & Partial<ReadSettings>,
): Promise<boolean> {
  const [file] = await findDataFiles(given.files, given.name);
  if (file === undefined || file.format === 'conll') return file !== undefined;
  if (!['json', 'jsonl', 'parquet'].includes(file.format)) return false;
  const [first] = await firstRows(file, given);
  return first !== undefined && wordsIn(first, given.textColumn) !== undefined;
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

/** How a row is written; null where it has no labels of tokens. */
export function formOf(
  rows: readonly JsonObject[],
  named: { text?: string | undefined; label?: string | undefined },
): Form | null {
  for (const row of rows) {
    const words = wordsIn(row, named.text);
    const given = words === undefined ? [] : row[words];
    const length = Array.isArray(given) ? given.length : 0;
    const names = named.label === undefined ? TAG_NAMES : [named.label];
    const labels = names.find((name) => {
      const value = row[name];
      return Array.isArray(value) && (value.length === length || names.length === 1) && value.every(isTag);
    });
    if (words !== undefined && labels !== undefined) return { words, labels };
  }
  const isMarked = rows.some((row) => {
    const spans = spansIn(row);
    return spans === 'wrong' || (spans !== null && spans.length > 0);
  });
  return isMarked ? 'spans' : null;
}

export function wordsAlone(rows: readonly JsonObject[], named: string | undefined): Form | null {
  const words = rows.map((row) => wordsIn(row, named)).find((name) => name !== undefined);
  return words === undefined ? null : { words, labels: null };
}

export function wordCount(words: unknown): unknown[] {
  return Array.isArray(words) ? words : [];
}

function wordsIn(row: JsonObject, named: string | undefined): string | undefined {
  return (named === undefined ? TOKEN_NAMES : [named]).find((name) => {
    const value = row[name];
    return Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string');
  });
}

function isTag(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
}

/** The marked parts of a row; null for one that has none. */
function spansIn(row: JsonObject): SpanRow['spans'] | 'wrong' | null {
  try {
    return spanRow(row, '')?.spans ?? null;
  } catch (error) {
    if (error instanceof UsageError) return 'wrong';
    throw error;
  }
}

export function objectOf(record: RawRecord, columns: readonly string[]): JsonObject {
  return record.object?.() ?? Object.fromEntries(columns.map((column) => [column, record.value(column)]));
}
