// Plain text, one text a line or a paragraph, and fastText's form of it, where labels stand among the words as __label__NAME.
import { isUtf8 } from 'node:buffer';
import {
  brokenRecord,
  byteOrderMark,
  countLines,
  firstLine,
  LineCutter,
  NOT_UTF8,
  type Position,
  type RawRecord,
  type RecordParser,
} from './records.js';

/** What a text is: a line, or lines up to a blank one. */
export const textUnits = ['line', 'paragraph'] as const;
export type TextUnit = (typeof textUnits)[number];

const PREFIX = '__label__';
const LABEL = /(?:^|\s)__label__\S/;
const LABELS = /(?:^|(?<=\s))__label__(\S+)\s*/g;

/** Blank lines are skipped but counted. */
export class TextLinesParser implements RecordParser {
  readonly unit = 'line';
  header: readonly string[] | null = null;
  readonly notes: string[] = [];
  private readonly lines: LineCutter;

  constructor(
    private readonly path: string,
    maxRowBytes: number,
  ) {
    this.lines = new LineCutter(maxRowBytes, (...line) =>
      [this.record(...line)].filter((record) => record !== null),
    );
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    return this.lines.parse(bytes, at, isLast);
  }

  readonly reread = (bytes: Buffer): RawRecord =>
    this.record(firstLine(bytes), 0, 0) ?? brokenRecord(0, 0, 0, 'a blank line');

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
      const hasLabels = LABEL.test(line);
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

const BLANK_LINE = /[ \t\r\f\v]*\n/y;
const GAP = /\n[ \t\r\f\v]*\n/g;

/** Paragraphs between blank lines, each a text; a line's end within one is a blank. */
export class ParagraphsParser implements RecordParser {
  readonly unit = 'line';
  readonly header = ['text'];

  constructor(private readonly maxRowBytes: number) {}

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records: RawRecord[] = [];
    const [base, text] = [at.offset, bytes.toString('latin1')];
    let from = byteOrderMark(bytes, at);
    while (from < text.length) {
      BLANK_LINE.lastIndex = from;
      const isBlank = BLANK_LINE.test(text);
      GAP.lastIndex = from;
      const gap = isBlank ? null : GAP.exec(text);
      if (!isBlank && gap === null && !isLast && text.length - from <= this.maxRowBytes) break;
      const to = isBlank ? BLANK_LINE.lastIndex : gap === null ? text.length : gap.index + 1;
      if (!isBlank) records.push(...this.record(bytes.subarray(from, to), base + from, at.line));
      at.line += countLines(bytes, from, to);
      from = to;
    }
    at.offset = base + from;
    return records;
  }

  readonly reread = (bytes: Buffer): RawRecord => {
    const gap = /\n[ \t\r\f\v]*\n/.exec(bytes.toString('latin1'));
    const [record = brokenRecord(0, 0, 0, 'a blank line')] = this.record(
      bytes.subarray(0, gap === null ? bytes.length : gap.index + 1),
      0,
      0,
    );
    return record;
  };

  private record(bytes: Buffer, start: number, number: number): RawRecord[] {
    const end = start + bytes.length;
    if (bytes.length > this.maxRowBytes)
      return [
        brokenRecord(
          start,
          end,
          number,
          `the paragraph is longer than ${this.maxRowBytes} bytes (maxRowBytes)`,
        ),
      ];
    if (!isUtf8(bytes)) return [brokenRecord(start, end, number, NOT_UTF8)];
    const text = bytes
      .toString('utf8')
      .trim()
      .replaceAll(/\s*\n\s*/g, ' ');
    if (text === '') return [];
    return [
      {
        start,
        end,
        number,
        problem: null,
        columns: () => ['text'],
        value: (name) => (name === 'text' ? text : undefined),
      },
    ];
  }
}
