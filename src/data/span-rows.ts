// A row of token classification as a text with marked parts, as annotation tools export it, and in which units they count places.
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { quoted } from '../util/text.js';
import { described } from './token-rows.js';

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

/** How places in texts are counted: Python's characters are code points, JavaScript's are UTF-16 units. */
export const entityOffsets = ['auto', 'code-points', 'utf-16'] as const;
export type EntityOffsets = (typeof entityOffsets)[number];
export type OffsetUnit = Exclude<EntityOffsets, 'auto'>;

export const UNIT_NAMES: Readonly<Record<OffsetUnit, string>> = {
  'code-points': 'code points',
  'utf-16': 'UTF-16 units',
};

/** Where exports have the marked parts of `text`, in the order in which they are looked for. */
export const SPAN_COLUMNS = ['entities', 'spans', 'label', 'labels'];

/**
 * A text with its marked parts: spaCy's `{text, entities: [[start, end, label]]}`, doccano's `label` or `entities` with
 * `start_offset`, Prodigy's `spans`, Label Studio's tasks and JSON-MIN, and `entities: [{start, end, label}]`, as predict writes
 * them.
 *
 * @param where of the row, for messages
 * @param offsets with `auto` the unit in which the parts are what their own `text` or `word` says; where they have none, or it
 *   fits both: `usual`, but UTF-16 units for Label Studio
 * @returns null for a row that has no such parts
 * @throws UsageError for places outside of the text, parts that overlap, or another text than the one that was marked
 */
export function spanRow(
  row: unknown,
  where: string,
  offsets: EntityOffsets = 'auto',
  usual: OffsetUnit = 'code-points',
): SpanRow | null {
  const found = markedIn(row, where);
  if (found === null) return null;
  const { text, marks } = found;
  const units = unitsOf(text);
  const detected = offsets === 'auto' ? detectUnit(text, marks, units, where) : offsets;
  const spans = marks
    .map((mark) => spanOf(text, mark, { unit: detected ?? mark.unit ?? usual, units }))
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

/** The unit of the places in a row, where the marked texts show it; null where they show none, or both. */
export function offsetUnitIn(row: unknown): OffsetUnit | null {
  try {
    const found = markedIn(row, '');
    return found && detectUnit(found.text, found.marks, unitsOf(found.text), '');
  } catch (error) {
    if (error instanceof UsageError) return null; // reported when the row is read
    throw error;
  }
}

/** The columns of a row's text and of its marked parts; of a task of Label Studio those are in no column. */
export function spanColumns(row: JsonObject): { text: string; label: string | null } {
  const { data } = row;
  if (isObject(data) && Array.isArray(row['annotations'] ?? row['completions']))
    return { text: textKey(data) ?? 'text', label: null };
  return { text: 'text', label: SPAN_COLUMNS.find((name) => isListOfMarks(row[name])) ?? null };
}

function textKey(data: JsonObject): string | undefined {
  return ['text', ...Object.keys(data)].find((key) => typeof data[key] === 'string');
}

interface Mark {
  start: unknown;
  end: unknown;
  label: unknown;
  /** What was marked, where the export repeats it. */
  text: unknown;
  /** The same, but perhaps in lower case or without blanks, as transformers' pipeline has it. */
  word: unknown;
  /** Where the tool that wrote it always takes the same. */
  unit: OffsetUnit | null;
  where: string;
}

function markedIn(row: unknown, where: string): { text: string; marks: Mark[] } | null {
  if (!isObject(row)) return null;
  const task = labelStudioTask(row, where);
  if (task !== null) return task;
  const { text } = row;
  const column = SPAN_COLUMNS.find((name) => isListOfMarks(row[name]));
  if (typeof text !== 'string' || column === undefined) return null;
  const list: unknown = row[column];
  if (!Array.isArray(list)) return null;
  return { text, marks: list.map((mark: unknown, at) => markIn(mark, `${where}: ${column}[${at}]`)) };
}

/** Names alone are labels of the whole text. */
function isListOfMarks(value: unknown): boolean {
  return Array.isArray(value) && value.every((item: unknown) => typeof item === 'object' && item !== null);
}

function labelStudioTask(row: JsonObject, where: string): { text: string; marks: Mark[] } | null {
  const { data, annotations, completions } = row;
  const all: unknown = annotations ?? completions;
  if (!isObject(data) || !Array.isArray(all)) return null;
  const text = data[textKey(data) ?? ''];
  if (typeof text !== 'string') return null;
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
    return { start, end, label, text: undefined, word: undefined, unit: null, where };
  }
  if (!isObject(mark)) throw new UsageError(`${where} is ${described(mark)}, expected start, end and label`);
  const { labels, text, word } = mark;
  return {
    start: numberIn(mark['start'] ?? mark['start_offset']),
    end: numberIn(mark['end'] ?? mark['end_offset']),
    label: Array.isArray(labels) ? labels[0] : (mark['label'] ?? mark['entity_group'] ?? mark['entity']),
    text,
    word,
    unit: Array.isArray(labels) ? 'utf-16' : null,
    where,
  };
}

