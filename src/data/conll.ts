// CoNLL files: a token and its columns on each line, a blank line after each sentence.
import { isUtf8 } from 'node:buffer';
import { OUTSIDE } from '../tasks/label-schemes.js';
import { quoted } from '../util/text.js';
import {
  brokenRecord,
  LineCutter,
  NOT_UTF8,
  type Position,
  type RawRecord,
  type RecordParser,
} from './records.js';

export interface ConllColumns {
  /** From 0; the first by default. */
  readonly token?: number;
  /** From 0, or from the end below 0; the last by default. Null where no labels are read. */
  readonly label?: number | null;
}

/** What a sentence has: its words, and a label for each of them. */
export const SENTENCE_COLUMNS = { words: 'tokens', labels: 'labels' } as const;

const LABEL = /^(?:O|[BIESLU]-.+)$/;
export const DOCUMENT_START = '-DOCSTART-';

/** A sentence, while its lines come. */
interface Sentence {
  tokens: string[];
  labels: string[];
  /** The line of its first token, from 1. */
  line: number;
  bytes: number;
  /** Why it cannot be used: what is wrong with its first bad line. */
  fault: { line: number; reason: string } | null;
}

/**
 * A record for each sentence. Columns are separated by tabs where a line has one, else by blanks; lines of -DOCSTART- and
 * comments (lines that begin with # before a sentence and end in no label) are left out.
 */
export class ConllParser implements RecordParser {
  readonly unit = 'line';
  readonly header = Object.values(SENTENCE_COLUMNS);
  readonly reread = null;
  private readonly lines: LineCutter;
  private sentence: Sentence | null = null;
  /** The first line of the file, whose columns all others have too. */
  private first: { line: number; count: number } | null = null;

  constructor(
    private readonly columns: ConllColumns,
    private readonly maxRowBytes: number,
  ) {
    this.lines = new LineCutter(maxRowBytes, (bytes, _, number) => this.add(bytes, number));
  }

  parse(bytes: Buffer, at: Position, isLast: boolean): RawRecord[] {
    const records = this.lines.parse(bytes, at, isLast);
    return isLast ? [...records, ...this.finish()] : records;
  }

  private add(bytes: Buffer, number: number): RawRecord[] {
    const line = bytes.toString('utf8').replace(/\r?\n$/, '');
    const cells = line.includes('\t') ? line.split('\t') : line.trim().split(/ +/);
    if (line.trim() === '' || cells[0] === DOCUMENT_START) return this.finish();
    if (this.sentence === null && line.startsWith('#') && !LABEL.test(cells.at(-1) ?? '')) return [];
    this.sentence ??= { tokens: [], labels: [], line: number, bytes: 0, fault: null };
    this.first ??= { line: number, count: cells.length };
    const { sentence } = this;
    sentence.bytes += bytes.length;
    const { token: tokenColumn = 0, label: labelColumn = -1 } = this.columns;
    const token = cellOf(cells, tokenColumn);
    const label: Cell = labelColumn === null ? { value: OUTSIDE } : cellOf(cells, labelColumn);
    const reason = isUtf8(bytes) ? this.faultOf(line, cells) : NOT_UTF8;
    const problem = reason ?? token.problem ?? label.problem;
    if (problem !== undefined) sentence.fault ??= { line: number, reason: problem };
    else if (sentence.bytes > this.maxRowBytes) {
      const tooLong = `the sentence is longer than ${this.maxRowBytes} bytes (maxRowBytes); a blank line ends one`;
      sentence.fault ??= { line: sentence.line, reason: tooLong };
    }
    if (sentence.fault !== null) return [];
    sentence.tokens.push(token.value);
    sentence.labels.push(label.value);
    return [];
  }

  private faultOf(line: string, cells: readonly string[]): string | undefined {
    const { first } = this;
    if (first !== null && cells.length !== first.count)
      return `${cells.length} columns, but line ${first.line} has ${first.count}: ${quoted(line)}`;
    if (cells.length < 2 && this.columns.label !== null) return `a token without a label: ${quoted(line)}`;
    return undefined;
  }

  private finish(): RawRecord[] {
    const { sentence } = this;
    this.sentence = null;
    if (sentence === null) return [];
    const { fault, line: number } = sentence;
    if (fault !== null) return [brokenRecord(0, 0, fault.line, fault.reason)];
    const values: Readonly<Record<string, readonly string[]>> = {
      [SENTENCE_COLUMNS.words]: sentence.tokens,
      [SENTENCE_COLUMNS.labels]: sentence.labels,
    };
    const columns = (): readonly string[] => this.header;
    return [{ start: 0, end: 0, number, problem: null, columns, value: (column) => values[column] }];
  }
}

interface Cell {
  value: string;
  problem?: string;
}

function cellOf(cells: readonly string[], column: number): Cell {
  const value = cells.at(column)?.trim();
  const number = column < 0 ? cells.length + column + 1 : column + 1;
  if (value === undefined) return { value: '', problem: `no column ${number} among ${cells.length}` };
  return value === '' ? { value, problem: `column ${number} is empty` } : { value };
}

/** The number of a column in a CoNLL file, from 0, or from the end below 0; undefined for a name. */
export function columnNumber(named: string | undefined): number | undefined {
  if (named === undefined || !/^-?[1-9]\d*$/.test(named)) return undefined;
  const number = Number(named);
  return number > 0 ? number - 1 : number;
}

/** As `columnNumber` reads it. */
export function columnName(column: number): string {
  return String(column < 0 ? column : column + 1);
}
