// Judges one record against the chosen columns: the texts of a usable row, or the fault to report.

import { keptValue, type KeptValue } from './kept.js';
import { isNumberText } from './label-values.js';
import type { Reading } from './label-values.js';
import type { RawRecord } from './records.js';
import type { ColumnChoice, Example } from './types.js';

/** Why a row is bad; `column` is null when the whole row is. */
export interface Fault {
  column: string | null;
  reason: string;
}

/** The columns that are read again whenever a row is. */
export type TextColumns = Pick<ColumnChoice, 'text' | 'textPair' | 'kept'>;

/** The texts of a record, exactly as written, or its first fault. */
export function readExample(record: RawRecord, columns: TextColumns): Example | Fault {
  if (record.problem !== null) return { column: null, reason: record.problem };
  const text = readText(record.value(columns.text));
  if ('problem' in text) return { column: columns.text, reason: text.problem };
  const example: Example = { text: text.value };
  if (columns.textPair !== null) {
    const pair = readText(record.value(columns.textPair));
    if ('problem' in pair) return { column: columns.textPair, reason: pair.problem };
    example.textPair = pair.value;
  }
  if (columns.kept === undefined) return example;
  const kept: KeptValue[] = [];
  for (const column of columns.kept) {
    const read = keptValue(record.value(column));
    if ('problem' in read) return { column, reason: read.problem };
    kept.push(read.value);
  }
  return { ...example, kept };
}

/** Whether a sample of rows has nothing but numbers for a text, which no column of texts does. */
export function holdsOnlyNumbers(records: readonly RawRecord[], column: string): boolean {
  const values = records.filter((record) => record.problem === null).map((record) => record.value(column));
  return values.length > 1 && values.every(isNumber);
}

function isNumber(value: unknown): boolean {
  if (typeof value === 'string') return isNumberText(value.trim());
  return typeof value === 'number' || typeof value === 'bigint';
}

function readText(value: unknown): Reading<string> {
  if (value === undefined) return { problem: 'the column is missing' };
  if (value === null) return { problem: 'the text is missing' };
  if (typeof value === 'symbol') return { problem: 'the text is not valid UTF-8' };
  if (typeof value !== 'string') return { problem: `expected text but found ${kindOf(value)}` };
  if (value.trim() === '') return { problem: 'the text is empty' };
  // Valid in JSON as \ud800, but no UTF-8 can hold it: the tokenizer would see another character.
  if (/\p{Surrogate}/u.test(value)) return { problem: 'the text holds half a character (a lone surrogate)' };
  return { value };
}

/** As a person calls it, of what is no text. */
export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  return typeof value === 'boolean' ? 'true or false' : 'an object';
}