/** Parquet has integers of 64 bits. */
function numberIn(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

function same(place: number): number {
  return place;
}

/** The UTF-16 unit at which a place is; above the length of the text for one that is not in it. */
type Units = Readonly<Record<OffsetUnit, (place: number) => number>>;

function unitsOf(text: string): Units {
  if (!/[\u{10000}-\u{10ffff}]/u.test(text)) return { 'code-points': same, 'utf-16': same };
  let next = 0;
  const units = Array.from(text, (character) => {
    const unit = next;
    next += character.length;
    return unit;
  });
  units.push(next);
  return { 'code-points': (place) => units[place] ?? Infinity, 'utf-16': same };
}

/** The one unit in which the parts that repeat their text are that text; null where none do, or it fits in both. */
function detectUnit(text: string, marks: readonly Mark[], units: Units, where: string): OffsetUnit | null {
  const found = new Map<OffsetUnit, Mark>();
  for (const mark of marks) {
    const fitting = (['code-points', 'utf-16'] as const).filter((unit) => fits(text, mark, units[unit]));
    const [unit, other] = fitting;
    if (unit !== undefined && other === undefined) found.set(unit, mark);
  }
  const [characters, own] = [found.get('code-points'), found.get('utf-16')];
  if (characters !== undefined && own !== undefined)
    throw new UsageError(
      `${where}: the places of ${shown(characters)} count code points, and those of ${shown(own)} UTF-16 units; count all in one of them`,
    );
  return characters !== undefined ? 'code-points' : own !== undefined ? 'utf-16' : null;
}

function shown({ text, word }: Mark): string {
  return quoted(String(text ?? word));
}

function fits(text: string, { start, end, text: marked, word }: Mark, unitOf: Units[OffsetUnit]): boolean {
  if (typeof start !== 'number' || typeof end !== 'number') return false;
  return text.slice(unitOf(start), unitOf(end)) === (marked ?? word);
}

function spanOf(
  text: string,
  mark: Mark,
  { unit, units }: { unit: OffsetUnit; units: Units },
): CharacterSpan {
  const { start, end, label, text: marked, where } = mark;
  if (
    typeof start !== 'number' ||
    typeof end !== 'number' ||
    !Number.isInteger(start) ||
    !Number.isInteger(end)
  )
    throw new UsageError(`${where} has no whole numbers start and end`);
  if (typeof label !== 'string' || label === '') throw new UsageError(`${where} has no label`);
  const [first, last] = [units[unit](start), units[unit](end)];
  const other = unit === 'utf-16' ? 'code-points' : 'utf-16';
  const isInOther = units[other](end) <= text.length && units[other](end) !== last;
  const remedy = isInOther
    ? ` when places count ${UNIT_NAMES[unit]}; if they count ${UNIT_NAMES[other]}, give entityOffsets ${other}`
    : '';
  if (start < 0 || end <= start || last > text.length)
    throw new UsageError(
      `${where} goes from ${start} to ${end}, which is outside of its text or empty${remedy}`,
    );
  const found = text.slice(first, last);
  if (typeof marked === 'string' && marked !== found)
    throw new UsageError(`${where} marks ${quoted(marked)}, but there stands ${quoted(found)}${remedy}`);
  const cut = [first, last].find((place) => isInsideCharacter(text, place));
  if (cut !== undefined)
    throw new UsageError(
      `${where} begins or ends inside of ${quoted(text.slice(cut - 1, cut + 1))}${remedy}`,
    );
  return { start: first, end: last, label };
}

function isInsideCharacter(text: string, place: number): boolean {
  return /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(Math.max(0, place - 1), place + 1));
}
