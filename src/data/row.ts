// One record against the chosen columns: the texts and passthrough values of a usable row, or the fault to report.
import { isNumberText, kindOfObject, type Parsed, withoutBytes } from './label-values.js';
import { isObject } from '../util/json.js';
import type { RawRecord } from './records.js';
import type { SpanRow } from './span-rows.js';
import type { WordRow } from './token-rows.js';

/** Why a row is bad; `column` is null when the whole row is. */
export interface Fault {
  column: string | null;
  reason: string;
}

/** The columns that are read again whenever a row is. */
export interface TextColumns {
  text: string;
  textPair: string | null;
  /** `SplitOptions.passthroughColumns`, where there are any. */
  passthrough?: readonly string[];
  /** The marked words or parts of the text, in copies of rows. */
  marks?: string;
}

/** What of a text is labelled: all of its words, or parts of it. In the order of the text. */
export type Marks = Pick<WordRow, 'words' | 'labels'> | Pick<SpanRow, 'spans'>;

/**
 * One input, exactly as in the file.
 *
 * @example
 * ```ts
 * import type { Example } from 'bertune';
 *
 * const pair: Example = { text: 'a superb film', textPair: 'a great film' };
 * ```
 */
export interface Example {
  text: string;
  textPair?: string;
  /** The values of the passthrough columns, in their order, as JSON can hold them; null where a row has none. */
  passthrough?: readonly PassthroughValue[];
  /** Of token classification: what of the text is labelled. */
  marks?: Marks;
}

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
  const marks = columns.marks === undefined ? undefined : record.value(columns.marks);
  if (areMarks(marks)) example.marks = marks;
  if (columns.passthrough === undefined) return example;
  const passthrough: PassthroughValue[] = [];
  for (const column of columns.passthrough) {
    const read = passthroughValue(record.value(column));
    if ('problem' in read) return { column, reason: read.problem };
    passthrough.push(read.value);
  }
  return { ...example, passthrough };
}

/** Of a copy that was written here. */
function areMarks(value: unknown): value is Marks {
  return isObject(value) && ('spans' in value || 'words' in value);
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

function readText(given: unknown): Parsed<string> {
  const value = withoutBytes(given);
  if (value === undefined) return { problem: 'the column is missing' };
  if (value === null) return { problem: 'the text is missing' };
  if (typeof value === 'symbol') return { problem: 'the text is not valid UTF-8' };
  if (typeof value !== 'string') return { problem: `expected text but found ${kindOf(value)}` };
  if (value.trim() === '') return { problem: 'the text is empty' };
  // Valid in JSON as \ud800, but no UTF-8 can hold it: the tokenizer would see another character.
  if (/\p{Surrogate}/u.test(value)) return { problem: 'the text holds half a character (a lone surrogate)' };
  return { value };
}

/** The kind of a value that is no text, for messages. */
export function kindOf(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  return typeof value === 'boolean' ? 'true or false' : kindOfObject(value);
}

/** What all values of a passthrough column are, null aside; they go with the rows into a file of predictions. `json`: texts and numbers mixed, lists, objects. */
export type PassthroughKind = 'integer' | 'number' | 'boolean' | 'text' | 'json';

/** A value that JSON can hold. */
export type PassthroughValue = unknown;

/** A value as it can be written again, or why it cannot. */
function passthroughValue(value: unknown): Parsed<PassthroughValue> {
  if (typeof value === 'symbol') return { problem: 'the value is not valid UTF-8' };
  // Two ids that differ in the last digit would become one.
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return { problem: `${String(value)} is too large to be kept to the last digit; write it as a string` };
  return { value: asJson(value) };
}

/** Parquet has more kinds of values than JSON. */
function asJson(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, asJson(own)]));
}

/** The kinds of the passthrough columns, found row by row. */
export class PassthroughKinds {
  readonly #kinds: (PassthroughKind | undefined)[];

  constructor(readonly columns: readonly string[]) {
    this.#kinds = columns.map(() => undefined);
  }

  add(values: readonly PassthroughValue[]): void {
    values.forEach((value, i) => {
      if (value !== null) this.#kinds[i] = together(this.#kinds[i], passthroughKind(value));
    });
  }

  /** A column without any value is one of texts. */
  result(): { name: string; kind: PassthroughKind }[] {
    return this.columns.map((name, i) => ({ name, kind: this.#kinds[i] ?? 'text' }));
  }
}

function passthroughKind(value: PassthroughValue): PassthroughKind {
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return 'json';
}

function together(a: PassthroughKind | undefined, b: PassthroughKind): PassthroughKind {
  if (a === undefined || a === b) return b;
  const areNumbers = [a, b].every((kind) => kind === 'integer' || kind === 'number');
  return areNumbers ? 'number' : 'json';
}
