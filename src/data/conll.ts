// CoNLL files: a token and its columns on each line, a blank line after each sentence.
import { UsageError } from '../util/errors.js';
import { quoted } from '../util/text.js';

/** A sentence as words and their labels. */
export interface LabelledWords {
  readonly tokens: readonly string[];
  readonly labels: readonly string[];
  /** Of its first token, from 1. */
  readonly line: number;
}

export interface ConllColumns {
  /** From 0; the first by default. */
  readonly token?: number;
  /** From 0, or from the end below 0; the last by default. */
  readonly label?: number;
}

const LABEL = /^(?:O|[BIESLU]-.+)$/;
const DOCUMENT_START = '-DOCSTART-';

/**
 * The sentences of a file. Columns are separated by tabs where a line has one, else by blanks; lines of -DOCSTART- and
 * comments (lines that begin with # before a sentence and end in no label) are left out.
 *
 * @throws UsageError naming line and column for a line with other columns than the first one
 */
export function parseConll(text: string, where: string, columns: ConllColumns = {}): LabelledWords[] {
  const sentences: LabelledWords[] = [];
  let tokens: string[] = [];
  let labels: string[] = [];
  let begin = 0;
  let first: { line: number; count: number } | null = null;
  const finish = (): void => {
    if (tokens.length > 0) sentences.push({ tokens, labels, line: begin });
    tokens = [];
    labels = [];
  };
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (line.trim() === '') {
      finish();
      continue;
    }
    const cells = line.includes('\t') ? line.split('\t') : line.trim().split(/ +/);
    if (cells[0] === DOCUMENT_START) {
      finish();
      continue;
    }
    if (tokens.length === 0 && line.startsWith('#') && !LABEL.test(cells.at(-1) ?? '')) continue;
    first ??= { line: index + 1, count: cells.length };
    if (cells.length !== first.count)
      throw new UsageError(
        `${where}:${index + 1}: ${cells.length} columns, but line ${first.line} has ${first.count}: ${quoted(line)}`,
      );
    const token = cellOf(cells, columns.token ?? 0, `${where}:${index + 1}`);
    const label = cellOf(cells, columns.label ?? -1, `${where}:${index + 1}`);
    if (cells.length < 2)
      throw new UsageError(`${where}:${index + 1}: a token without a label: ${quoted(line)}`);
    if (tokens.length === 0) begin = index + 1;
    tokens.push(token);
    labels.push(label);
  }
  finish();
  return sentences;
}

function cellOf(cells: readonly string[], column: number, where: string): string {
  const cell = cells.at(column)?.trim();
  const number = column < 0 ? cells.length + column + 1 : column + 1;
  if (cell === undefined) throw new UsageError(`${where}: no column ${number} among ${cells.length}`);
  if (cell === '') throw new UsageError(`${where}: column ${number} is empty`);
  return cell;
}
