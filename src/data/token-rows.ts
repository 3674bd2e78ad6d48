// A row of token classification in the forms that people have: words with a label each, as the hub's data sets, or a text with
// marked parts, as annotation tools export it.
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { quoted } from '../util/text.js';

/** A text whose words have a label each. */
export interface WordRow {
  /** The words with a blank between them. */
  readonly text: string;
  /** `text.slice(start, end)` */
  readonly words: readonly { readonly start: number; readonly end: number }[];
  readonly labels: readonly string[];
}

/** A text of which parts are marked; they are in order and do not overlap. */
export interface SpanRow {
  readonly text: string;
  readonly spans: readonly CharacterSpan[];
}

export interface CharacterSpan {
  /** In UTF-16 units: `text.slice(start, end)` */
  readonly start: number;
  readonly end: number;
  readonly label: string;
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
      throw new UsageError(`${place} is the number ${id}, and nothing gives the names of labels; name them`);
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

/** Python counts characters, JavaScript and Label Studio UTF-16 units. */
type Unit = 'characters' | 'units';

/** Where exports have the marked parts of `text`, in the order in which they are looked for. */
export const SPAN_COLUMNS = ['entities', 'spans', 'label', 'labels'];

/**
 * A text with its marked parts: spaCy's `{text, entities: [[start, end, label]]}`, doccano's `label` or `entities` with
 * `start_offset`, Prodigy's `spans`, Label Studio's tasks and JSON-MIN, and `entities: [{start, end, label}]`. Places count
 * characters as in Python; those of Label Studio are UTF-16 units.
 *
 * @param where of the row, for messages
 * @returns null for a row that has no such parts
 * @throws UsageError for places outside of the text, parts that overlap, or another text than the one that was marked
 */
export function spanRow(row: unknown, where: string): SpanRow | null {
  if (!isObject(row)) return null;
  const task = labelStudioTask(row, where);
  if (task !== null) return checked(task.text, task.marks, where);
  const { text } = row;
  const column = SPAN_COLUMNS.find((name) => isListOfMarks(row[name]));
  if (typeof text !== 'string' || column === undefined) return null;
  const list: unknown = row[column];
  if (!Array.isArray(list)) return null;
  return checked(
    text,
    list.map((mark: unknown, at) => markIn(mark, `${where}: ${column}[${at}]`)),
    where,
  );
}

/** Names alone are labels of the whole text. */
function isListOfMarks(value: unknown): boolean {
  return Array.isArray(value) && value.every((item: unknown) => typeof item === 'object' && item !== null);
}

interface Mark {
  start: unknown;
  end: unknown;
  label: unknown;
  /** What was marked, where the export repeats it. */
  text: unknown;
  unit: Unit;
  where: string;
}

function labelStudioTask(row: JsonObject, where: string): { text: string; marks: Mark[] } | null {
  const { data, annotations, completions } = row;
  const all: unknown = annotations ?? completions;
  if (!isObject(data) || !Array.isArray(all)) return null;
  const text = [data['text'], ...Object.values(data)].find((value) => typeof value === 'string');
  if (text === undefined) return null;
  // As in its CoNLL export, one annotation of each task counts: the first that was not cancelled.
  const one: unknown = all.find((each: unknown) => isObject(each) && each['was_cancelled'] !== true);
  const result: unknown = isObject(one) ? one['result'] : [];
  const results: unknown[] = Array.isArray(result) ? result : [];
  const marks = results.flatMap((each, at) => {
    if (!isObject(each) || each['type'] !== 'labels') return [];
    return [markIn(each['value'], `${where}: annotations result[${at}]`)];
  });
  return { text, marks };
}

function markIn(mark: unknown, where: string): Mark {
  if (Array.isArray(mark)) {
    const [start, end, label]: unknown[] = mark;
    return { start, end, label, text: undefined, unit: 'characters', where };
  }
  if (!isObject(mark)) throw new UsageError(`${where} is ${described(mark)}, expected start, end and label`);
  const { labels, label, text } = mark;
  return {
    start: mark['start'] ?? mark['start_offset'],
    end: mark['end'] ?? mark['end_offset'],
    label: Array.isArray(labels) ? labels[0] : label,
    text,
    unit: Array.isArray(labels) ? 'units' : 'characters',
    where,
  };
}

function checked(text: string, marks: readonly Mark[], where: string): SpanRow {
  const unitOf = createUnits(text);
  const spans = marks
    .map((mark) => spanOf(text, mark, unitOf))
    .toSorted((left, right) => left.start - right.start);
  for (const [at, span] of spans.entries()) {
    const before = spans[at - 1];
    if (before === undefined || before.end <= span.start) continue;
    throw new UsageError(
      `${where}: ${quoted(text.slice(before.start, before.end))} and ${quoted(text.slice(span.start, span.end))} overlap; each token can have one label`,
    );
  }
  return { text, spans };
}

function spanOf(
  text: string,
  { start, end, label, text: marked, unit, where }: Mark,
  unitOf: (character: number) => number,
): CharacterSpan {
  if (
    typeof start !== 'number' ||
    typeof end !== 'number' ||
    !Number.isInteger(start) ||
    !Number.isInteger(end)
  )
    throw new UsageError(`${where} has no whole numbers start and end`);
  if (typeof label !== 'string' || label === '') throw new UsageError(`${where} has no label`);
  const [first, last] = unit === 'units' ? [start, end] : [unitOf(start), unitOf(end)];
  if (start < 0 || end <= start || last > text.length)
    throw new UsageError(`${where} goes from ${start} to ${end}, which is outside of its text or empty`);
  const found = text.slice(first, last);
  if (typeof marked === 'string' && marked !== found)
    throw new UsageError(`${where} marks ${quoted(marked)}, but there stands ${quoted(found)}`);
  return { start: first, end: last, label };
}

/** The UTF-16 unit at which each character begins; above the length of the text for one that is not in it. */
function createUnits(text: string): (character: number) => number {
  if (!/[\u{10000}-\u{10ffff}]/u.test(text)) return (character) => character;
  let next = 0;
  const units = Array.from(text, (character) => {
    const unit = next;
    next += character.length;
    return unit;
  });
  units.push(next);
  return (character) => units[character] ?? Infinity;
}

function described(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}
