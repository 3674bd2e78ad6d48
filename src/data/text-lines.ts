// Plain text, one text a line, and fastText's form of it, where labels stand among the words as __label__NAME.
import { isUtf8 } from 'node:buffer';
import {
  brokenRecord,
  byteOrderMark,
  NOT_UTF8,
  type Position,
  type RawRecord,
  type RecordParser,
} from './records.js';

const LINE_FEED = 0x0a;
const PREFIX = '__label__';
const LABELS = /(?:^|(?<=\s))__label__(\S+)\s*/g;

/** Blank lines are skipped but counted. */
export class TextLinesParser implements RecordParser {
  readonly unit = 'line';
  header: readonly string[] | null = null;
  readonly notes: string[] = [];
  private insideLongLine = false;

  constructor(
    private readonly path: string,
    private readonly maxRowBytes: number,
  ) {}

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
        const record = this.record(bytes.subarray(from, to), base + from, at.line);
        if (record !== null) records.push(record);
      }
      if (feed !== -1) at.line++;
      from = to;
      at.offset = base + from;
    }
    return records;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const feed = bytes.indexOf(LINE_FEED);
    const line = feed === -1 ? bytes : bytes.subarray(0, feed);
    return this.record(line, 0, 0) ?? brokenRecord(0, 0, 0, 'a blank line');
  };

  private record(bytes: Buffer, start: number, number: number): RawRecord | null {
    const end = start + bytes.length;
    if (!isUtf8(bytes)) return brokenRecord(start, end, number, NOT_UTF8);
    const line = bytes.toString('utf8').replace(/\r?\n?$/, '');
    if (line.trim() === '') return null;
    const columns = this.columnsOf(line);
    const cells: Readonly<Record<string, unknown>> = columns.length === 1 ? { text: line } : labelled(line);
    return { start, end, number, problem: null, columns: () => columns, value: (column) => cells[column] };
  }

  /** The first line tells. */
  private columnsOf(line: string): readonly string[] {
    if (this.header === null) {
      const hasLabels = line.trimStart().startsWith(PREFIX);
      this.header = hasLabels ? ['label', 'text'] : ['text'];
      if (hasLabels)
        this.notes.push(`${this.path}: the words that begin with ${PREFIX} are labels, as in fastText`);
    }
    return this.header;
  }
}

/** One label is a single one, several are a list; a line without any has none. */
function labelled(line: string): { text: string; label: unknown } {
  const labels = Array.from(line.matchAll(LABELS), ([, label]) => label);
  return {
    text: line.replaceAll(LABELS, '').trim(),
    label: labels.length > 1 ? labels : (labels[0] ?? null),
  };
}
