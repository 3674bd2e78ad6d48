// JSON Lines, one object a line, and .json files of one array of objects, which is cut into its elements so that it never
// has to fit in memory.
import { isUtf8 } from 'node:buffer';
import { messageOf } from '../util/errors.js';
import { jsonExcess } from '../util/json.js';
import {
  brokenRecord,
  byteOrderMark,
  type Position,
  type RawRecord,
  type RecordParser,
  type Unit,
} from './records.js';

const LINE_FEED = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** What a shorter row becomes in memory cannot do harm. */
const SMALL_BYTES = 1 << 20;

/** A row that was one JSON object. */
class JsonRecord implements RawRecord {
  readonly problem = null;

  constructor(
    readonly start: number,
    readonly end: number,
    readonly number: number,
    private readonly object: Readonly<Record<string, unknown>>,
    private readonly json: string,
  ) {}

  columns(): readonly string[] {
    return Object.keys(this.object);
  }

  value(column: string): unknown {
    return Object.hasOwn(this.object, column) ? this.object[column] : undefined;
  }

  written(column: string): string | null {
    const value = this.value(column);
    if (!Number.isInteger(value)) return null;
    const found = numberBehind(this.json, column, Number(value));
    if (found !== null) return found;
    return UNLIKE_ITSELF.test(this.json) ? numberAsWritten(this.json, column) : null;
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

/** The pieces of JSON: strings, brackets, and all else between commas and colons. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/gsu;

/** The number that an object has under a key, in its own digits; the last one, as JSON.parse takes it. */
function numberAsWritten(json: string, key: string): string | null {
  let [depth, found, isNext] = [0, null as string | null, false];
  let before = '';
  for (const [token] of json.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (token === ':') isNext = depth === 1 && JSON.parse(before) === key;
    else if (isNext) [found, isNext] = [/^[-\d]/.test(token) ? token : null, false];
    before = token;
  }
  return found;
}

/** The record in one stretch of JSON text; anything but one object in good UTF-8 has a problem instead of columns. */
export function jsonRecord(json: Buffer, start: number, number: number): RawRecord {
  const end = start + json.length;
  if (!isUtf8(json)) return brokenRecord(start, end, number, 'not valid UTF-8');
  const excess = json.length > SMALL_BYTES ? jsonExcess(json) : null;
  if (excess !== null) return brokenRecord(start, end, number, `too much JSON: ${excess}`);
  try {
    const text = json.toString('utf8');
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return new JsonRecord(start, end, number, value, text);
    return brokenRecord(start, end, number, 'expected a JSON object such as {"text": "...", "label": "..."}');
  } catch (error) {
    return brokenRecord(start, end, number, `broken JSON: ${messageOf(error).replaceAll(/\s+/g, ' ')}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Cuts at line feeds; blank lines are skipped but counted. */
export class JsonLinesParser implements RecordParser {
  readonly unit = 'line';
  readonly header = null;
  private insideLongLine = false;

  constructor(private readonly maxRowBytes: number) {}

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    const base = at.offset;
    let from = byteOrderMark(bytes, at);
    while (from < bytes.length) {
      const feed = bytes.indexOf(LINE_FEED, from);
      if (feed === -1 && !isLast && bytes.length - from <= this.maxRowBytes) break;
      const to = feed === -1 ? bytes.length : feed + 1;
      if (this.insideLongLine || to - from > this.maxRowBytes) {
        if (!this.insideLongLine) records.push(this.tooLong(base + from, base + to, at.line));
        this.insideLongLine = feed === -1;
      } else {
        const line = bytes.subarray(from, to);
        if (!isBlank(line)) records.push(jsonRecord(line, base + from, at.line));
      }
      if (feed !== -1) at.line++;
      from = to;
      at.offset = base + from;
    }
    return records;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const feed = bytes.indexOf(LINE_FEED);
    return jsonRecord(feed === -1 ? bytes : bytes.subarray(0, feed), 0, 0);
  };

  private tooLong(start: number, end: number, line: number): RawRecord {
    return brokenRecord(start, end, line, `the line is longer than ${this.maxRowBytes} bytes (maxRowBytes)`);
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
}

/** An array, or JSON Lines under the name .json (as HF's `json` loader accepts): the first character tells. */
export class JsonFileParser implements RecordParser {
  readonly header = null;
  private inner: RecordParser | null = null;

  constructor(private readonly maxRowBytes: number) {}

  get unit(): Unit {
    return this.inner?.unit ?? 'line';
  }

  get reread(): RecordParser['reread'] {
    return this.inner?.reread ?? null;
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    if (this.inner === null) {
      const first = bytes[skipSpace(bytes, byteOrderMark(bytes, at))];
      if (first === undefined) return [];
      this.inner =
        first === OPEN_OBJECT ? new JsonLinesParser(this.maxRowBytes) : new JsonArrayParser(this.maxRowBytes);
    }
    return this.inner.parse(bytes, at, isLast);
  }
}

/** Records are numbered by row, since such a file is often a single line. */
class JsonArrayParser implements RecordParser {
  readonly unit = 'row';
  readonly header = null;
  readonly reread = null;
  private state: 'before' | 'inside' | 'after' = 'before';
  private row = 0;

  constructor(private readonly maxRowBytes: number) {}

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    let from = 0;
    if (this.state === 'before') {
      from = skipSpace(bytes, byteOrderMark(bytes, at)) + 1;
      if (bytes[from - 1] === OPEN_ARRAY) this.state = 'inside';
      else records.push(this.giveUp(at, 'expected a JSON array of objects, or one object a line'));
    }
    while (this.state === 'inside') {
      const to = elementEnd(bytes, from);
      if (to === -1) {
        if (isLast) records.push(this.giveUp(at, 'the JSON array is never closed (truncated file?)'));
        else if (bytes.length - from > this.maxRowBytes) records.push(this.giveUp(at, this.tooLong()));
        break;
      }
      const isClosing = bytes[to] === CLOSE_ARRAY;
      const element = bytes.subarray(from, to);
      const isEmptyArray = isClosing && this.row === 0 && skipSpace(element, 0) === element.length;
      const isTooLong = element.length > this.maxRowBytes;
      if (isTooLong) records.push(brokenRecord(at.offset + from, at.offset + to, ++this.row, this.tooLong()));
      else if (!isEmptyArray) records.push(jsonRecord(element, at.offset + from, ++this.row));
      if (isClosing) this.state = 'after';
      from = to + 1;
    }
    at.offset += this.state === 'after' ? bytes.length : from;
    return records;
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

/** Index of the comma or bracket that ends the element at `from`, or -1 when it is not in these bytes. */
function elementEnd(bytes: Buffer, from: number): number {
  let depth = 0;
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      i = stringEnd(bytes, i + 1);
      if (i === -1) return -1;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) return i;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  return -1;
}

/** Index of the quote that closes a string whose first character is at `from`, or -1. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let i = from; i < bytes.length; i++) {
    if (bytes[i] === BACKSLASH) i++;
    else if (bytes[i] === QUOTE) return i;
  }
  return -1;
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}
