// JSON Lines: one object a line.

import { isUtf8 } from 'node:buffer';
import { messageOf } from '../util/errors.js';
import { jsonExcess } from '../util/json-limits.js';
import { brokenRecord, byteOrderMark } from './records.js';
import type { Position, RawRecord, RecordParser } from './records.js';

const LINE_FEED = 0x0a;
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
  ) {}

  columns(): readonly string[] {
    return Object.keys(this.object);
  }

  value(column: string): unknown {
    return Object.hasOwn(this.object, column) ? this.object[column] : undefined;
  }
}

/** The record in one stretch of JSON text; anything but one object in good UTF-8 has a problem instead of columns. */
export function jsonRecord(json: Buffer, start: number, number: number): RawRecord {
  const end = start + json.length;
  if (!isUtf8(json)) return brokenRecord(start, end, number, 'not valid UTF-8');
  const excess = json.length > SMALL_BYTES ? jsonExcess(json) : null;
  if (excess !== null) return brokenRecord(start, end, number, `too much JSON: ${excess}`);
  try {
    const value: unknown = JSON.parse(json.toString('utf8'));
    if (isObject(value)) return new JsonRecord(start, end, number, value);
    return brokenRecord(start, end, number, 'expected a JSON object such as {"text": "...", "label": "..."}');
  } catch (error) {
    return brokenRecord(start, end, number, `broken JSON: ${messageOf(error).replaceAll(/\s+/g, ' ')}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Cuts at line feeds; blank lines are passed over but counted. */
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
    return brokenRecord(
      start,
      end,
      line,
      `the line is longer than ${this.maxRowBytes} bytes (--max-row-bytes)`,
    );
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
}
