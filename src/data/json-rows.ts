// What one JSON value of a data file is: a row, with the numbers that Python writes, or a whole table that is wrapped in an
// object or written by columns.
import { labelledColumns } from './columns.js';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * As JSON.parse, but with the NaN and Infinity that Python's json module writes: NaN is what pandas makes of a missing
 * value, so it is null.
 *
 * @throws SyntaxError
 */
export function parseRow(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(withoutNonFinite(text));
  }
}

/** No number of JSON is Infinity, but one beyond the range of doubles is read as such. */
function withoutNonFinite(text: string): string {
  return outsideStrings(text, (part) =>
    part.replaceAll(/\bNaN\b/g, 'null').replaceAll(/\bInfinity\b/g, '1e999'),
  );
}

/** JSON with each number in quotes, so that its digits survive the parser: 5.0 is not 5, nor 2^53 + 1 what doubles make of it. */
export function withNumbersAsText(text: string): string {
  return outsideStrings(text, (part) => part.replaceAll(/-?\d[\d.eE+-]*/g, '"$&"'));
}

function outsideStrings(text: string, change: (part: string) => string): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const quote = text.indexOf('"', at);
    parts.push(change(text.slice(at, quote === -1 ? text.length : quote)));
    if (quote === -1) break;
    at = stringEnd(text, quote + 1);
    parts.push(text.slice(quote, at));
  }
  return parts.join('');
}

/** Behind the quote that closes a string whose first character is at `from`. */
function stringEnd(text: string, from: number): number {
  let end = text.indexOf('"', from);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end + 1;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - slashes - 1] === '\\') slashes++;
  return slashes % 2 === 1;
}

/**
 * A table in one object, with a remark on where its rows were: a member that is a list of them, or rows put together from
 * columns. Or the names of several lists of which one is meant.
 */
export type Table =
  | { readonly member: string; readonly note: string }
  | { readonly rows: readonly unknown[]; readonly note: string }
  | { readonly members: readonly string[] };

/**
 * The table that the only object of a file is; null where it is a row. Known are lists of rows under a name, as `datasets`
 * reads them with `field`, and pandas' to_json in all its forms.
 *
 * @param wanted the member that holds the rows, where the caller names one; else the one with the name of the split wins
 */
export function tableOf(
  object: JsonObject,
  wanted: { field?: string | undefined; split: string },
): Table | null {
  if (wanted.field !== undefined) {
    const value = object[wanted.field];
    if (value === undefined) return { members: Object.keys(object) };
    const note = `the rows are read from ${JSON.stringify(wanted.field)}`;
    if (Array.isArray(value)) return { member: wanted.field, note };
    return isObject(value) ? byColumns(value, note) : { members: Object.keys(object) };
  }
  return bySplit(object) ?? byColumns(object, 'the columns are lists') ?? underName(object, wanted.split);
}

/** pandas' orient="split", and "tight". */
function bySplit({ columns, data }: JsonObject): Table | null {
  if (!isNames(columns) || !Array.isArray(data) || !data.every((row) => Array.isArray(row))) return null;
  const rows = data.map((row: unknown[]) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  return { rows, note: 'the rows are lists under "data", with their names in "columns"' };
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string');
}

/** Lists by column, pandas' orient="columns" (objects by column) and "index" (objects by row number). */
function byColumns(object: JsonObject, note: string): Table | null {
  const columns = Object.entries(object);
  const [first] = columns;
  if (first === undefined) return null;
  if (columns.every(([, value]) => Array.isArray(value) && !value.some(isObject))) {
    const lists = columns.map(([name, value]): [string, unknown[]] => [
      name,
      Array.isArray(value) ? value : [],
    ]);
    const length = lists[0]?.[1].length ?? 0;
    if (length === 0 || lists.some(([, list]) => list.length !== length)) return null;
    return {
      rows:
        lists[0]?.[1].map((_, i) => Object.fromEntries(lists.map(([name, list]) => [name, list[i]]))) ?? [],
      note,
    };
  }
  if (!columns.every(([, value]) => isObject(value))) return null;
  const objects = columns.map(([name, value]): [string, JsonObject] => [name, isObject(value) ? value : {}]);
  if (columns.every(([name]) => /^\d+$/.test(name)))
    return { rows: objects.map(([, row]) => row), note: 'the rows are objects by row number' };
  const numbers = Object.keys(objects[0]?.[1] ?? {});
  if (numbers.length === 0 || objects.some(([, cells]) => Object.keys(cells).join() !== numbers.join()))
    return null;
  const rows = numbers.map((number) =>
    Object.fromEntries(objects.map(([name, cells]) => [name, cells[number]])),
  );
  return { rows, note: 'the columns are objects by row number' };
}

/** `{"data": [{...}, ...]}`, and `{"train": [...], "test": [...]}`. */
function underName(object: JsonObject, split: string): Table | null {
  const names = Object.entries(object)
    .filter(([, value]) => Array.isArray(value) && value.length > 0 && value.every(isObject))
    .map(([name]) => name);
  if (names.length === 0 || labelledColumns(Object.keys(object))) return null;
  const name = names.includes(split) ? split : names.length === 1 ? names[0] : undefined;
  if (name === undefined) return { members: names };
  return { member: name, note: `the rows are read from ${JSON.stringify(name)}` };
}
