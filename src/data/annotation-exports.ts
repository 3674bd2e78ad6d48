// The rows that annotation tools export: Label Studio, doccano and Prodigy have texts and labels elsewhere than in columns. And
// rows in an envelope, as services send them.
import { isObject, type JsonObject } from '../util/json.js';
import { hasUsualLabel, labelledColumns, usualText, type ColumnChoice } from './columns.js';
import type { AnnotationExport, RawRecord } from './records.js';

/** The rows that one object stands for: itself, but for exports of Label Studio, doccano and Prodigy, and rows in an envelope. */
export function rowsOf(object: JsonObject): readonly JsonObject[] {
  if (isLabelStudioTask(object)) return labelStudioRows(object);
  return [withLabel(withoutEnvelope(object))];
}

/** Members that hold a row, where the others say where it is from: the hub's, searches', annotation tools', maps'. */
const ENVELOPES = new Set(['row', '_source', 'data', 'properties', 'fields', 'record']);

/** `{"row_idx": 0, "row": {"text": "..."}}` as `{"row_idx": 0, "text": "..."}`. */
function withoutEnvelope(object: JsonObject): JsonObject {
  if (hasText(object)) return object;
  const [found, other] = Object.entries(object).filter(
    ([name, value]) =>
      isObject(value) && hasText(value) && (ENVELOPES.has(name) || labelledColumns(Object.keys(value))),
  );
  if (found === undefined || other !== undefined || !isObject(found[1])) return object;
  // With a label inside and outside nothing says which is meant.
  if (hasUsualLabel(Object.keys(object)) && hasUsualLabel(Object.keys(found[1]))) return object;
  const rest = Object.entries(object).filter(([name]) => name !== found[0]);
  return { ...Object.fromEntries(rest), ...found[1] };
}

/** Whether there is a text under a usual name. */
export function hasText(row: JsonObject): boolean {
  const column = usualText(Object.keys(row));
  return column !== undefined && typeof row[column] === 'string';
}

/**
 * A task of Label Studio's JSON export, which holds the columns in `data` and may have several annotations. A row that has a
 * text and a label of its own is none.
 */
export function isLabelStudioTask(
  object: JsonObject,
): object is JsonObject & { data: JsonObject; annotations?: unknown; completions?: unknown } {
  return (
    isObject(object['data']) &&
    Array.isArray(object['annotations'] ?? object['completions']) &&
    !labelledColumns(Object.keys(object))
  );
}

/** As in its JSON-MIN export: a row for each annotation, with a column by the name of each control. */
function labelStudioRows(task: JsonObject & { data: JsonObject }): JsonObject[] {
  const { annotations, completions, data, id } = task;
  const finished = objectsIn(annotations ?? completions).filter((one) => one['was_cancelled'] !== true);
  const shared = { ...data, ...(id !== undefined && { id }) };
  if (finished.length === 0) return [shared];
  return finished.map(({ result }) => {
    const row: Record<string, unknown> = Object.assign({}, shared);
    for (const [control, value, kind] of controlsIn(result))
      row[control] = kind === 'choices' ? oneOrList(value[kind]) : value[kind];
    return row;
  });
}

/** What a control can hold for a text as a whole. */
const CONTROL_VALUES = ['choices', 'number', 'rating', 'text'];

function controlsIn(result: unknown): [control: string, value: JsonObject, kind: string][] {
  return objectsIn(result).flatMap(({ from_name: control, value }) => {
    if (typeof control !== 'string' || !isObject(value)) return [];
    const kind = CONTROL_VALUES.find((name) => (value[name] ?? null) !== null);
    // Marks of a part of the text repeat that part, and say nothing of the whole.
    return kind === undefined || (kind === 'text' && 'start' in value) ? [] : [[control, value, kind]];
  });
}

