// CSV and TSV after RFC 4180, parsed by csv-parse; what is added here are the physical line and the byte range of
// every record, and a defined place to continue after a broken one. A quote inside an unquoted field is a character like others:
// files written by hand have many, and pandas, which reads them for HF datasets, takes them so.
import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { counted } from '../util/text.js';
import { csvOptions, type Delimiter, delimiterOf, type Dialect, separatorLine } from './csv-dialect.js';
import {
  brokenRecord,
  byteOrderMark,
  countLines,
  NOT_UTF8,
  type Position,
  type RawRecord,
  type RecordParser,
} from './records.js';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Far above any table of texts; each name is looked at. */
const MAX_COLUMNS = 1_000_000;
/** So many quotes that are never closed are looked behind line by line; each time all that follows is gone over. */
const MAX_OPEN = 100;

const TOO_WIDE = `more than ${MAX_COLUMNS} fields`;
const NEVER_CLOSED = 'a quoted field is never closed (with quoting none, quotes are characters)';
const NOT_AT_THE_START =
  'a quote keeps a field together only at its start, directly behind the delimiter (the quotes in it are written "")';

/** A row with as many fields as the header. */
class CsvRecord implements RawRecord {
  readonly problem = null;

  constructor(
    readonly start: number,
    readonly end: number,
    readonly number: number,
    private readonly header: readonly string[],
    private readonly cells: readonly string[],
  ) {}

  columns(): readonly string[] {
    return this.header;
  }

  value(column: string): unknown {
    return this.cells[this.header.indexOf(column)];
  }
}

/** The first record names the columns. Blank lines are skipped. */
export class CsvParser implements RecordParser {
  readonly unit = 'line';
  header: readonly string[] | null = null;
  /** Null until the head of the file has been seen. */
  private found: Dialect | null = null;
  /** Quotes that were never closed. */
  private open = 0;

  /**
   * @param expected the delimiter is the one that the file's ending promises
   * @param maxRowBytes bounds memory when a quote is never closed
   */
  constructor(
    private readonly expected: Dialect,
    private readonly maxRowBytes: number,
  ) {}

  get delimiter(): Delimiter | null {
    return this.found?.delimiter ?? null;
  }

  private get dialect(): Dialect {
    return this.found ?? this.expected;
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    const end = isLast ? bytes.length : bytes.lastIndexOf(LINE_FEED) + 1;
    const whole = bytes.subarray(0, end);
    let from = byteOrderMark(bytes, at);
    if (this.found === null) {
      const headerAt = this.findDialect(whole.subarray(from), isLast);
      if (headerAt === null) return records;
      at.line += countLines(bytes, from, from + headerAt);
      from += headerAt;
    }
    // Asked once: after each of many faults it would be asked of all that follows.
    const isAllUtf8 = isUtf8(bytes);
    while (from < end) {
      const bad = this.firstBad(whole, from, isLast);
      const badAt = bad?.start ?? end;
      this.addRecords(
        records,
        whole.subarray(from, badAt),
        { offset: at.offset + from, line: at.line },
        isAllUtf8,
      );
      at.line += countLines(bytes, from, badAt);
      from = badAt;
      if (bad === null) break;
      const mayContinue = bad.fault === 'open' || bad.fault === 'unended';
      if (mayContinue && !isLast && bytes.length - from <= this.maxRowBytes) break;
      const next = this.pastBad(whole, bad);
      this.header ??= [];
      const fault = bad.fault === 'unended' ? this.tooLong() : faultOf(bytes, bad, at.line);
      records.push(brokenRecord(at.offset + from, at.offset + next, at.line, fault));
      at.line += countLines(bytes, from, next);
      from = next;
    }
    at.offset += from;
    return records;
  }

  /** Finds the delimiter in the head of the file, and where the header begins; null when more bytes are needed. */
  private findDialect(head: Buffer, isLast: boolean): number | null {
    const declared = separatorLine(head);
    const delimiter = declared?.delimiter ?? delimiterOf(head, this.expected, isLast);
    if (delimiter === null) return null;
    this.found = { ...this.expected, delimiter };
    return declared?.length ?? 0;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const [cells] =
      this.dialect.escape === null
        ? parse(bytes, { ...csvOptions(this.dialect), to: 1 })
        : escapedRows(bytes, this.dialect);
    return new CsvRecord(0, 0, 0, this.header ?? [], cells ?? []);
  };

