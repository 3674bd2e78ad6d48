// The table that the only JSON object of a file is: rows below names, in wrappers within wrappers too, or rows put together
// from columns.
import { isObject, type JsonObject } from '../util/json.js';
import { hasText, rowsOf } from './annotation-exports.js';
import { labelledColumns, usualText } from './columns.js';

/**
 * A table in one object, with a remark on where its rows were: a list of them below names, or rows put together from
 * columns. Or the names of several lists of which one is meant, or the name that several columns have.
 */
export type Table =
  | { readonly list: readonly string[]; readonly note: string }
  | { readonly rows: readonly unknown[]; readonly note: string }
  | { readonly names: readonly string[] }
  | { readonly twice: string };

/** What is looked for in the only object of a file. */
export interface TableRequest {
  /** The name of what holds the rows, or names with points between; where there is none, the name of the split wins. */
  readonly field?: string | undefined;
  readonly split: string;
}

/** Wrappers within wrappers that are looked into. */
const DEEPEST = 4;

/**
 * The table that the only object of a file is; null where it is a row. Known are lists of rows under a name, as `datasets`
 * reads them with `field`, also within other objects, and pandas' to_json in all its forms.
 */
export function tableOf(object: JsonObject, { field, split }: TableRequest): Table | null {
  if (field === undefined) return rowsOf(object)[0] === object ? tableIn(object, split, []) : null;
  const names = Object.hasOwn(object, field) ? [field] : field.split('.');
  const value = names.reduce<unknown>((outer, name) => (isObject(outer) ? outer[name] : undefined), object);
  if (Array.isArray(value)) return { list: names, note: readFrom(names) };
  const table = isObject(value) ? tableIn(value, split, names) : null;
  return table ?? { names: fieldsOf(object) };
}

function tableIn(object: JsonObject, split: string, path: readonly string[]): Table | null {
  return (
    bySplit(object, path) ??
    byColumns(object, path) ??
    underName(object, split, path) ??
    (path.length < DEEPEST ? within(object, split, path) : null)
  );
}

function readFrom(path: readonly string[]): string {
  return `the rows are read from ${JSON.stringify(path.join('.'))}`;
}

function noteOf(what: string, path: readonly string[]): string {
  return path.length === 0 ? what : `${readFrom(path)}: ${what}`;
}

/** Names that may have been meant. */
function fieldsOf(object: JsonObject): string[] {
  return Object.entries(object).flatMap(([name, value]) => {
    const lists = isObject(value) ? Object.keys(value).filter((inner) => Array.isArray(value[inner])) : [];
    return [name].concat(lists.map((inner) => `${name}.${inner}`));
  });
}

/** pandas' orient="split", and "tight". */
function bySplit({ columns, data }: JsonObject, path: readonly string[]): Table | null {
  if (!isNames(columns) || !Array.isArray(data) || !data.every((row) => Array.isArray(row))) return null;
  const seen = new Set<string>();
  const twice = columns.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined) return { twice };
  const rows = data.map((row: unknown[]) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  return { rows, note: noteOf('the rows are lists under "data", with their names in "columns"', path) };
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string');
}

/** Lists by column, pandas' orient="columns" (objects by column) and "index" (objects by the number or name of the row). */
function byColumns(object: JsonObject, path: readonly string[]): Table | null {
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
    // Lists of texts below other names are more likely something else.
    if (path.length > 0 && usualText(Object.keys(object)) === undefined) return null;
    return {
      rows:
        lists[0]?.[1].map((_, i) => Object.fromEntries(lists.map(([name, list]) => [name, list[i]]))) ?? [],
      note: noteOf('the columns are lists', path),
    };
  }
  if (!columns.every(([, value]) => isObject(value))) return null;
  const objects = columns.map(([name, value]): [string, JsonObject] => [name, isObject(value) ? value : {}]);
  if (columns.every(([name]) => /^\d+$/.test(name)))
    return { rows: objects.map(([, row]) => row), note: noteOf('the rows are objects by row number', path) };
  if (objects.every(([, row]) => hasText(row)) && (objects.length > 1 || path.length > 0))
    return { rows: objects.map(([, row]) => row), note: noteOf('the rows are objects by name', path) };
  const numbers = Object.keys(objects[0]?.[1] ?? {});
  if (numbers.length === 0 || usualText(numbers) !== undefined) return null;
  // Rows, or lists of them, are no cells.
  const cells = objects.flatMap(([, values]) => Object.values(values));
  if (cells.some((cell) => isObject(cell) || (Array.isArray(cell) && cell.some(isObject)))) return null;
  if (objects.some(([, column]) => Object.keys(column).join() !== numbers.join())) return null;
  const rows = numbers.map((number) =>
    Object.fromEntries(objects.map(([name, column]) => [name, column[number]])),
  );
  return { rows, note: noteOf('the columns are objects by row number', path) };
}

/** `{"data": [{...}, ...]}`, and `{"train": [...], "test": [...]}`. */
function underName(object: JsonObject, split: string, path: readonly string[]): Table | null {
  const lists = Object.entries(object).filter(([, value]) => Array.isArray(value) && value.every(isObject));
  const filled = lists.filter(([, value]) => Array.isArray(value) && value.length > 0);
  if (lists.length === 0 || labelledColumns(Object.keys(object))) return null;
  const [empty, other] = lists;
  if (filled.length === 0)
    return other === undefined && empty !== undefined && usualText(Object.keys(object)) === undefined
      ? { rows: [], note: readFrom([...path, empty[0]]) }
      : null;
  // Beside a text, and within other objects, a list may be anything.
  const mayBeOther = path.length > 0 || hasText(object);
  const withText = filled.filter(([, value]) => holdsTexts(value));
  const found = mayBeOther || (filled.length > 1 && withText.length > 0) ? withText : filled;
  const names = found.map(([name]) => name);
  const name = names.includes(split) ? split : names.length === 1 ? names[0] : undefined;
  if (name !== undefined) return { list: [...path, name], note: readFrom([...path, name]) };
  return names.length === 0 ? null : { names: names.map((each) => [...path, each].join('.')) };
}

/** Whether the first of a list of rows has a text under a usual name. */
function holdsTexts(list: unknown): boolean {
  const [first]: unknown[] = Array.isArray(list) ? list : [];
  return isObject(first) && rowsOf(first).every(hasText);
}

/** The one table in the members of an object, or that of the split. */
function within(object: JsonObject, split: string, path: readonly string[]): Table | null {
  if (hasText(object)) return null;
  const tables = Object.entries(object).flatMap(([name, value]): [string, Table][] => {
    const table = isObject(value) ? tableIn(value, split, [...path, name]) : null;
    return table === null || ('rows' in table && table.rows.length === 0) ? [] : [[name, table]];
  });
  const [only, other] = tables;
  if (other === undefined) return only?.[1] ?? null;
  return (
    tables.find(([name]) => name === split)?.[1] ?? {
      names: tables.map(([name]) => [...path, name].join('.')),
    }
  );
}
