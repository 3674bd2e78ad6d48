// One label as it is written in a cell: what counts as a number, a truth value or nothing, when two of them are the same
// label, and in which order they are listed.
import { isUtf8 } from 'node:buffer';

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** In any case, for pandas. */
const TRUTH = /^(true|false)$/i;
/** What pandas passes over around a number: no-break and wide spaces are not among them. */
const BLANKS = ' \t\n\v\f\r';
/** Longer texts are names: no double takes so many digits, and the patterns take quadratic time on them. */
const MOST_DIGITS = 400;

/** A cell without the blanks that pandas passes over around a number. */
export function withoutBlanks(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && BLANKS.includes(text.charAt(start))) start++;
  while (end > start && BLANKS.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

export function isIntegerText(text: string): boolean {
  return fits(INTEGER, withoutBlanks(text));
}

/** Whether pandas reads a text as a number: a point for decimals, no thousands separators, no unit. */
export function isNumberText(text: string): boolean {
  return fits(NUMBER, withoutBlanks(text));
}

function fits(pattern: RegExp, bare: string): boolean {
  return bare.length <= MOST_DIGITS && pattern.test(bare);
}

/**
 * The one spelling of a number or truth value, however a file writes it: `5` for " 5", "+5", "05" and "5.0", `true` for
 * "True" and "TRUE". Null for other texts. Integers of any size stay exact.
 */
export function canonical(text: string): string | null {
  const bare = withoutBlanks(text);
  if (TRUTH.test(bare)) return bare.toLowerCase();
  if (!fits(NUMBER, bare)) return null;
  if (INTEGER.test(bare)) return String(BigInt(bare));
  // Beyond 2^53 doubles are not exact.
  const whole = /^([+-]?\d+)\.0*$/.exec(bare)?.[1];
  if (whole !== undefined) return String(BigInt(whole));
  const number = Number(bare);
  if (!Number.isFinite(number)) return null;
  return Number.isInteger(number) ? String(BigInt(number)) : String(number);
}

/** A value as a number, or true and false as 1 and 0; null for what is neither. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return null;
  const bare = withoutBlanks(value);
  if (fits(NUMBER, bare)) return Number(bare);
  if (/^[+-]?inf(inity)?$/i.test(bare)) return bare.startsWith('-') ? -Infinity : Infinity;
  return TRUTH.test(bare) ? Number(bare.toLowerCase() === 'true') : null;
}

/**
 * Why a text that looks like a number is none: decimal commas, thousands separators, units, other digits and signs. Null
 * where it does not look like one.
 */
export function numberProblem(text: string): string | null {
  const trimmed = text.trim();
  if (trimmed.length > MOST_DIGITS || isNumberText(text)) return null;
  const bare = trimmed.normalize('NFKC').replaceAll('\u2212', '-');
  const found =
    /^[+-]?\s*([$€£¥₹₽₩]|[A-Z]{3}\s)?\s*[+-]?(\d[\d.,'’ _\u202f]*)\s*(%|‰|[$€£¥₹₽₩]|[A-Z]{3})?$/u.exec(bare);
  if (found === null) return null;
  const [, before, digits = '', behind] = found;
  if (behind === '%' || behind === '‰') return `leave out the sign ${behind}`;
  if (before !== undefined || behind !== undefined) return `leave out ${(before ?? behind ?? '').trim()}`;
  if (/^\d*,\d+$/.test(digits) || /^\d{1,3}(\.\d{3})+,\d+$/.test(digits))
    return 'write the decimals behind a point, and thousands without a separator';
  if (/^\d{1,3}([.,'’ _\u202f]\d{3})+(\.\d+)?$/.test(digits)) return 'write thousands without a separator';
  return isNumberText(bare) ? 'write it with the digits 0 to 9, the sign - and no spaces in between' : null;
}

/** Of labels with decimal commas at most so many have none, being whole. */
const LEAST_COMMAS = 0.1;

/**
 * A number with a decimal comma, where the numbers of a column are written so: none has a point for its decimals, and not all
 * commas may separate thousands. A few that are not meant are left to be found row by row.
 */
export function decimalComma(values: readonly unknown[]): string | null {
  const texts = values.filter((value) => typeof value === 'string').map((text) => text.trim());
  const commas = texts.filter((text) => text.length <= MOST_DIGITS && DECIMAL_COMMA.test(text));
  const hasPoints = values.some((value) =>
    typeof value === 'number' ? !Number.isInteger(value) : isPointed(value),
  );
  if (hasPoints || commas.length < LEAST_COMMAS * values.length) return null;
  return commas.find((text) => !/,\d{3}$/.test(text)) ?? null;
}

const DECIMAL_COMMA = /^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)?,\d+$/;

function isPointed(value: unknown): boolean {
  return typeof value === 'string' && isNumberText(value) && !isIntegerText(value);
}

/** A label that can be used, or why it cannot. */
export type Parsed<T> = { value: T } | { problem: string };

export const MISSING_LABEL = 'the label is missing';

/** Nothing, or nothing but white space. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** One label as text: strings as they are, numbers and booleans as JSON writes them. */
export function labelText(value: unknown): Parsed<string> {
  if (isBlank(value)) return { problem: MISSING_LABEL };
  if (typeof value === 'string') {
    // A lone surrogate, which JSON can write as \ud800, has no UTF-8 form and could not be saved.
    return /\p{Surrogate}/u.test(value)
      ? { problem: 'the label holds half a character (a lone surrogate)' }
      : { value };
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return { problem: `the label is ${value}` };
  // Beyond 2^53 other integers have become the same number by now.
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return {
      problem: `the label ${String(value)} is too large to be kept to the last digit; write it as a string`,
    };
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return { value: `${value}` };
  if (typeof value === 'symbol') return { problem: 'the label is not valid UTF-8' };
  return {
    problem: `expected a string or a number but found ${kindOfObject(value)}`,
  };
}

/** What a value is that is no text, number or truth value, for messages. */
export function kindOfObject(value: unknown): string {
  if (value instanceof Date) return 'a date';
  if (Buffer.isBuffer(value)) return 'bytes that are no text';
  return isList(value) ? 'a list' : 'an object';
}

/** The text that bytes are, where they are one; other values as they are. */
export function withoutBytes(value: unknown): unknown {
  return Buffer.isBuffer(value) && isUtf8(value) && !value.includes(0) ? value.toString('utf8') : value;
}

/** Whether a value is a list, or a typed array of numbers. A `Buffer` is neither: databases give texts so. */
export function isList(value: unknown): boolean {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !Buffer.isBuffer(value));
}

/** Differences that are hardly ever meant, and what is left of a label without each. */
const DIFFERENCES: readonly { what: string; without: (label: string) => string }[] = [
  {
    what: 'invisible characters',
    without: (label) => label.replaceAll(/\p{Default_Ignorable_Code_Point}/gu, ''),
  },
  { what: 'width or composition of characters', without: (label) => label.normalize('NFKC') },
  { what: 'case', without: (label) => label.toUpperCase().toLowerCase() },
  { what: 'white space', without: (label) => label.trim().replaceAll(/\s+/gu, ' ') },
];

/** Equal for labels that differ in white space, case, width, composition, invisible characters or the way of writing a number. */
export function foldKey(label: string): string {
  const folded = DIFFERENCES.reduce((text, { without }) => without(text), label);
  return canonical(folded) ?? folded;
}

/**
 * The one spelling of each of the labels of a column. Where all are numbers, or all truth values, these in their canonical
 * form; other labels as they are written, or, where spellings are folded, the most frequent one. A known label stays.
 *
 * @param counts how often each label occurs, where spellings are folded; else null
 */
export function spelledAlike(
  labels: readonly string[],
  known: readonly string[],
  counts: ReadonlyMap<string, number> | null,
): readonly string[] {
  const isKnown = new Set(known);
  const spellings = labels.map(canonical);
  const areAll = (what: RegExp): boolean => spellings.every((name) => name !== null && what.test(name));
  if (areAll(/^[-\d]/) || areAll(/^[tf]/))
    return labels.map((label, i) => (isKnown.has(label) ? label : (spellings[i] ?? label)));
  if (counts === null) return labels;
  const nameOf = new Map<string, string>();
  for (const label of known) if (!nameOf.has(foldKey(label))) nameOf.set(foldKey(label), label);
  const countOf = (label: string): number => counts.get(label) ?? 0;
  for (const label of labels.toSorted((a, b) => countOf(b) - countOf(a)))
    if (!nameOf.has(foldKey(label))) nameOf.set(foldKey(label), cleaned(label));
  return labels.map((label) => (isKnown.has(label) ? label : (nameOf.get(foldKey(label)) ?? label)));
}

/** A label without what is hardly ever meant, its case and width aside. */
function cleaned(label: string): string {
  return label
    .replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '')
    .normalize('NFC')
    .trim()
    .replaceAll(/\s+/gu, ' ');
}

/** In what two labels with the same `foldKey` differ, in words. */
export function differenceOf(a: string, b: string): string {
  const [numberA, numberB] = [canonical(a), canonical(b)];
  if (numberA !== null && numberA === numberB) return 'the way the number is written';
  const needed = DIFFERENCES.filter(({ what }) => {
    const others = DIFFERENCES.filter((other) => other.what !== what);
    const rest = (label: string): string => others.reduce((text, { without }) => without(text), label);
    return rest(a) !== rest(b);
  });
  // A byte order mark is white space and invisible: without either the labels are the same.
  const found =
    needed.length > 0 ? needed : DIFFERENCES.filter(({ without }) => without(a) === without(b)).slice(0, 1);
  return found.map(({ what }) => what).join(' and ') || 'the way they are written';
}

/**
 * The order of a label map: as strings by code point, as HF's run_classification sorts, but by number when every label
 * is an integer (0, 1, ..., 10 instead of 0, 1, 10, 2; the same for fewer than eleven classes).
 */
export function sortLabels(labels: Iterable<string>): string[] {
  const all = [...labels];
  if (!all.every(isIntegerText)) return all.toSorted(byCodePoint);
  return all
    .map((label) => ({ label, number: BigInt(withoutBlanks(label)) }))
    .toSorted((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0))
    .map(({ label }) => label);
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The id of a label in a fixed list of names: its place in the list, also where the list writes the same number or truth
 * value otherwise. Where none of the names is an integer, the integer itself is an id, so that data labelled 0 and 1 fit a
 * model whose labels are called negative and positive.
 *
 * @param areFolded whether labels that differ in white space, case and the like are the same
 */
export function labelIds(names: readonly string[], areFolded = false): (label: string) => number | undefined {
  const ids = new Map(names.map((name, id) => [name, id]));
  const firstBy = (keyOf: (name: string) => string | null): Map<string | null, number> =>
    new Map(names.map((name, id) => [keyOf(name), id] as const).toReversed());
  const canonicalIds = firstBy(canonical);
  canonicalIds.delete(null);
  const foldedIds = areFolded ? firstBy(foldKey) : null;
  const acceptIds = !names.some(isIntegerText);
  return (label) => {
    const own = canonical(label);
    const id = ids.get(label) ?? canonicalIds.get(own) ?? foldedIds?.get(foldKey(label));
    if (id !== undefined || !acceptIds || own === null || !/^\d+$/.test(own)) return id;
    return Number(own) < names.length ? Number(own) : undefined;
  };
}

const UNKNOWN = 'is unknown; expected';

/** The reason of a label that is not in the list, with the list where it is short, or the name that is nearly the same. */
export function unknownLabel(label: string, known: readonly string[]): string {
  const key = foldKey(label);
  const near = known.find((name) => foldKey(name) === key);
  const shown =
    near !== undefined
      ? `${JSON.stringify(near)}, which differs only in ${differenceOf(near, label)} (foldLabels takes them for one)`
      : known.length > 10
        ? `one of ${known.length} labels`
        : known.map((name) => JSON.stringify(name)).join(', ');
  return `the label ${JSON.stringify(label)} ${UNKNOWN} ${shown}`;
}

/** Whether a row was bad for the reason that `unknownLabel` gives. */
export function isUnknownLabel(reason: string): boolean {
  return reason.includes(UNKNOWN);
}
