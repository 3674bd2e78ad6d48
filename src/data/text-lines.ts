// Plain text, one text a line, and fastText's form of it, where labels stand among the words as __label__NAME.
import { isUtf8 } from 'node:buffer';
import {
  brokenRecord,
  firstLine,
  LineCutter,
  NOT_UTF8,
  type Position,
  type RawRecord,
  type RecordParser,
} from './records.js';

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
