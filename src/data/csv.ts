// CSV and TSV after RFC 4180, parsed by csv-parse; what is added here are the physical line and the byte range of
// every record, and a defined place to go on after a broken one. A quote inside an unquoted field is a character like others:
// files written by hand have many, and pandas, which reads them for HF datasets, takes them so.

import { isUtf8 } from 'node:buffer';
import { CsvError, parse } from 'csv-parse/sync';
import { counted } from '../counted.js';
import { csvOptions, type Delimiter, type Dialect } from './csv-dialect.js';
import { afterLine, csvRange, type CsvRange } from './csv-range.js';
import { delimiterOf, separatorLine } from './delimiter.js';
import { brokenRecord, byteOrderMark, countLines } from './records.js';
import type { Position, RawRecord, RecordParser } from './records.js';

const LINE_FEED = 0x0a;
const QUOTE = 0x22;

/** Far above any table of texts; each name is looked at. */
const MAX_COLUMNS = 1_000_000;

const TOO_WIDE = `more than ${MAX_COLUMNS} fields`;
const NEVER_CLOSED = 'a quoted field is never closed (--quoting none takes quotes as characters)';
const TEXT_BEHIND_QUOTE =
  'text follows the quote that closes a field (a quote inside a quoted field is written ""; --quoting none takes all as characters)';
const LITERAL_QUOTE =
  'a quote inside an unquoted field does not keep what follows it together (quote the whole field and write the quote "")';

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
  private found: Dialect | null = null;

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
    let from = byteOrderMark(bytes, at);
    if (this.found === null) {
      const headerAt = this.findDialect(bytes.subarray(from, end), isLast);
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
      if (!stretch.isOpen && wide !== null && from === wide.start) {
        this.header ??= [];
        records.push(brokenRecord(at.offset + from, at.offset + wide.end, at.line, TOO_WIDE));
        at.line++;
        from = wide.end;
      }
      if (!stretch.isOpen) continue;
      if (bytes.length - from <= this.maxRowBytes && !isLast) break;
      this.header ??= [];
      const next = afterLine(bytes, from);
      records.push(brokenRecord(at.offset + from, at.offset + next, at.line, NEVER_CLOSED));
      at.line += countLines(bytes, from, next);
      from = next;
    }
    at.offset += from;
    return records;
  }

  /** Finds the delimiter in the head of the file, and where the header begins; null where that takes more of it. */
  private findDialect(head: Buffer, isLast: boolean): number | null {
    const declared = separatorLine(head);
    const delimiter = declared?.delimiter ?? delimiterOf(head, this.expected, isLast);
    if (delimiter === null) return null;
    this.found = { ...this.expected, delimiter };
    return declared?.length ?? 0;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const [cells] = parse(bytes, { ...csvOptions(this.dialect), to: 1 });
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
    const delimiter = this.dialect.delimiter.charCodeAt(0);
    let count = 1;
    for (const byte of line) if (byte === delimiter) count++;
    return count;
  }

  /** Parses records up to the end, or to one with a quote that is never closed; `parsed` bytes are those before it. */
  private parseStretch(
    bytes: Buffer,
    at: Position & { isAllUtf8: boolean },
  ): { records: RawRecord[]; parsed: number; isOpen: boolean } {
    const { rows, isOpen } = this.rowsOf(bytes);
    const records: RawRecord[] = [];
    let range = csvRange(bytes, 0, this.dialect);
    let { line } = at;
    for (const cells of rows) {
      const { from, start, end } = range;
      line += countLines(bytes, from, start);
      const isGood = at.isAllUtf8 || isUtf8(bytes.subarray(start, end));
      const inFile = { ...range, start: at.offset + start, end: at.offset + end, line };
      records.push(...this.record(cells, inFile, isGood));
      line += countLines(bytes, start, end);
      range = csvRange(bytes, end, this.dialect);
    }
    return { records, parsed: isOpen ? range.start : bytes.length, isOpen };
  }

  /** The cells of all records, or of those before one with a quote that is never closed. */
  private rowsOf(bytes: Buffer): { rows: string[][]; isOpen: boolean } {
    const options = csvOptions(this.dialect);
    try {
      return { rows: parse(bytes, options), isOpen: false };
    } catch (error) {
      if (!(error instanceof CsvError) || error.code !== 'CSV_QUOTE_NOT_CLOSED') throw error;
      const to = Number(error['records']);
      return { rows: to === 0 ? [] : parse(bytes, { ...options, to }), isOpen: true };
    }
  }

  /** Nothing for the header. */
  private record(cells: string[], range: CsvRange & { line: number }, isGood: boolean): RawRecord[] {
    const { start, end, line } = range;
    const problem = this.problemOf(cells, range, isGood);
    if (problem !== null) {
      this.header ??= [];
      return [brokenRecord(start, end, line, problem)];
    }
    if (this.header !== null) return [new CsvRecord(start, end, line, this.header, cells)];
    this.header = cells;
    return [];
  }

  private problemOf(cells: string[], range: CsvRange, isGood: boolean): string | null {
    if (!isGood) return 'not valid UTF-8';
    if (range.end - range.start > this.maxRowBytes)
      return `the row is longer than ${this.maxRowBytes} bytes (--max-row-bytes)`;
    if (range.hasTextBehindQuote) return TEXT_BEHIND_QUOTE;
    if (this.header === null || cells.length === this.header.length) return null;
    const fields = `${counted(cells.length, 'field')} where the header has ${this.header.length}`;
    return range.hasLiteralQuote ? `${fields}; ${LITERAL_QUOTE}` : fields;
  }
}
