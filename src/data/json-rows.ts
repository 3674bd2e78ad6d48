// One row as JSON text: the records that it makes, with the numbers that Python writes, and those that JavaScript would not show
// as they are written.
import { isUtf8 } from 'node:buffer';
import { messageOf } from '../util/errors.js';
import { isObject, jsonExcess, type JsonObject } from '../util/json.js';
import { exportOf, rowsOf } from './annotation-exports.js';
import { type AnnotationExport, brokenRecord, NOT_UTF8, type RawRecord } from './records.js';

/** What a shorter row becomes in memory cannot do harm. */
const SMALL_BYTES = 1 << 20;

const EXAMPLE = '{"text": "...", "label": "..."}';

/** A row that was one JSON object, or a part of one. */
class JsonRecord implements RawRecord {
  readonly problem = null;

  constructor(
    readonly start: number,
    readonly end: number,
    readonly number: number,
    private readonly row: JsonObject,
    private readonly json: string,
    readonly origin: () => AnnotationExport | null,
    /** The same row with its numbers as they are written; undefined where it has to be found in the text. */
    private readonly inDigits: () => JsonObject | undefined,
    readonly object: () => JsonObject | null,
  ) {}

  columns(): readonly string[] {
    return Object.keys(this.row);
  }

  value(column: string): unknown {
    return Object.hasOwn(this.row, column) ? this.row[column] : undefined;
  }

  written(column: string): string | null {
    const value = this.value(column);
    if (!Number.isInteger(value)) return null;
    const found = numberBehind(this.json, column, Number(value));
    if (found !== null) return found;
    const digits = this.inDigits()?.[column];
    return typeof digits === 'string' ? digits : null;
  }
}

/** A number that is not written as JavaScript writes it, perhaps. */
const UNLIKE_ITSELF = /\d[.eE]|\d{16}/;

const COLON_AND_NUMBER = /\s*:\s*(-?\d[\d.eE+-]*)/y;

/** The number behind a key that stands in the text only once; null where that does not tell. */
function numberBehind(json: string, key: string, value: number): string | null {
  const quoted = `"${key}"`;
  const at = json.indexOf(quoted);
  if (at === -1 || json.includes(quoted, at + 1)) return null;
  COLON_AND_NUMBER.lastIndex = at + quoted.length;
  const found = COLON_AND_NUMBER.exec(json)?.[1];
  return found !== undefined && Number(found) === value ? found : null;
}

/** The value of JSON text with its numbers as text; undefined where JavaScript writes them as they are. */
export function digitsOf(json: string): unknown {
  return UNLIKE_ITSELF.test(json) ? parseRow(withNumbersAsText(json)) : undefined;
}

/** The records in one stretch of JSON text: for anything but one object in good UTF-8, one with a problem. */
export function jsonRecords(json: Buffer, start: number, number: number): RawRecord[] {
  const end = start + json.length;
  const read = readValue(json);
  return 'problem' in read
    ? [brokenRecord(start, end, number, read.problem)]
    : recordsOf(read.value, start, end, number, read.text);
}

/** The record in one stretch of JSON text; of an export with several annotations for a text, the first. */
export function jsonRecord(json: Buffer, start: number, number: number): RawRecord {
  const [record] = jsonRecords(json, start, number);
  return record ?? brokenRecord(start, start + json.length, number, `expected ${EXAMPLE}`);
}

export function readValue(json: Buffer): { value: unknown; text: string } | { problem: string } {
  if (!isUtf8(json)) return { problem: NOT_UTF8 };
  const excess = json.length > SMALL_BYTES ? jsonExcess(json) : null;
  if (excess !== null) return { problem: `too much JSON: ${excess}` };
  try {
    const text = json.toString('utf8');
    return { value: parseRow(text), text };
  } catch (error) {
    return { problem: `broken JSON: ${messageOf(error).replaceAll(/\s+/g, ' ')}` };
  }
}

/**
 * @param text of the value; empty for a row of a table
 * @param digits the value of a row of a table with its numbers as text
 */
export function recordsOf(
  value: unknown,
  start: number,
  end: number,
  number: number,
  text: string,
  digits?: unknown,
): RawRecord[] {
  // As `datasets` names the column of a list of texts.
  const object = typeof value === 'string' ? { text: value } : (annotatedText(value) ?? value);
  if (isObject(object)) {
    const origin = once(() => exportOf(object));
    const inDigits = once(() => {
      const numbers = digits ?? digitsOf(text);
      return isObject(numbers) ? rowsOf(numbers) : [];
    });
    return rowsOf(object).map(
      (row, part) =>
        new JsonRecord(
          start,
          end,
          number,
          row,
          text,
          origin,
          () => inDigits()[part],
          () => (part === 0 ? object : null),
        ),
    );
  }
  const problem = Array.isArray(value)
    ? `a list has no names for its columns; write each row as a JSON object such as ${EXAMPLE}`
    : `expected a JSON object such as ${EXAMPLE}`;
  return [brokenRecord(start, end, number, problem)];
}

/** spaCy's form of an example: `["a text", {"entities": [[2, 6, "KIND"]]}]`. */
function annotatedText(value: unknown): JsonObject | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [text, annotations]: unknown[] = value;
  return typeof text === 'string' && isObject(annotations) ? { text, ...annotations } : undefined;
}

/** For all rows of an object: a task of Label Studio may have thousands. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/**
 * As JSON.parse, but with the NaN and Infinity that Python's json module writes: NaN is what pandas makes of a missing
 * value, so it is null.
 *
 * @throws SyntaxError
 */
function parseRow(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(withoutNonFinite(text));
  }
}

/** No number of JSON is Infinity, but one beyond the range of doubles is read as such. */
function withoutNonFinite(text: string): string {
  return outsideStrings(text, (part) =>
    part.replaceAll(/\bNaN\b/g, 'null').replaceAll(/\bInfinity\b/g, '1e999'),
  );
}

/** JSON with each number in quotes, so that its digits survive the parser: 5.0 is not 5, nor 2^53 + 1 what doubles make of it. */
function withNumbersAsText(text: string): string {
  return outsideStrings(text, (part) => part.replaceAll(/-?\d[\d.eE+-]*/g, '"$&"'));
}

function outsideStrings(text: string, change: (part: string) => string): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const quote = text.indexOf('"', at);
    parts.push(change(text.slice(at, quote === -1 ? text.length : quote)));
    if (quote === -1) break;
    at = stringEnd(text, quote + 1);
    parts.push(text.slice(quote, at));
  }
  return parts.join('');
}

/** Behind the quote that closes a string whose first character is at `from`. */
function stringEnd(text: string, from: number): number {
  let end = text.indexOf('"', from);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end + 1;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - slashes - 1] === '\\') slashes++;
  return slashes % 2 === 1;
}
