// JSON of every layout, cut into its rows so that a file never has to fit in memory: an object a line; objects behind one
// another, indented, glued or with commas between; arrays of objects; and such an array in an object.
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { listed } from '../util/text.js';
import { isLabelStudioTask } from './annotation-exports.js';
import { digitsOf, jsonRecords, readValue, recordsOf } from './json-rows.js';
import {
  CLOSE_ARRAY,
  COMMA,
  elementEnd,
  isSpace,
  LINE_FEED,
  type NamedArray,
  namedArrays,
  OPEN_ARRAY,
  OPEN_OBJECT,
  scanObject,
  skipSpace,
} from './json-scan.js';
import { tableOf, type Table } from './json-tables.js';
import {
  brokenRecord,
  byteOrderMark,
  firstLine,
  LineCutter,
  type Position,
  type RawRecord,
  type RecordParser,
  type Unit,
} from './records.js';

/** What is to be read from a file, and how much of it at once. */
export interface JsonRequest {
  /** For messages. */
  readonly path: string;
  readonly maxRowBytes: number;
  /** What holds the rows in the only object: a name, or names with points between. */
  readonly field?: string | undefined;
  /** Whether the file may be no single object all the same. */
  readonly isPresumed?: boolean;
  /** Where that is not named, the list with this name is meant. */
  readonly split: string;
  /** Whether the name of the file promises an object a line. */
  readonly isLines: boolean;
}

/** Finds the layout of a file from its first bytes, whatever its name, and reads it so. */
export class JsonParser implements RecordParser {
  readonly header = null;
  readonly notes: string[] = [];
  private inner: RecordParser | null = null;

  constructor(private readonly request: JsonRequest) {}

  get unit(): Unit {
    return this.inner?.unit ?? (this.request.isLines ? 'line' : 'row');
  }

  get reread(): RecordParser['reread'] {
    return this.inner?.reread ?? null;
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    if (this.inner === null) {
      const from = skipSpace(bytes, byteOrderMark(bytes, at));
      if (from === bytes.length) return [];
      this.inner = this.layout(bytes, from, isLast);
      if (this.inner === null) return [];
    }
    return this.inner.parse(bytes, at, isLast);
  }

  /** Null when more bytes are needed to tell. */
  private layout(bytes: Buffer, from: number, isLast: boolean): RecordParser | null {
    const { maxRowBytes, isLines, field, isPresumed } = this.request;
    const lines = (): RecordParser => new JsonLinesParser(maxRowBytes);
    if (bytes[from] === OPEN_ARRAY)
      return isRowOfCells(bytes, from) ? lines() : new JsonValuesParser(maxRowBytes);
    if (bytes[from] !== OPEN_OBJECT) return isLines ? lines() : new JsonValuesParser(maxRowBytes);
    const first = scanObject(bytes, from);
    if (first.fault) return lines();
    const isLong = (first.end ?? bytes.length) - from > maxRowBytes;
    if (first.end === null && !isLong && !isLast) return null;
    if (first.end === null || isLong)
      return this.longTable(bytes.subarray(0, from + maxRowBytes), from) ?? lines();
    const next = skipSpace(bytes, first.end, true);
    if (next === bytes.length && !isLast) return null;
    const read = readValue(bytes.subarray(from, first.end));
    const object = 'value' in read && isObject(read.value) ? read.value : null;
    if (next === bytes.length && object !== null && !(isLines && hasWords(object))) {
      const table = tableOf(object, this.request);
      if (table !== null)
        return this.tableParser(table, namedArrays(bytes, from), () => {
          const digits = 'text' in read ? digitsOf(read.text) : undefined;
          const inDigits = isObject(digits) ? tableOf(digits, this.request) : null;
          return inDigits !== null && 'rows' in inDigits ? inDigits.rows : [];
        });
    }
    if (field !== undefined && isPresumed !== true)
      throw new UsageError(
        `${this.request.path} is no single JSON object, so jsonField does not apply to it`,
      );
    const gap = bytes.subarray(first.end, next);
    const isLine = !first.hasFeed && (next === bytes.length || gap.includes(LINE_FEED));
    if (!isLine) return new JsonValuesParser(maxRowBytes);
    return new JsonLinesParser(maxRowBytes, object === null || !isLabelStudioTask(object));
  }

