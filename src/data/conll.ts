// CoNLL files: a token and its columns on each line, a blank line after each sentence.
import { OUTSIDE } from '../tasks/label-schemes.js';
import { quoted } from '../util/text.js';

/** A sentence as words and their labels. */
export interface LabelledWords {
  readonly tokens: readonly string[];
  readonly labels: readonly string[];
  /** Of its first token, from 1. */
  readonly line: number;
  /** Why it cannot be used: what is wrong with its first bad line. */
  readonly fault: { readonly line: number; readonly reason: string } | null;
}

export interface ConllColumns {
  /** From 0; the first by default. */
  readonly token?: number;
  /** From 0, or from the end below 0; the last by default. Null where no labels are read. */
  readonly label?: number | null;
}

const LABEL = /^(?:O|[BIESLU]-.+)$/;
const DOCUMENT_START = '-DOCSTART-';

/**
 * The sentences of a file. Columns are separated by tabs where a line has one, else by blanks; lines of -DOCSTART- and
 * comments (lines that begin with # before a sentence and end in no label) are left out.
 */
export function* parseConll(text: string, columns: ConllColumns = {}): Generator<LabelledWords> {
  let tokens: string[] = [];
  let labels: string[] = [];
  let begin = 0;
  let fault: LabelledWords['fault'] = null;
  let first: { line: number; count: number } | null = null;
  const finish = function* (): Generator<LabelledWords> {
    if (tokens.length > 0 || fault !== null) yield { tokens, labels, line: begin, fault };
    tokens = [];
    labels = [];
    fault = null;
  };
  for (const [index, line] of linesOf(text)) {
    const cells = line.includes('\t') ? line.split('\t') : line.trim().split(/ +/);
    if (line.trim() === '' || cells[0] === DOCUMENT_START) {
      yield* finish();
      continue;
    }
    if (tokens.length === 0 && line.startsWith('#') && !LABEL.test(cells.at(-1) ?? '')) continue;
    if (tokens.length === 0 && fault === null) begin = index + 1;
    first ??= { line: index + 1, count: cells.length };
    const { token: tokenColumn = 0, label: labelColumn = -1 } = columns;
    const token = cellOf(cells, tokenColumn);
    const label: Cell = labelColumn === null ? { value: OUTSIDE } : cellOf(cells, labelColumn);
    const reason =
      cells.length === first.count
        ? cells.length < 2 && labelColumn !== null
          ? `a token without a label: ${quoted(line)}`
          : (token.problem ?? label.problem)
        : `${cells.length} columns, but line ${first.line} has ${first.count}: ${quoted(line)}`;
    if (reason !== undefined) fault ??= { line: index + 1, reason };
    tokens.push(token.value);
    labels.push(label.value);
  }
  yield* finish();
}

interface Cell {
  value: string;
  problem?: string;
}

function* linesOf(text: string): Generator<readonly [index: number, line: string]> {
  let start = text.startsWith('\uFEFF') ? 1 : 0;
  for (let index = 0; start < text.length; index++) {
    const feed = text.indexOf('\n', start);
    const end = feed === -1 ? text.length : feed;
    yield [index, text.slice(start, text[end - 1] === '\r' ? end - 1 : end)];
    start = end + 1;
  }
}

function cellOf(cells: readonly string[], column: number): Cell {
  const value = cells.at(column)?.trim();
  const number = column < 0 ? cells.length + column + 1 : column + 1;
  if (value === undefined) return { value: '', problem: `no column ${number} among ${cells.length}` };
  return value === '' ? { value, problem: `column ${number} is empty` } : { value };
}

/** The number of a column in a CoNLL file, from 0, or from the end below 0; undefined for a name. */
export function columnNumber(named: string | readonly string[] | undefined): number | undefined {
  if (typeof named !== 'string' || !/^-?[1-9]\d*$/.test(named)) return undefined;
  const number = Number(named);
  return number > 0 ? number - 1 : number;
}

/** As `columnNumber` reads it. */
export function columnName(column: number): string {
  return String(column < 0 ? column : column + 1);
}
