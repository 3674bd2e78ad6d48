// A row of token classification as words with a label each, in the form of the hub's data sets.
import { UsageError } from '../util/errors.js';
import type { JsonObject } from '../util/json.js';

/** A text whose words have a label each. */
export interface WordRow {
  /** The words with a blank between them. */
  readonly text: string;
  /** `text.slice(start, end)` */
  readonly words: readonly { readonly start: number; readonly end: number }[];
  readonly labels: readonly string[];
}

/** Words and labels as the encoder takes them. */
export function joinWords(tokens: readonly string[], labels: readonly string[]): WordRow {
  let end = -1;
  const words = tokens.map((token) => {
    const start = end + 1;
    end = start + token.length;
    return { start, end };
  });
  return { text: tokens.join(' '), words, labels };
}

/**
 * The words of a row and their labels, which are names or their places in `names`.
 *
 * @param where of the row, for messages
 * @throws UsageError naming the column and the place in it
 */
export function wordRow(
  row: JsonObject,
  columns: { readonly tokens: string; readonly labels: string },
  names: readonly string[] | null,
  where: string,
): WordRow {
  const tokens = listIn(row, columns.tokens, where).map((token, at) => {
    if (typeof token === 'string') return token;
    throw new UsageError(`${where}: ${columns.tokens}[${at}] is ${described(token)}, expected a word`);
  });
  const given = listIn(row, columns.labels, where);
  if (given.length !== tokens.length)
    throw new UsageError(
      `${where}: ${tokens.length} words in ${columns.tokens}, but ${given.length} labels in ${columns.labels}`,
    );
  const labels = given.map((label, at) => {
    const place = `${where}: ${columns.labels}[${at}]`;
    if (typeof label === 'string' && label !== '') return label;
    const id = typeof label === 'bigint' ? Number(label) : label;
    if (typeof id !== 'number') throw new UsageError(`${place} is ${described(label)}, expected a label`);
    if (names === null)
      throw new UsageError(
        `${place} is the number ${id}, and nothing gives the names of the labels; labelList does, in the order of their numbers`,
      );
    const name = names[id];
    if (name === undefined) throw new UsageError(`${place} is ${id}, but there are ${names.length} labels`);
    return name;
  });
  return joinWords(tokens, labels);
}

function listIn(row: JsonObject, column: string, where: string): readonly unknown[] {
  const value = row[column];
  if (Array.isArray(value)) return value;
  throw new UsageError(`${where}: ${column} is ${described(value)}, expected a list`);
}

/** A value of another kind than a column has, for messages. */
export function described(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}
