// CSV and TSV after RFC 4180, parsed by csv-parse; what is added here are the physical line and the byte range of
// every record, and a defined place to go on after a broken one. csv-parse would tell of the bytes, too, but takes three
// times as long when it is asked.

import { isUtf8 } from 'node:buffer';
import { CsvError, parse } from 'csv-parse/sync';
import type { Options } from 'csv-parse/sync';
import { counted } from '../counted.js';
import { delimiterOf, separatorLine, type Delimiter } from './delimiter.js';
import { brokenRecord, byteOrderMark, countLines } from './records.js';
import type { Position, RawRecord, RecordParser } from './records.js';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;

/** Far above any table of texts; each name is looked at. */
const MAX_COLUMNS = 1_000_000;

const TOO_WIDE = `more than ${MAX_COLUMNS} fields`;

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

/** The first record names the columns. Blank lines are passed over. */
export class CsvParser implements RecordParser {
  readonly unit = 'line';
  header: readonly string[] | null = null;
  /** Null until the head of the file has been seen. */
  delimiter: Delimiter | null = null;
  private options: Options = {};

  /**
   * @param usual the delimiter that the file's ending promises
   * @param maxRowBytes bounds memory when a quote is never closed
   */
  constructor(
    private readonly usual: Delimiter,
    private readonly maxRowBytes: number,
  ) {}

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    const end = isLast ? bytes.length : bytes.lastIndexOf(LINE_FEED) + 1;
    let from = byteOrderMark(bytes, at);
    if (this.delimiter === null) {
      const headerAt = this.findDelimiter(bytes.subarray(from, end), isLast);
      if (headerAt === null) return records;
      at.line += countLines(bytes, from, from + headerAt);
      from += headerAt;
    }
    // Asked once: after each of many faults it would be asked of all that follows.
    const isAllUtf8 = isUtf8(bytes);
    while (from < end) {
      const wide = this.wideLine(bytes, from, end);
      const stretch = this.parseStretch(bytes.subarray(from, wide?.start ?? end), {
        offset: at.offset + from,
        line: at.line,
        isAllUtf8,
      });
      for (const record of stretch.records) records.push(record);
      const length = stretch.parsed;
      at.line += countLines(bytes, from, from + length);
      from += length;
      if (stretch.fault === null && wide !== null && from === wide.start) {
        this.header ??= [];
        records.push(brokenRecord(at.offset + from, at.offset + wide.end, at.line, TOO_WIDE));
        at.line++;
        from = wide.end;
      }
      if (stretch.fault === null) continue;
      const isUnfinished =
        stretch.fault.code === 'CSV_QUOTE_NOT_CLOSED' && bytes.length - from <= this.maxRowBytes;
      if (isUnfinished && !isLast) break;
      this.header ??= [];
      const next = pastFault(bytes, from, stretch.fault);
      records.push(brokenRecord(at.offset + from, at.offset + next, at.line, faultMessage(stretch.fault)));
      at.line += countLines(bytes, from, next);
      from = next;
    }
    at.offset += from;
    return records;
  }

  /** Finds the delimiter in the head of the file, and where the header begins; null where that takes more of it. */
  private findDelimiter(head: Buffer, isLast: boolean): number | null {
    const declared = separatorLine(head);
    this.delimiter = declared?.delimiter ?? delimiterOf(head, this.usual, isLast);
    if (this.delimiter === null) return null;
    this.options = {
      delimiter: this.delimiter,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      skip_empty_lines: true,
    };
    return declared?.length ?? 0;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const [cells] = parse(bytes, { ...this.options, to: 1 });
    return new CsvRecord(0, 0, 0, this.header ?? [], cells ?? []);
  };

  /** The first line with too many fields, which would be made one by one; one with a quote is left to the parser. */
  private wideLine(bytes: Buffer, from: number, end: number): { start: number; end: number } | null {
    for (let start = from; end - start > MAX_COLUMNS;) {
      const feed = bytes.indexOf(LINE_FEED, start);
      const next = feed === -1 || feed >= end ? end : feed + 1;
      if (next - start > MAX_COLUMNS) {
        const line = bytes.subarray(start, next);
        if (!line.includes(QUOTE) && this.fieldsOf(line) > MAX_COLUMNS) return { start, end: next };
      }
      start = next;
    }
    return null;
  }

  private fieldsOf(line: Buffer): number {
    const delimiter = this.delimiter?.charCodeAt(0);
    let count = 1;
    for (const byte of line) if (byte === delimiter) count++;
    return count;
  }

  /** Parses whole records up to the end or to the first fault; `parsed` bytes of them are good. */
  private parseStretch(
    bytes: Buffer,
    at: Position & { isAllUtf8: boolean },
  ): { records: RawRecord[]; parsed: number; fault: Fault | null } {
    const { rows, fault } = this.rowsOf(bytes);
    const records: RawRecord[] = [];
    let range = firstRange(bytes);
    let { line } = at;
    for (const cells of rows) {
      const { start, end } = range;
      line += countLines(bytes, range.from, start);
      const isGood = at.isAllUtf8 || isUtf8(bytes.subarray(start, end));
      records.push(...this.record(cells, { start: at.offset + start, end: at.offset + end, line }, isGood));
      line += countLines(bytes, start, end);
      range = nextRange(bytes, range);
    }
    if (fault === null) return { records, parsed: bytes.length, fault: null };
    // csv-parse counts lines from 1.
    return { records, parsed: range.start, fault: { ...fault, lineEnds: fault.lines - 1 - range.lineEnds } };
  }

  /** The cells of all records before the first fault. */
  private rowsOf(bytes: Buffer): { rows: string[][]; fault: { code: string; lines: number } | null } {
    try {
      return { rows: parse(bytes, this.options), fault: null };
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      const to = Number(error['records']);
      const rows = to === 0 ? [] : parse(bytes, { ...this.options, to });
      return { rows, fault: { code: error.code, lines: Number(error['lines']) } };
    }
  }

  private record(
    cells: string[],
    range: { start: number; end: number; line: number },
    isGood: boolean,
  ): RawRecord[] {
    const { start, end, line } = range;
    if (!isGood) {
      this.header ??= [];
      return [brokenRecord(start, end, line, 'not valid UTF-8')];
    }
    if (end - start > this.maxRowBytes) {
      this.header ??= [];
      return [
        brokenRecord(start, end, line, `the row is longer than ${this.maxRowBytes} bytes (--max-row-bytes)`),
      ];
    }
    if (this.header === null) {
      this.header = cells;
      return [];
    }
    if (cells.length === this.header.length) return [new CsvRecord(start, end, line, this.header, cells)];
    return [
      brokenRecord(
        start,
        end,
        line,
        `${counted(cells.length, 'field')} where the header has ${this.header.length}`,
      ),
    ];
  }
}

