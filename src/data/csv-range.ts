// Where the records of a CSV file stand, found as csv-parse finds them with `relax_quotes`. It would tell of the bytes, too,
// but takes three times as long when it is asked.

import type { Dialect } from './csv-dialect.js';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;

/** Where a record stands, in bytes, and what its quotes are. */
export interface CsvRange {
  /** Where the blank lines before it begin. */
  from: number;
  start: number;
  /** Behind its line end. */
  end: number;
  /** A quote stands within a field that does not begin with one: a character like others, as pandas takes it. */
  hasLiteralQuote: boolean;
  /** A quoted field goes on behind its closing quote: where it ends is a guess. */
  hasTextBehindQuote: boolean;
}

/** Passes over blank lines, then to the line end that is outside of quotes. */
export function csvRange(bytes: Buffer, from: number, dialect: Dialect): CsvRange {
  const delimiter = dialect.delimiter.charCodeAt(0);
  const quote = dialect.quoting === 'none' ? null : QUOTE;
  const start = pastBlankLines(bytes, from);
  const range = { from, start, end: bytes.length, hasLiteralQuote: false, hasTextBehindQuote: false };
  let field = start;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === delimiter) field = at + 1;
    else if (byte === quote && at > field) range.hasLiteralQuote = true;
    else if (byte === quote) {
      at = closingQuote(bytes, at);
      if (!isFieldEnd(bytes, at + 1, delimiter)) range.hasTextBehindQuote = true;
    } else if (byte === LINE_FEED || byte === CARRIAGE_RETURN)
      return { ...range, end: afterLineEnd(bytes, at) };
  }
  return range;
}

/** Behind the line that begins at a place. */
export function afterLine(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const end = afterLineEnd(bytes, at);
    if (end > at) return end;
  }
  return bytes.length;
}

function pastBlankLines(bytes: Buffer, from: number): number {
  let start = from;
  for (let end = afterLineEnd(bytes, start); end > start; end = afterLineEnd(bytes, start)) start = end;
  return start;
}

/** The quote that closes the field whose opening one is at a place; two in a row are one of its characters. */
function closingQuote(bytes: Buffer, opening: number): number {
  let at = bytes.indexOf(QUOTE, opening + 1);
  while (at !== -1 && bytes[at + 1] === QUOTE) at = bytes.indexOf(QUOTE, at + 2);
  return at === -1 ? bytes.length : at;
}

function isFieldEnd(bytes: Buffer, at: number, delimiter: number): boolean {
  return at >= bytes.length || bytes[at] === delimiter || afterLineEnd(bytes, at) > at;
}

/** Behind the line end at a place; the place itself where there is none. */
function afterLineEnd(bytes: Buffer, at: number): number {
  if (bytes[at] === LINE_FEED) return at + 1;
  if (bytes[at] !== CARRIAGE_RETURN) return at;
  return bytes[at + 1] === LINE_FEED ? at + 2 : at + 1;
}