  /** The first record that csv-parse is not given, or not yet. */
  private firstBad(bytes: Buffer, from: number, isLast: boolean): CsvRange | null {
    for (let next = from; next < bytes.length;) {
      const range = csvRange(bytes, next, this.dialect);
      if (range.fault !== null || range.fields > MAX_COLUMNS) return range;
      // The last line feed of these bytes may be an escaped one, behind which the record continues.
      if (!range.isEnded && range.start < bytes.length && !isLast) return { ...range, fault: 'unended' };
      next = range.end;
    }
    return null;
  }

  /** Where to continue: after the line with the fault, or, when a quote is never closed, after the record's first line. */
  private pastBad(bytes: Buffer, { start, end, fault }: CsvRange): number {
    if (fault === null || fault === 'unended') return end;
    if (fault === 'text') return afterLine(bytes, end);
    this.open++;
    return this.open > MAX_OPEN ? bytes.length : afterLine(bytes, start);
  }

  /** Parses bytes that hold no fault. */
  private addRecords(records: RawRecord[], bytes: Buffer, at: Position, isAllUtf8: boolean): void {
    let { line } = at;
    let next = 0;
    const rows =
      this.dialect.escape === null
        ? parse(bytes, csvOptions(this.dialect))
        : escapedRows(bytes, this.dialect);
    for (const cells of rows) {
      const range = csvRange(bytes, next, this.dialect);
      const { from, start, end } = range;
      line += countLines(bytes, from, start);
      const problem = this.problemOf(range, isAllUtf8 || isUtf8(bytes.subarray(start, end)));
      if (problem === null && this.header === null) this.header = cells;
      else if (this.header?.length !== 0) {
        this.header ??= [];
        records.push(
          problem === null
            ? new CsvRecord(at.offset + start, at.offset + end, line, this.header, cells)
            : brokenRecord(at.offset + start, at.offset + end, line, problem),
        );
      }
      line += countLines(bytes, start, end);
      next = end;
    }
  }

  private problemOf({ start, end, fields, hasLiteralQuote }: CsvRange, isGood: boolean): string | null {
    if (!isGood) return NOT_UTF8;
    if (end - start > this.maxRowBytes) return this.tooLong();
    if (this.header === null || fields === this.header.length) return null;
    const found = `${counted(fields, 'field')} where the header has ${this.header.length}`;
    return hasLiteralQuote && fields > this.header.length ? `${found}; ${NOT_AT_THE_START}` : found;
  }

  private tooLong(): string {
    return `the row is longer than ${this.maxRowBytes} bytes (maxRowBytes)`;
  }
}

/** Whether the reason why a row is bad is that it has more fields than the header, and no quote that could be to blame. */
export function hasExtraFields(reason: string): boolean {
  const [, fields = 0, columns = 0] = /^(\d+) fields where the header has (\d+)$/.exec(reason) ?? [];
  return Number(fields) > Number(columns);
}

function faultOf(bytes: Buffer, { start, end, fault }: CsvRange, line: number): string {
  if (fault === null) return TOO_WIDE;
  if (fault === 'open') return NEVER_CLOSED;
  const further = countLines(bytes, start, end);
  const where = further === 0 ? '' : ` in line ${line + further}`;
  // The fault stands behind the quote that closes the field too early.
  const isEscaped = bytes[end - 1] === BACKSLASH;
  const hint = isEscaped
    ? 'quotes written \\" are read with escape \\'
    : 'with quoting none, all are characters';
  return `text follows the quote that closes a field${where} (a quote inside a quoted field is written ""; ${hint})`;
}

/**
 * Where a record stands, in bytes, and what is in it. csv-parse only gets bytes that were checked here: it cannot continue
 * after a fault, and takes three times as long when it has to report positions.
 */
