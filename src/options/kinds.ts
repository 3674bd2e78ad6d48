// The kinds of value an option can have. Each knows its check, its words, and how a flag's text is read.
import { z } from 'zod';

import { expected } from '../util/errors.js';

/** One kind of value: what is right, as a zod schema for the check and in words for the message and the help. */
export interface Kind<T> {
  readonly schema: z.ZodType<T>;
  /** Completes the sentence "Expected ... for --flag". */
  readonly what: string;
  /** `T` as TypeScript writes it, for the generated values.ts. */
  readonly type: string;
  /** How the command line takes it: one value, none or `true`/`false`, several, or one that may be left out. */
  readonly arity: 'one' | 'switch' | 'many' | 'optional';
  /** Stands for the value in the help, e.g. `N`. */
  readonly placeholder: string;
  /** The words to choose from, where there are such. */
  readonly words?: readonly string[];
  /** Reads the text of a flag; text that cannot be read is returned as it is, and the schema rejects it. */
  readonly fromText: (text: string) => unknown;
  /** For a value of several parts: what is wrong with each; none when the value as a whole is of the wrong kind. */
  readonly faults?: (value: unknown, name: string) => string[];
}

/** Any text but the empty one, or those that fit a pattern, which `what` then describes. */
export function text(placeholder: string, what = 'a text', pattern = /./s): Kind<string> {
  return {
    schema: z.string().regex(pattern),
    what,
    type: 'string',
    arity: 'one',
    placeholder,
    fromText: (written) => written,
  };
}

