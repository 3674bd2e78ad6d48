// Cuts a byte stream into records: the loop shared by CSV, JSON Lines and JSON arrays.
import { DamagedInput } from './compression.js';
import type { JsonObject } from '../util/json.js';
import type { Delimiter } from './csv-dialect.js';

/** One row as in its file, before its columns are checked. */
export interface RawRecord {
  /** Byte offset of the row in its (decompressed) file; 0 where that means nothing. */
  readonly start: number;
  readonly end: number;
  /** Physical line of the row's first character, or row number, from 1; see `RecordParser.unit`. */
  readonly number: number;
  /** Why the row cannot be used at all, e.g. broken JSON. */
  readonly problem: string | null;
  /** Names of the columns this row has. */
  columns(): readonly string[];
  /** The value of a column; undefined when the row does not have it. */
  value(column: string): unknown;
  /** A number that JavaScript's would not show as it is written, such as 5.0 or one beyond 2^53; null for other values. */
  written?(column: string): string | null;
  /** The object of JSON that the row is made of; null where another row stands for it. */
  object?(): JsonObject | null;
  /** What the row was before it had these columns; null where it always had them. */
  origin?(): AnnotationExport | null;
}

/** A tool that annotates texts, and from which of its fields columns were made. */
export interface AnnotationExport {
  readonly tool: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Position of the next unread byte. */
export interface Position {
  offset: number;
  /** Physical line, from 1. */
  line: number;
}

/** What `RawRecord.number` counts. */
export type Unit = 'line' | 'row';

/** Turns bytes into records; stateful, one for each file. */
export interface RecordParser {
  /** Known once the first record has been parsed. */
  readonly unit: Unit;
  /** The columns where the file declares them (a CSV header); null where only the rows tell. */
  readonly header: readonly string[] | null;
  /** What separates the fields of a row, once it is known; only in CSV and TSV. */
  readonly delimiter?: Delimiter | null;
  /** Remarks on how the file is read, once the first record has been parsed. */
  readonly notes?: readonly string[];
  /**
   * Parses whole records from the head of `bytes` and moves `at` past them. Bytes left over come again with more
   * behind them, unless `isLast`. A record above the limit of a row is the parser's to report and pass over.
   */
  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[];
  /** Reads the record at the head of `bytes` again, whatever follows it; null where rows cannot be read singly. */
  readonly reread: ((bytes: Buffer) => RawRecord) | null;
}

/** Why a row is bad whose bytes are no text. */
export const NOT_UTF8 = 'not valid UTF-8';

/** A row of which only the position and the fault are known. */
export function brokenRecord(start: number, end: number, number: number, problem: string): RawRecord {
  return { start, end, number, problem, columns: noColumns, value: noValue };
}

// One function for all, since there may be half a million in a chunk.
function noColumns(): readonly string[] {
  return [];
}

function noValue(): unknown {
  return undefined;
}

/** Feeds a parser with growing buffers until it can cut records off; yields them in batches. */
export async function* cutRecords(
  chunks: AsyncIterable<Buffer>,
  parser: RecordParser,
): AsyncGenerator<RawRecord[]> {
  const at: Position = { offset: 0, line: 1 };
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  // A record longer than what is there makes the parser wait for twice as much, so long records cost linear time.
  let wanted = 0;
  const parse = (isLast: boolean): RawRecord[] => {
    const bytes = waiting.length === 1 && waiting[0] !== undefined ? waiting[0] : Buffer.concat(waiting);
    const before = at.offset;
    const records = parser.parse(bytes, at, isLast);
    const rest = bytes.subarray(at.offset - before);
    waiting = rest.length === 0 ? [] : [rest];
    waitingBytes = rest.length;
    wanted = at.offset === before ? 2 * waitingBytes : 0;
    return records;
  };
  try {
    for await (const chunk of chunks) {
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (waitingBytes >= wanted) yield parse(false);
    }
  } catch (error) {
    if (!(error instanceof DamagedInput)) throw error;
    yield parse(false);
    yield [brokenRecord(at.offset, at.offset, at.line, error.message)];
    return;
  }
  yield parse(true);
}

const LINE_FEED = 0x0a;

/** Line feeds in a stretch of bytes. */
export function countLines(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED, from); at !== -1 && at < to; at = bytes.indexOf(LINE_FEED, at + 1))
    count++;
  return count;
}

/** Cuts at line feeds; a line above the limit of a row is one broken record, however long it is. */
export class LineCutter {
  private insideLongLine = false;

  /** @param recordsOf the records of a line, whose bytes may end in a line feed */
  constructor(
    private readonly maxRowBytes: number,
    private readonly recordsOf: (line: Buffer, start: number, number: number) => readonly RawRecord[],
  ) {}

  /** As `RecordParser.parse`. */
  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    const base = at.offset;
    let from = byteOrderMark(bytes, at);
    while (from < bytes.length) {
      const feed = bytes.indexOf(LINE_FEED, from);
      if (feed === -1 && !isLast && bytes.length - from <= this.maxRowBytes) break;
      const to = feed === -1 ? bytes.length : feed + 1;
      if (this.insideLongLine || to - from > this.maxRowBytes) {
        const problem = `the line is longer than ${this.maxRowBytes} bytes (maxRowBytes)`;
        if (!this.insideLongLine) records.push(brokenRecord(base + from, base + to, at.line, problem));
        this.insideLongLine = feed === -1;
      } else {
        const line = bytes.subarray(from, to);
        for (const record of this.recordsOf(line, base + from, at.line)) records.push(record);
      }
      if (feed !== -1) at.line++;
      from = to;
      at.offset = base + from;
    }
    return records;
  }
}

/** The first line without its line feed. */
export function firstLine(bytes: Buffer): Buffer {
  const feed = bytes.indexOf(LINE_FEED);
  return feed === -1 ? bytes : bytes.subarray(0, feed);
}

/** Rows that are looked at to find the columns. */
const SAMPLE_ROWS = 100;

/** The columns of the first good rows; null where there is none. */
export function columnsOf(rows: readonly RawRecord[]): string[] | null {
  const good = rows.filter((record) => record.problem === null).slice(0, SAMPLE_ROWS);
  return good.length === 0 ? null : [...new Set(good.flatMap((record) => record.columns()))];
}

/** Length of the UTF-8 byte order mark at the head of a file, which is not part of its first record: 0 or 3. */
export function byteOrderMark(bytes: Buffer, at: Position): number {
  return at.offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}
