// Labels as they are written: how a person wants them to be read, what counts as an integer, a decimal or nothing, and in
// which order they are listed.
import { singleLabel, taskKinds, type ProblemType, type TaskKind } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';

/** How a person wants labels to be read; what is left open, the labels themselves tell. */
export interface LabelReading {
  problemType?: ProblemType | undefined;
  /** Whether a label is one probability for each class. */
  softLabels?: boolean | undefined;
}

/** The requested task; undefined where the labels decide. @throws UsageError for one without soft labels */
export function taskKindOf({ problemType, softLabels }: LabelReading): TaskKind | undefined {
  if (problemType === undefined) return softLabels === true ? singleLabel : undefined;
  const kind = taskKinds[problemType];
  if (softLabels !== true || kind.columns.probabilities !== null) return kind;
  throw new UsageError(
    `softLabels does not go with problemType ${problemType}, which takes numbers as they are`,
  );
}

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function isIntegerText(text: string): boolean {
  return INTEGER.test(text);
}

export function isNumberText(text: string): boolean {
  return NUMBER.test(text);
}

/** A label that can be used, or why it cannot. */
export type Reading<T> = { value: T } | { problem: string };

export const MISSING_LABEL = 'the label is missing';

/** One label as text: strings as they are, numbers and booleans as JSON writes them. */
export function labelText(value: unknown): Reading<string> {
  if (value === undefined || value === null || value === '') return { problem: MISSING_LABEL };
  if (typeof value === 'string') {
    // A lone surrogate, which JSON can write as \ud800, has no UTF-8 form and could not be saved.
    return /\p{Surrogate}/u.test(value)
      ? { problem: 'the label holds half a character (a lone surrogate)' }
      : { value };
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return { problem: `the label is ${value}` };
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return { value: `${value}` };
  if (typeof value === 'symbol') return { problem: 'the label is not valid UTF-8' };
  return {
    problem: `expected a string or a number but found ${Array.isArray(value) ? 'a list' : 'an object'}`,
  };
}

/**
 * The members of a list of labels; a list may be empty, but may not name a label twice. CSV writes the empty list as
 * nothing.
 */
export function labelMembers(value: unknown, delimiter: string): Reading<string[]> {
  if (value === '') return { value: [] };
  const parts = Array.isArray(value) ? (value as unknown[]) : splitLabels(value, delimiter);
  if (parts === null) {
    return { problem: `the label looks like a list written as text; write a${delimiter}b` };
  }
  const members: string[] = [];
  for (const part of parts) {
    const read = labelText(part);
    if ('problem' in read) return read;
    if (members.includes(read.value)) {
      const hint = isIntegerText(read.value) ? ' (a list holds class names, not zeros and ones)' : '';
      return { problem: `the list names the label ${JSON.stringify(read.value)} twice${hint}` };
    }
    members.push(read.value);
  }
  return { value: members };
}

/** One probability for each label, as a list or joined by the delimiter. */
export function labelProbabilities(value: unknown, delimiter: string): Reading<number[]> {
  if (value === undefined || value === null || value === '') return { problem: MISSING_LABEL };
  const parts = Array.isArray(value) ? (value as unknown[]) : splitLabels(value, delimiter);
  if (parts === null)
    return { problem: `the probabilities look like a list written as text; write 0.1${delimiter}0.9` };
  const numbers: number[] = [];
  for (const part of parts) {
    const read = labelText(part);
    if ('problem' in read) return read;
    const number = isNumberText(read.value) ? Number(read.value) : Number.NaN;
    if (!(number >= 0 && number <= 1))
      return {
        problem: `expected a probability from 0 to 1 for each label but found ${JSON.stringify(read.value)}`,
      };
    numbers.push(number);
  }
  return { value: numbers };
}

/** Names joined by a delimiter; spaces around a name do not belong to it. Null for a Python or JSON list as text. */
function splitLabels(value: unknown, delimiter: string): unknown[] | null {
  if (typeof value !== 'string') return [value];
  if (/^\[.*\]$/s.test(value.trim())) return null;
  return value.split(delimiter).map((part) => part.trim());
}

/**
 * The order of a label map: as strings by code point, as HF's run_classification sorts, but by number when every label
 * is an integer (0, 1, ..., 10 instead of 0, 1, 10, 2; the same for fewer than eleven classes).
 */
export function sortLabels(labels: Iterable<string>): string[] {
  const all = [...labels];
  return all.every(isIntegerText) ? all.toSorted((a, b) => Number(a) - Number(b)) : all.toSorted(byCodePoint);
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The id of a label in a fixed list of names: its place in the list, or, where none of the names is an integer, the
 * integer itself, so that data labelled 0 and 1 fit a model whose labels are called negative and positive.
 */
export function labelIds(names: readonly string[]): (label: string) => number | undefined {
  const ids = new Map(names.map((name, id) => [name, id]));
  const acceptIds = !names.some(isIntegerText);
  return (label) => {
    const id = ids.get(label);
    if (id !== undefined || !acceptIds || !/^\d+$/.test(label)) return id;
    return Number(label) < names.length ? Number(label) : undefined;
  };
}

const UNKNOWN = 'is unknown; expected';

/** The reason of a label that is not in the list, with the list where it is short. */
export function unknownLabel(label: string, known: readonly string[]): string {
  const shown =
    known.length > 10
      ? `one of ${known.length} labels`
      : known.map((name) => JSON.stringify(name)).join(', ');
  return `the label ${JSON.stringify(label)} ${UNKNOWN} ${shown}`;
}

/** Whether a row was bad for the reason that `unknownLabel` gives. */
export function isUnknownLabel(reason: string): boolean {
  return reason.includes(UNKNOWN);
}