export interface CsvRange {
  /** Where the blank lines before it begin. */
  from: number;
  start: number;
  /** Behind its line end; of a record with a fault, the place of the fault. */
  end: number;
  fields: number;
  /** A quote stands within a field that does not begin with one: a character like others, as pandas takes it. */
  hasLiteralQuote: boolean;
  /** Whether a line end was found, rather than the end of the bytes. */
  isEnded: boolean;
  /**
   * `text`: a quoted field continues after its closing quote. `open`: it is not closed before the bytes end. `unended`: more
   * bytes follow, and the record has no line end in these.
   */
  fault: 'text' | 'open' | 'unended' | null;
}

/** Passes over blank lines, then to the line end that is outside of quotes, or to the first fault. */
function csvRange(bytes: Buffer, from: number, dialect: Dialect): CsvRange {
  const delimiter = dialect.delimiter.charCodeAt(0);
  const quote = dialect.quoting === 'none' ? null : QUOTE;
  const escape = dialect.escape?.charCodeAt(0);
  const start = pastBlankLines(bytes, from);
  const range: CsvRange = {
    from,
    start,
    end: bytes.length,
    fields: 1,
    hasLiteralQuote: false,
    isEnded: false,
    fault: null,
  };
  let field = start;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === escape) at++;
    else if (byte === delimiter) {
      range.fields++;
      field = at + 1;
    } else if (byte === quote && at > field) range.hasLiteralQuote = true;
    else if (byte === quote) {
      at = closingQuote(bytes, at, escape);
      if (at === -1) range.fault = 'open';
      else if (!isFieldEnd(bytes, at + 1, delimiter)) range.fault = 'text';
      if (range.fault !== null) {
        if (range.fault === 'text') range.end = at;
        return range;
      }
    } else if (byte === LINE_FEED || byte === CARRIAGE_RETURN) {
      range.end = afterLineEnd(bytes, at);
      range.isEnded = true;
      return range;
    }
  }
  return range;
}

/** Behind the line end that comes next. */
function afterLine(bytes: Buffer, from: number): number {
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
function closingQuote(bytes: Buffer, opening: number, escape: number | undefined): number {
  if (escape !== undefined) {
    for (let at = opening + 1; at < bytes.length; at++) {
      if (bytes[at] === escape || (bytes[at] === QUOTE && bytes[at + 1] === QUOTE)) at++;
      else if (bytes[at] === QUOTE) return at;
    }
    return -1;
  }
  let at = bytes.indexOf(QUOTE, opening + 1);
  while (at !== -1 && bytes[at + 1] === QUOTE) at = bytes.indexOf(QUOTE, at + 2);
  return at;
}

/**
 * The records of bytes that hold no fault, with a character that escapes. csv-parse knows that only within quotes, and then
 * not the two quotes in a row that pandas takes for one all the same.
 */
function* escapedRows(bytes: Buffer, dialect: Dialect): Generator<string[]> {
  for (let next = 0; next < bytes.length;) {
    const { start, end } = csvRange(bytes, next, dialect);
    if (start >= bytes.length) return;
    yield escapedCells(bytes.toString('utf8', start, end).replace(/(?:\r\n|\n|\r)$/, ''), dialect);
    next = end;
  }
}

function escapedCells(record: string, { delimiter, quoting, escape }: Dialect): string[] {
  const cells: string[] = [];
  let cell = '';
  let isQuoted = false;
  /** Where the characters begin that are in the field as they are and not yet in `cell`. */
  let from = 0;
  let fieldStart = 0;
  const take = (at: number, next: number): void => {
    cell += record.slice(from, at);
    from = next;
  };
  for (let at = 0; at < record.length; at++) {
    const character = record.charAt(at);
    if (character === escape) take(at, ++at);
    else if (character === '"' && quoting !== 'none') {
      if (isQuoted && record.charAt(at + 1) === '"') take(at, ++at);
      else if (isQuoted || at === fieldStart) {
        isQuoted = !isQuoted;
        take(at, at + 1);
      }
    } else if (character === delimiter && !isQuoted) {
      take(at, at + 1);
      cells.push(cell);
      cell = '';
      fieldStart = at + 1;
    }
  }
  take(record.length, record.length);
  cells.push(cell);
  return cells;
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
