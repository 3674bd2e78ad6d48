// Entities as labels of tokens: how IOB and its relatives write them, and what sequences of labels mean. Reading follows
// conlleval, and with it the default mode of seqeval 1.2.2, which takes every scheme but BILOU and stumbles over nothing; the
// strict mode is that of `seqeval.scheme`.
import { UsageError } from '../util/errors.js';

/** `tokens.slice(start, end)`. */
export interface LabelledSpan {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

export const labelSchemes = ['IOB1', 'IOB2', 'IOBES', 'BILOU'] as const;
export type LabelScheme = (typeof labelSchemes)[number];

/** The label of what is no entity. */
export const OUTSIDE = 'O';

/** Prefix and type: B-PER is B and PER; a bare B has the type `_`. */
export function partsOf(label: string): readonly [prefix: string, type: string] {
  const rest = label.slice(1);
  const dash = rest.indexOf('-');
  return [label.slice(0, 1), (dash === -1 ? rest : rest.slice(dash + 1)) || '_'];
}

/** The entities of one sentence, whatever the scheme: what stands against its rules still ends and begins somewhere. */
export function entitiesOf(labels: readonly string[]): LabelledSpan[] {
  const found: LabelledSpan[] = [];
  let [before, typeBefore] = [OUTSIDE, ''];
  let start = 0;
  for (const [index, label] of [...labels, OUTSIDE].entries()) {
    const [prefix, type] = partsOf(label);
    if (endsEntity(before, prefix, typeBefore === type)) found.push({ type: typeBefore, start, end: index });
    if (startsEntity(before, prefix, typeBefore === type)) start = index;
    [before, typeBefore] = [prefix, type];
  }
  return found;
}

function endsEntity(before: string, prefix: string, isSameType: boolean): boolean {
  if (before === 'E' || before === 'S') return true;
  if ('BI'.includes(before) && 'BSO'.includes(prefix)) return true;
  return before !== 'O' && before !== '.' && !isSameType;
}

function startsEntity(before: string, prefix: string, isSameType: boolean): boolean {
  if (prefix === 'B' || prefix === 'S') return true;
  if ('ESO'.includes(before) && 'EI'.includes(prefix)) return true;
  return prefix !== 'O' && prefix !== '.' && !isSameType;
}

/** Prefixes before and now, and whether the type is the same; null where it does not matter. */
type Pattern = readonly [before: string, prefix: string, isSameType: boolean | null];

interface Rules {
  readonly prefixes: string;
  readonly start: readonly Pattern[];
  readonly inside: readonly Pattern[];
  /** Of the token after the last one. */
  readonly end: readonly Pattern[];
}

const ANY = 'IOBESUL';
const begunBy = (first: string, alone: string, last: string): Rules => ({
  prefixes: `${first}I${last}O${alone}`,
  start: [[ANY, first + alone, null]],
  inside: [[`${first}I`, `I${last}`, true]],
  end: [[last + alone, ANY, null]],
});
const RULES: Readonly<Record<LabelScheme, Rules>> = {
  IOB1: {
    prefixes: 'IOB',
    start: [
      ['O', 'I', null],
      ['I', 'I', false],
      ['B', 'I', null],
      ['IB', 'B', true],
    ],
    inside: [['BI', 'I', true]],
    end: [
      ['IB', 'I', false],
      ['IB', 'O', null],
      ['I', 'B', null],
      ['B', 'B', true],
    ],
  },
  IOB2: {
    prefixes: 'IOB',
    start: [[ANY, 'B', null]],
    inside: [['BI', 'I', true]],
    end: [
      ['IB', 'OB', null],
      ['IB', 'I', false],
    ],
  },
  IOBES: begunBy('B', 'S', 'E'),
  BILOU: begunBy('B', 'U', 'L'),
};

/**
 * The entities of one sentence that are written by the rules of the scheme; others are left out.
 *
 * @throws UsageError for a prefix that the scheme does not have
 */
export function strictEntitiesOf(labels: readonly string[], scheme: LabelScheme): LabelledSpan[] {
  const rules = RULES[scheme];
  const parts = [...labels, OUTSIDE].map((label) => strictPartsOf(label, scheme));
  const matches = (patterns: readonly Pattern[], index: number): boolean => {
    const [before, typeBefore] = parts[index - 1] ?? [OUTSIDE, '_'];
    const [prefix, type] = parts[index] ?? [OUTSIDE, '_'];
    return patterns.some(
      ([first, second, isSame]) =>
        first.includes(before) &&
        second.includes(prefix) &&
        (isSame === null || isSame === (type === typeBefore)),
    );
  };
  const found: LabelledSpan[] = [];
  for (let start = 0; start < labels.length;) {
    let end = start + 1;
    if (matches(rules.start, start)) {
      while (matches(rules.inside, end)) end++;
      if (matches(rules.end, end)) found.push({ type: parts[start]?.[1] ?? '_', start, end });
    }
    start = end;
  }
  return found;
}

function strictPartsOf(label: string, scheme: LabelScheme): readonly [prefix: string, type: string] {
  const prefix = label.slice(0, 1);
  if (prefix === '' || !RULES[scheme].prefixes.includes(prefix))
    throw new UsageError(`The label ${JSON.stringify(label)} has no prefix of ${scheme}`);
  return [prefix, label.slice(1).replace(/^-+|-+$/g, '') || '_'];
}

/** How many labels stand where the scheme does not let them: an I- of IOB2 that nothing began, a B- of IOBES without E-. */
export function illegalLabels(labels: readonly string[], scheme: LabelScheme): number {
  if (scheme === 'IOB1') return 0; // each of its sequences means something
  let inside = labels.length;
  for (const label of labels) if (label === OUTSIDE) inside--;
  const legal = strictEntitiesOf(labels, scheme).reduce((sum, { start, end }) => sum + end - start, 0);
  return inside - legal;
}

/** The scheme that a set of labels is of; null where they have no prefixes. Of B and I alone it is IOB2. */
export function schemeOf(labels: Iterable<string>): LabelScheme | null {
  const own = [...labels].filter((label) => label !== OUTSIDE);
  if (own.length === 0 || own.some((label) => !/^[BIESLU]-./.test(label))) return null;
  const prefixes = new Set(own.map((label) => label.slice(0, 1)));
  const [isBilou, isIobes] = ['LU', 'ES'].map((both) => Array.from(both).some((one) => prefixes.has(one)));
  if (isBilou === true) return isIobes === true ? null : 'BILOU';
  if (isIobes === true) return 'IOBES';
  return prefixes.has('B') ? 'IOB2' : 'IOB1';
}

/** Labels without a scheme as those of entities of one type in a row. */
export function withPrefixes(labels: readonly string[]): readonly string[] {
  return schemeOf(labels) === null
    ? labels.map((label) => (label === OUTSIDE ? label : `I-${label}`))
    : labels;
}

/** Labels of a sentence in a scheme, in the order of the text; the entities do not overlap. */
export function labelsOf(entities: readonly LabelledSpan[], length: number, scheme: LabelScheme): string[] {
  const labels = Array.from({ length }, () => OUTSIDE);
  const [last, alone] = { IOB1: ['I', 'I'], IOB2: ['I', 'B'], IOBES: ['E', 'S'], BILOU: ['L', 'U'] }[scheme];
  for (const [number, { type, start, end }] of entities.entries()) {
    const before = entities[number - 1];
    // Of IOB1 a B- only parts neighbours of one type.
    const isParted = scheme !== 'IOB1' || (before?.end === start && before.type === type);
    for (let at = start; at < end; at++) {
      const inner = at === start ? 'B' : at === end - 1 ? last : 'I';
      const prefix = at === start && !isParted ? 'I' : end - start === 1 && scheme !== 'IOB1' ? alone : inner;
      labels[at] = `${prefix}-${type}`;
    }
  }
  return labels;
}

/** The labels of a sentence in another scheme, read loosely. */
export function inScheme(labels: readonly string[], from: LabelScheme, to: LabelScheme): string[] {
  const named =
    from === 'BILOU' ? labels.map((label) => label.replace(/^U/, 'S').replace(/^L/, 'E')) : labels;
  return labelsOf(entitiesOf(named), labels.length, to);
}