/** A whole number of at least `min`, or one of the values in `also`. */
export function integer(min: number, options: { max?: number; also?: number } = {}): Kind<number> {
  const { max = Number.MAX_SAFE_INTEGER, also } = options;
  const range =
    options.max === undefined ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`;
  return {
    schema: z.number().refine((n) => Number.isSafeInteger(n) && ((n >= min && n <= max) || n === also)),
    what: also === undefined ? range : `${range}, or ${also}`,
    type: 'number',
    arity: 'one',
    placeholder: 'N',
    fromText: numberFromText,
  };
}

/** A finite number that passes `check`; `range` describes which do. */
export function real(range: string, check: (n: number) => boolean): Kind<number> {
  return {
    schema: z.number().refine(check),
    what: `a number ${range}`,
    type: 'number',
    arity: 'one',
    placeholder: 'X',
    fromText: numberFromText,
  };
}

export const notNegative = real('of at least 0', (n) => n >= 0);

/** A share of tokens, or two of them for the begin and the end of a training. */
export function maskingShare(): Kind<number | string> {
  return {
    schema: z.union([
      z.number().refine(isShare),
      z.string().refine((written) => {
        const [from, to, ...more] = written.split(':').map(Number);
        return from !== undefined && to !== undefined && more.length === 0 && isShare(from) && isShare(to);
      }),
    ]),
    what: 'a number above 0 and at most 1, or two such as 0.3:0.15 for the begin and the end of the training',
    type: 'number | string',
    arity: 'one',
    placeholder: 'P|FROM:TO',
    fromText: numberFromText,
  };
}

function isShare(share: number): boolean {
  return share > 0 && share <= 1;
}

/** Optimizer steps as HF counts them: a whole number, or below 1 a share of all steps of the run. */
export function steps(options: { allowZero: boolean }): Kind<number> {
  const zero = options.allowZero;
  return {
    schema: z.number().refine((n) => (n >= 1 ? Number.isSafeInteger(n) : n > 0 || (zero && n === 0))),
    what: `a whole number of steps, or a share of all steps ${zero ? 'from 0 to' : 'above 0 and'} below 1`,
    type: 'number',
    arity: 'one',
    placeholder: 'N',
    fromText: numberFromText,
  };
}

/** A number of optimizer steps, or the word for as many as an epoch has. */
export function epochOrSteps(): Kind<'epoch' | number> {
  return {
    schema: z.union([z.literal('epoch'), z.number().refine((n) => Number.isSafeInteger(n) && n >= 1)]),
    what: 'epoch, or a whole number of steps of at least 1',
    type: "'epoch' | number",
    arity: 'one',
    placeholder: 'epoch|N',
    fromText: numberFromText,
  };
}

/** A whole number of at least `min`, or `none` in place of one that a model brings. */
export function integerOrNone(min: number): Kind<number | 'none'> {
  return {
    ...integer(min),
    schema: z.union([z.literal('none'), z.number().refine((n) => Number.isSafeInteger(n) && n >= min)]),
    what: `a whole number of at least ${min}, or none`,
    type: "number | 'none'",
    placeholder: 'N|none',
  };
}

/** One of a few words. */
export function choice<const T extends readonly [string, ...string[]]>(words: T): Kind<T[number]> {
  return {
    schema: z.enum(words),
    what: `one of ${words.join(', ')}`,
    type: literals(words),
    arity: 'one',
    placeholder: 'WORD',
    words,
    fromText: (written) => written,
  };
}

/** The CPU, a CUDA device, or whichever there is. */
export function device(): Kind<'auto' | 'cpu' | 'cuda' | `cuda:${number}`> {
  const numbered = z.templateLiteral(['cuda:', z.number()]).refine((name) => /^cuda:\d{1,3}$/.test(name));
  return {
    schema: z.union([z.enum(['auto', 'cpu', 'cuda']), numbered]),
    what: 'auto, cpu, cuda or one such as cuda:1',
    type: "'auto' | 'cpu' | 'cuda' | `cuda:${number}`",
    arity: 'one',
    placeholder: 'DEVICE',
    fromText: (written) => written,
  };
}

/**
 * Several of a few words, or none of them, which is written `none` or an empty list.
 *
 * @param instead what to do for another word
 */
export function choices<const T extends readonly [string, ...string[]]>(
  words: T,
  instead: string,
): Kind<T[number][]> {
  const what = `none, or some of ${words.join(', ')}`;
  const none = z.union([z.literal('none'), z.tuple([z.literal('none')])]).transform(() => []);
  const one = z.enum(words).transform((word) => [word]);
  return {
    schema: z.union([none, one, z.array(z.enum(words)).transform((items) => [...new Set(items)])]),
    what,
    type: `(${literals(words)})[]`,
    arity: 'many',
    placeholder: 'WORD...',
    words: ['none', ...words],
    fromText: (written) => written,
    faults: (value, name) =>
      [value]
        .flat()
        .filter((item) => item !== 'none' && !words.some((word) => word === item))
        .map((item) => `${expected(what, name, item).message}; ${instead}`),
  };
}

/** At least one of a few words, each once; on the command line also with commas between them. */
export function someOf<const T extends readonly [string, ...string[]]>(words: T): Kind<T[number][]> {
  const what = `some of ${words.join(', ')}`;
  const items = z.array(z.enum(words)).nonempty();
  return {
    schema: z.preprocess(
      (value) => [value].flat(2),
      items.transform((own) => [...new Set(own)]),
    ),
    what,
    type: `(${literals(words)})[]`,
    arity: 'many',
    placeholder: 'WORD...',
    words,
    fromText: (written) => (written.includes(',') ? written.split(',') : written),
    faults: (value, name) =>
      [value]
        .flat(2)
        .filter((item) => !words.some((word) => word === item))
        .map((item) => expected(what, name, item).message),
  };
}

/** True or false. A bare flag means true, `--no-flag` means false. */
export function toggle(): Kind<boolean> {
  return {
    schema: z.boolean(),
    what: 'true or false',
    type: 'boolean',
    arity: 'switch',
    placeholder: '',
    fromText: booleanFromText,
  };
}

/** One text or several; numbers are taken as text, so that `labelList: [0, 1]` means the labels "0" and "1". */
export function list(placeholder: string, what: string, pattern = /./s): Kind<string[]> {
  const item = z.union([
    z.string().regex(pattern),
    z.number().transform(String).pipe(z.string().regex(pattern)),
  ]);
  return {
    schema: z.union([item.transform((one) => [one]), z.array(item)]),
    what,
    type: 'string[]',
    arity: 'many',
    placeholder: `${placeholder}...`,
    fromText: (written) => written,
    faults: (value, name) =>
      [value]
        .flat()
        .filter((one) => typeof one === 'string' && !pattern.test(one))
        .map((one) => expected(what, name, one).message),
  };
}

/** A share above 0 and below 1, or a text that is no number. */
export function textOrShare(placeholder: string, what: string): Kind<string | number> {
  const share = z.number().refine((n) => n > 0 && n < 1);
  return {
    schema: z.union([
      z
        .string()
        .regex(/^(?![-+.\d]+$)/)
        .min(1),
      share,
    ]),
    what,
    type: 'string | number',
    arity: 'one',
    placeholder,
    fromText: numberFromText,
  };
}

/** A text, or `true` when the flag stands without one. */
export function textOrTrue(placeholder: string, what: string): Kind<string | boolean> {
  return {
    schema: z.union([z.string().min(1), z.boolean()]),
    what,
    type: 'string | boolean',
    arity: 'optional',
    placeholder,
    fromText: booleanFromText,
  };
}

/** A weight for each label, in the order of their ids, or `balanced`: from how often each label occurs. */
export type LabelWeights = 'balanced' | number[];

/** `balanced`, or numbers above 0. */
export function labelWeights(): Kind<LabelWeights> {
  const weight = z.number().refine((n) => n > 0 && n < 1e30);
  const balanced = z.literal('balanced');
  return {
    schema: z.union([
      balanced,
      z.tuple([balanced]).transform(([word]) => word), // as the command line gives it
      weight.transform((one) => [one]),
      z.array(weight).nonempty(),
    ]),
    what: 'balanced, or a number above 0 for each label',
    type: "'balanced' | number[]",
    arity: 'many',
    placeholder: 'X...',
    fromText: (written) =>
      written.trim() === '' || Number.isNaN(Number(written)) ? written : Number(written),
  };
}

/** Numbers by pattern, in the order in which they were given. */
export type PatternFactors = Record<string, number>;

/** `{"classifier.*": 10}` in a file or script, `'classifier.*=10'` on the command line. */
export function patternFactors(): Kind<PatternFactors> {
  const factor = z.number().refine((n) => n >= 0 && Number.isFinite(n));
  return {
    schema: z.preprocess(fromLines, z.record(z.string().min(1), factor)),
    what: "patterns of tensor names with a number of at least 0 each, such as 'classifier.*=10'",
    type: 'Record<string, number>',
    arity: 'many',
    placeholder: 'PATTERN=X...',
    fromText: (written) => written,
  };
}

/** One `pattern=number` or several; what is not of this form is left for the schema to reject. */
function fromLines(value: unknown): unknown {
  const lines: unknown[] = Array.isArray(value) ? value : [value];
  const parts = lines.map((line) => (typeof line === 'string' ? /^([^=]+)=([-+.\de]+)$/i.exec(line) : null));
  if (parts.includes(null)) return value;
  const entries = parts.map((part) => [part?.[1] ?? '', Number(part?.[2])] as const);
  return new Set(entries.map(([pattern]) => pattern)).size < entries.length
    ? value
    : Object.fromEntries(entries);
}

function literals(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' | ');
}

/** `1e-5`, `.5` and `-1` are numbers; `3x`, `NaN`, `Infinity`, `0x10`, `1_000` and the empty text are not. */
function numberFromText(written: string): unknown {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(written) ? Number(written) : written;
}

function booleanFromText(written: string): unknown {
  if (/^true$/i.test(written)) return true;
  if (/^false$/i.test(written)) return false;
  return written;
}