  /** @param inDigits the rows of a table by columns with their numbers as they are written */
  private tableParser(
    table: Table,
    arrays: readonly NamedArray[],
    inDigits: () => readonly unknown[],
  ): RecordParser {
    const { path, field, maxRowBytes } = this.request;
    if ('twice' in table)
      throw new UsageError(
        `${path} has several columns called ${JSON.stringify(table.twice)}; give each a name of its own`,
      );
    if ('note' in table) this.notes.push(`${path}: ${table.note}`);
    if ('rows' in table) return new JsonTableParser(table.rows, inDigits());
    if ('list' in table) {
      // Of a name that is there twice the last one counts, as for JSON.parse.
      const found = arrays.findLast((array) => isSamePath(array.path, table.list));
      // Read from their text, so that numbers are as they are written.
      if (found !== undefined) return new JsonValuesParser(maxRowBytes, found.start);
    }
    const names = 'names' in table ? table.names : [table.list.join('.')];
    throw new UsageError(
      field === undefined
        ? `${path} has several lists of rows: ${listed(names)}; name one with jsonField`
        : `${path} has no rows in ${JSON.stringify(field)}; name one of its members with jsonField: ${listed(names)}`,
    );
  }

  /** An object larger than any row: its rows are in an array, which is read element by element. */
  private longTable(bytes: Buffer, from: number): RecordParser | null {
    const { field, split, path, maxRowBytes } = this.request;
    const arrays = namedArrays(bytes, from);
    const rows = arrays.filter(({ holdsObjects }) => holdsObjects);
    const depth = rows.reduce((least, { path: names }) => Math.min(least, names.length), Infinity);
    const [only, other] = rows.filter((array) => array.path.length === depth);
    const named = field ?? split;
    const found =
      arrays.find((array) => nameOf(array) === named) ??
      (field === undefined && other === undefined ? only : undefined);
    if (found === undefined) {
      if (field === undefined && only === undefined) return null;
      throw new UsageError(
        `${path} has ${arrays.length === 0 ? 'no list of rows' : `lists in ${listed(arrays.map(nameOf))}`} ` +
          `within its first ${maxRowBytes} bytes; name the one with the rows with jsonField`,
      );
    }
    this.notes.push(`${path}: the rows are read from ${JSON.stringify(nameOf(found))}`);
    return new JsonValuesParser(maxRowBytes, found.start);
  }
}

/** A line by itself may be a text that is split into words, and no table by columns. */
function hasWords(object: JsonObject): boolean {
  return ['tokens', 'words'].some((name) => Array.isArray(object[name]));
}

/** Whether an array of strings or numbers stands in a line of its own, with another one in the next: rows without names. */
function isRowOfCells(bytes: Buffer, from: number): boolean {
  const first = bytes[skipSpace(bytes, from + 1)];
  if (first === OPEN_OBJECT || first === OPEN_ARRAY) return false;
  const { end, hasFeed } = scanObject(bytes, from);
  return end !== null && !hasFeed && bytes[skipSpace(bytes, end, true)] === OPEN_ARRAY;
}

function nameOf({ path }: NamedArray): string {
  return path.join('.');
}

function isSamePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}

/** Cuts at line feeds; blank lines are skipped but counted, and a comma behind an object is no fault. */
class JsonLinesParser implements RecordParser {
  readonly unit = 'line';
  readonly header = null;
  readonly reread: RecordParser['reread'];
  private readonly lines: LineCutter;

  /** @param areSingle whether each line is one row, so that its bytes are enough to read it again */
  constructor(maxRowBytes: number, areSingle = true) {
    this.reread = areSingle ? rereadLine : null;
    this.lines = new LineCutter(maxRowBytes, (line, start, number) =>
      isBlank(line) ? [] : lineRecords(line, start, number),
    );
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    return this.lines.parse(bytes, at, isLast);
  }
}

function rereadLine(bytes: Buffer): RawRecord {
  const [record] = lineRecords(firstLine(bytes), 0, 0);
  return record ?? brokenRecord(0, 0, 0, 'no row');
}

function lineRecords(line: Buffer, start: number, number: number): RawRecord[] {
  // Files that were joined each bring their mark.
  const mark = byteOrderMark(line, { offset: 0, line: 1 });
  if (mark > 0) return lineRecords(line.subarray(mark), start + mark, number);
  let end = line.length;
  while (end > 0 && isSpace(line[end - 1])) end--;
  if (end === 0 || line[end - 1] !== COMMA) return jsonRecords(line, start, number);
  return jsonRecords(line.subarray(0, end - 1), start, number);
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
}

/** Rows of a table that is written by columns and was small enough to be read as a whole. */
class JsonTableParser implements RecordParser {
  readonly unit = 'row';
  readonly header = null;
  readonly reread = null;

  constructor(
    private rows: readonly unknown[],
    private readonly inDigits: readonly unknown[],
  ) {}

