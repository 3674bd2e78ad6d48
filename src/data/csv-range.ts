// Where the records of a CSV file stand, and whether their quotes are sound. What csv-parse is given has been looked at here
// first, since it has no place to go on behind a fault, and takes three times as long when it is asked for places.
import type { Dialect } from './csv-dialect.js';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;

/** Where a record stands, in bytes, and what is in it. */
export interface CsvRange {
  /** Where the blank lines before it begin. */
  from: number;
  start: number;
  /** Behind its line end; of a record with a fault, the place of the fault. */
  end: number;
  fields: number;
  /** A quote stands within a field that does not begin with one: a character like others, as pandas takes it. */
  hasLiteralQuote: boolean;
  /** `text`: a quoted field goes on behind its closing quote. `open`: it is not closed before the bytes end. */
  fault: 'text' | 'open' | null;
}

/** Passes over blank lines, then to the line end that is outside of quotes, or to the first fault. */
export function csvRange(bytes: Buffer, from: number, dialect: Dialect): CsvRange {
  const delimiter = dialect.delimiter.charCodeAt(0);
  const quote = dialect.quoting === 'none' ? null : QUOTE;
  const start = pastBlankLines(bytes, from);
  const range: CsvRange = { from, start, end: bytes.length, fields: 1, hasLiteralQuote: false, fault: null };
  let field = start;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === delimiter) {
      range.fields++;
      field = at + 1;
    } else if (byte === quote && at > field) range.hasLiteralQuote = true;
    else if (byte === quote) {
      at = closingQuote(bytes, at);
      if (at === -1) range.fault = 'open';
      else if (!isFieldEnd(bytes, at + 1, delimiter)) range.fault = 'text';
      if (range.fault !== null) {
        if (range.fault === 'text') range.end = at;
        return range;
      }
    } else if (byte === LINE_FEED || byte === CARRIAGE_RETURN) {
      range.end = afterLineEnd(bytes, at);
      return range;
    }
  }
  return range;
}

/** Behind the line end that comes next. */
export function afterLine(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) {
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

/** The quote that closes the field whose opening one is at a place, or -1; two in a row are one of its characters. */
function closingQuote(bytes: Buffer, opening: number): number {
  let at = bytes.indexOf(QUOTE, opening + 1);
  while (at !== -1 && bytes[at + 1] === QUOTE) at = bytes.indexOf(QUOTE, at + 2);
  return at;
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