/** Where a record stands that csv-parse accepted. */
interface Range {
  /** Where the blank lines before it begin. */
  from: number;
  start: number;
  end: number;
  /** Line ends before `start`, as csv-parse counts them: inside quotes every carriage return and every line feed. */
  lineEnds: number;
}

function firstRange(bytes: Buffer): Range {
  return rangeFrom(bytes, 0, 0);
}

function nextRange(bytes: Buffer, { start, end, lineEnds }: Range): Range {
  return rangeFrom(bytes, end, lineEnds + lineEndsWithin(bytes, start, end));
}

/** Passes over blank lines, then to the line end that is outside of quotes. */
function rangeFrom(bytes: Buffer, from: number, lineEndsBefore: number): Range {
  let start = from;
  let lineEnds = lineEndsBefore;
  for (let end = afterLineEnd(bytes, start); end > start; end = afterLineEnd(bytes, start)) {
    lineEnds++;
    start = end;
  }
  let isQuoted = false;
  for (let at = start; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) isQuoted = !isQuoted;
    if (isQuoted) continue;
    const end = afterLineEnd(bytes, at);
    if (end > at) return { from, start, end, lineEnds };
  }
  return { from, start, end: bytes.length, lineEnds };
}

/** Behind the line end at a place; the place itself where there is none. */
function afterLineEnd(bytes: Buffer, at: number): number {
  if (bytes[at] === LINE_FEED) return at + 1;
  if (bytes[at] !== CARRIAGE_RETURN) return at;
  return bytes[at + 1] === LINE_FEED ? at + 2 : at + 1;
}

/** As {@link Range.lineEnds} counts them, in one record. */
function lineEndsWithin(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; at++) if (bytes[at] === LINE_FEED || bytes[at] === CARRIAGE_RETURN) count++;
  const endsWithBoth = end - start >= 2 && bytes[end - 2] === CARRIAGE_RETURN && bytes[end - 1] === LINE_FEED;
  return endsWithBoth ? count - 1 : count;
}

/** A record that csv-parse refused; `lineEnds`: carriage returns and line feeds between its start and the fault. */
interface Fault {
  code: string;
  lineEnds: number;
}

/** Where to go on: after the line with the fault, or, when a quote is never closed, after the record's first line. */
function pastFault(bytes: Buffer, start: number, fault: Fault): number {
  let lineEnds = fault.code === 'CSV_QUOTE_NOT_CLOSED' ? 0 : fault.lineEnds;
  for (let i = start; i < bytes.length; i++) {
    if (bytes[i] !== LINE_FEED && bytes[i] !== CARRIAGE_RETURN) continue;
    if (lineEnds-- > 0) continue;
    return bytes[i] === CARRIAGE_RETURN && bytes[i + 1] === LINE_FEED ? i + 2 : i + 1;
  }
  return bytes.length;
}

function faultMessage(fault: Fault): string {
  if (fault.code === 'CSV_QUOTE_NOT_CLOSED') return 'a quoted field is never closed';
  if (fault.code === 'CSV_INVALID_CLOSING_QUOTE') {
    return 'text follows the quote that closes a field (a quote inside a quoted field is written "")';
  }
  return 'a quote stands inside an unquoted field (quote the field and write the quote "")';
}