  parse(bytes: Buffer, at: Position): RawRecord[] {
    const { rows, inDigits } = this;
    this.rows = [];
    at.offset += bytes.length;
    return rows.flatMap((row, i) => recordsOf(row, 0, 0, i + 1, '', inDigits[i]));
  }
}

/** Objects and arrays of objects behind one another. Records are numbered by row, since such a file is often a single line. */
class JsonValuesParser implements RecordParser {
  readonly unit = 'row';
  readonly header = null;
  readonly reread = null;
  private state: 'top' | 'array' | 'after' = 'top';
  private row = 0;
  /** Where the array begins that alone is read; null once it has been reached, and for a whole file. */
  private entry: number | null;
  private readonly isMember: boolean;

  /** @param entry in bytes: behind the bracket of an array within an object, which alone is read */
  constructor(
    private readonly maxRowBytes: number,
    entry: number | null = null,
  ) {
    this.entry = entry;
    this.isMember = entry !== null;
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    let from = byteOrderMark(bytes, at);
    if (this.entry !== null) {
      from = this.entry;
      this.entry = null;
      this.state = 'array';
    }
    while (this.state !== 'after' && from < bytes.length) {
      const next =
        this.state === 'top'
          ? this.topLevel(bytes, from, at, isLast, records)
          : this.element(bytes, from, at, isLast, records);
      if (next === null) break;
      from = next;
    }
    if (isLast && this.state === 'array' && from >= bytes.length) records.push(this.giveUp(at, NEVER_CLOSED));
    at.offset += this.state === 'after' ? bytes.length : from;
    return records;
  }

  /** @returns where to continue; null when more bytes are needed, or nothing is left to read */
  private topLevel(
    bytes: Buffer,
    start: number,
    at: Position,
    isLast: boolean,
    records: RawRecord[],
  ): number | null {
    let from = skipSpace(bytes, start);
    if (this.row > 0 && bytes[from] === COMMA) from = skipSpace(bytes, from + 1);
    if (from === bytes.length) return from;
    if (bytes[from] === OPEN_ARRAY) {
      this.state = 'array';
      return from + 1;
    }
    if (bytes[from] !== OPEN_OBJECT) {
      const expected =
        this.row === 0 ? 'a JSON array of objects, or JSON objects' : 'another JSON object or the end';
      records.push(
        this.giveUp(
          at,
          `expected ${expected}, but found ${JSON.stringify(String.fromCharCode(bytes[from] ?? 0))}`,
        ),
      );
      return null;
    }
    const { end } = scanObject(bytes, from);
    if (end === null)
      return this.unended(
        bytes,
        from,
        at,
        isLast,
        records,
        'a JSON object is never closed (truncated file?)',
      );
    this.add(bytes, from, end, at, records);
    return end;
  }

  private element(
    bytes: Buffer,
    from: number,
    at: Position,
    isLast: boolean,
    records: RawRecord[],
  ): number | null {
    const to = elementEnd(bytes, from);
    if (to === -1) return this.unended(bytes, from, at, isLast, records, NEVER_CLOSED);
    const isClosing = bytes[to] === CLOSE_ARRAY;
    const isNothing = isClosing && skipSpace(bytes, from) === to;
    if (!isNothing) this.add(bytes, from, to, at, records);
    if (isClosing) this.state = this.isMember ? 'after' : 'top';
    return to + 1;
  }

  private add(bytes: Buffer, from: number, to: number, at: Position, records: RawRecord[]): void {
    const [start, end, number] = [at.offset + from, at.offset + to, ++this.row];
    if (to - from > this.maxRowBytes) records.push(brokenRecord(start, end, number, this.tooLong()));
    else for (const record of jsonRecords(bytes.subarray(from, to), start, number)) records.push(record);
  }

  private unended(
    bytes: Buffer,
    from: number,
    at: Position,
    isLast: boolean,
    records: RawRecord[],
    fault: string,
  ): null {
    if (isLast) records.push(this.giveUp(at, fault));
    else if (bytes.length - from > this.maxRowBytes) records.push(this.giveUp(at, this.tooLong()));
    return null;
  }

  private tooLong(): string {
    return `the element is longer than ${this.maxRowBytes} bytes (maxRowBytes), or a quote or bracket is never closed`;
  }

  /** Where the nesting is lost no later element can be trusted. */
  private giveUp(at: Position, problem: string): RawRecord {
    this.state = 'after';
    return brokenRecord(at.offset, at.offset, ++this.row, problem);
  }
}

const NEVER_CLOSED = 'the JSON array is never closed (truncated file?)';