function objectsIn(list: unknown): JsonObject[] {
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** One choice is a single label, several are a list. */
function oneOrList(choices: unknown): unknown {
  return Array.isArray(choices) && choices.length === 1 ? choices[0] : choices;
}

function withLabel(object: JsonObject): JsonObject {
  const { accept, annotations } = object;
  if (isProdigyChoice(object)) {
    const style = isObject(object['config']) ? object['config']['choice_style'] : undefined;
    return { ...object, label: style === 'multiple' ? accept : oneOrList(accept) };
  }
  if (isOldDoccano(object))
    return { ...object, label: oneOrList(objectsIn(annotations).map(({ label }) => label)) };
  const several = choicesIn(object);
  return several.length === 0 ? object : { ...object, ...Object.fromEntries(several) };
}

/** Prodigy's `choice`: the ids of the options that were taken; the options themselves may have been left out. */
function isProdigyChoice(object: JsonObject): boolean {
  return Array.isArray(object['accept']) && !hasUsualLabel(Object.keys(object));
}

/** doccano up to version 1.0. */
function isOldDoccano(object: JsonObject): boolean {
  return (
    typeof object['text'] === 'string' &&
    areOfWholeText(object['annotations']) &&
    !hasUsualLabel(Object.keys(object))
  );
}

/** Label Studio's JSON-MIN writes several choices as an object. */
function choicesIn(object: JsonObject): [column: string, choices: unknown][] {
  return Object.entries(object).flatMap(([name, value]) =>
    isObject(value) && isOnlyChoices(value) ? [[name, value['choices']]] : [],
  );
}

/** Whether annotations label the text as a whole: those of a part of it, such as a named entity, have offsets. */
function areOfWholeText(annotations: unknown): boolean {
  return (
    Array.isArray(annotations) &&
    annotations.length > 0 &&
    annotations.every(
      (one) => isObject(one) && 'label' in one && !Object.keys(one).some((name) => OFFSETS.test(name)),
    )
  );
}

const OFFSETS = /^(?:start|end|begin|from|to)(?:_?offset|_?char|_?token)?$|^(?:offset|span)s?$/i;

function isOnlyChoices(value: JsonObject): boolean {
  return Array.isArray(value['choices']) && Object.keys(value).length === 1;
}

/** Where the columns come from that `rowsOf` makes; null where it makes none. */
export function exportOf(object: JsonObject): AnnotationExport | null {
  if (isLabelStudioTask(object)) {
    const { data, annotations, completions } = object;
    const name = Array.isArray(annotations) ? 'annotations' : 'completions';
    const controls = objectsIn(annotations ?? completions).flatMap(({ result }) => controlsIn(result));
    const fields = [
      ...Object.keys(data).map((column) => [column, `data.${column}`]),
      ...controls.map(([control, , kind]) => [
        control,
        `the ${kind} of ${JSON.stringify(control)} in ${name}`,
      ]),
    ];
    return { tool: 'Label Studio', fields: Object.fromEntries(fields) };
  }
  if (isProdigyChoice(object)) return { tool: 'Prodigy', fields: { label: 'accept' } };
  if (isOldDoccano(object)) return { tool: 'doccano', fields: { label: 'annotations.label' } };
  const several = choicesIn(object).map(([column]) => [column, `${column}.choices`]);
  return several.length === 0 ? null : { tool: 'Label Studio', fields: Object.fromEntries(several) };
}

/** A remark on where text and label come from, where the first rows are those of an export. */
export function exportNote(
  path: string,
  sample: readonly RawRecord[],
  { text, textPair, label }: ColumnChoice,
): string[] {
  const [tool, fields] = [new Set<string>(), new Map<string, string>()];
  for (const record of sample.slice(0, LOOKED_AT)) {
    const found = record.origin?.() ?? null;
    if (found !== null) tool.add(found.tool);
    for (const [column, field] of Object.entries(found?.fields ?? {}))
      if (!fields.has(column)) fields.set(column, field);
  }
  const used = [
    ['text', text],
    ['pair', textPair],
    ...[label].flat().map((column) => ['label', column]),
  ].filter((use): use is [string, string] => use[1] !== null);
  if (!used.some(([, column]) => fields.has(column))) return [];
  const parts = used.map(([what, column]) => `${what} from ${fields.get(column) ?? column}`);
  return [`${path} is taken for an export of ${[...tool].join(' and ')}: ${parts.join(', ')}`];
}

/** Rows may come first that nobody has annotated. */
const LOOKED_AT = 1000;
