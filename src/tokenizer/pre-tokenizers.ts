// The pre-tokenizer of a tokenizer.json, exactly as the Rust package `tokenizers` does it: a normalized text to the
// pieces that the model tokenizes each alone.
import { z } from 'zod';
import { GPT2_PATTERN, patternOf, patternSchema } from './patterns.js';
import {
  CHARACTER_CLASSES,
  LETTER,
  NUMBER,
  PUNCTUATION,
  SPACE,
  WORD_OR_SYMBOLS,
  byteCharacters,
  hasFlag,
} from './unicode.js';

/** In a row; every one goes over the whole text. */
const MAX_STEPS = 32;

const behaviorSchema = z.enum(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
const oneCharacter = z.string().regex(/^.$/su, 'expected one character');
const metaspace = z
  .looseObject({
    type: z.literal('Metaspace'),
    replacement: oneCharacter,
    prepend_scheme: z.enum(['always', 'first', 'never']).default('always'),
    split: z.boolean().default(true),
    /** Of older files; Rust refuses one that contradicts `prepend_scheme`. */
    add_prefix_space: z.boolean().optional(),
  })
  .refine(
    (json) => json.add_prefix_space !== false || json.prepend_scheme === 'never',
    'add_prefix_space does not match prepend_scheme',
  );
export const preTokenizerStepSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('BertPreTokenizer') }),
  z.looseObject({ type: z.enum(['Whitespace', 'WhitespaceSplit']) }),
  metaspace,
  z.looseObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean(),
    use_regex: z.boolean().default(true),
  }),
  z.looseObject({ type: z.literal('Punctuation'), behavior: behaviorSchema.default('Isolated') }),
  z.looseObject({ type: z.literal('Digits'), individual_digits: z.boolean() }),
  z.looseObject({ type: z.literal('CharDelimiterSplit'), delimiter: oneCharacter }),
  z.looseObject({ type: z.literal('FixedLength'), length: z.int().positive().default(5) }),
  z.looseObject({
    type: z.literal('Split'),
    pattern: patternSchema,
    behavior: behaviorSchema,
    invert: z.boolean(),
  }),
]);

export const preTokenizerSchema = z.discriminatedUnion('type', [
  ...preTokenizerStepSchema.options,
  z.looseObject({
    type: z.literal('Sequence'),
    pretokenizers: z
      .array(preTokenizerStepSchema)
      .max(MAX_STEPS)
      // Each time it would write a byte as up to two.
      .refine(
        (steps) => steps.filter(({ type }) => type === 'ByteLevel').length < 2,
        'ByteLevel stands twice',
      ),
  }),
]);

export type PreTokenizerJson = z.infer<typeof preTokenizerSchema>;

/** @param isFirst whether the text stands at the beginning of what a person gave */
export type PreTokenizer = (text: string, isFirst: boolean) => string[];

/** How a text can be cut into chunks whose pieces do not depend on each other; see text-ids.ts. */
export type Chunking = 'words' | 'byte-level' | null;

type Behavior = z.infer<typeof behaviorSchema>;
/** Start and end of each match or piece, one after another: a long text has millions. */
export type Spans = readonly number[];

export function createPreTokenizer(json: PreTokenizerJson | null): PreTokenizer {
  if (json === null) return (text) => [text];
  switch (json.type) {
    case 'Sequence': {
      const steps = json.pretokenizers.map(createPreTokenizer);
      return (text, isFirst) =>
        steps.reduce(
          (pieces, step) => {
            let isStart = isFirst && (pieces[0] === undefined || text.startsWith(pieces[0]));
            return pieces.flatMap((piece) => {
              const found = step(piece, isStart);
              isStart = false;
              return found;
            });
          },
          text === '' ? [] : [text],
        );
    }
    case 'BertPreTokenizer':
      return splitWords;
    case 'FixedLength':
      return (text) => stretchesOf(text, json.length);
    case 'Metaspace':
      return (text, isFirst) => splitAtBlanks(text, isFirst, json);
    case 'ByteLevel': {
      const split = json.use_regex ? splitLikeGpt2 : (text: string) => [text];
      return (text) => {
        if (text === '') return [];
        return split(json.add_prefix_space && !text.startsWith(' ') ? ` ${text}` : text).map(byteCharacters);
      };
    }
  }
  if (json.type === 'Split' && isGpt2Split(json)) return splitLikeGpt2;
  const cut = createCutter(json);
  return (text) => slices(text, cut(text));
}

/** What only cuts a text, and may remove what it cuts at. */
type CuttingJson = Extract<
  PreTokenizerJson,
  { type: 'WhitespaceSplit' | 'Whitespace' | 'Punctuation' | 'Digits' | 'CharDelimiterSplit' | 'Split' }
>;

/** Start and end of each piece. */
export function createCutter(json: CuttingJson): (text: string) => Spans {
  switch (json.type) {
    case 'WhitespaceSplit':
      return (text) => cutAt(text, spansOf(text, SPACE, true), 'Removed');
    case 'Whitespace':
      return (text) => matchesOf(text, WORD_OR_SYMBOLS);
    case 'Punctuation':
      return (text) => cutAt(text, spansOf(text, PUNCTUATION, false), json.behavior);
    case 'Digits':
      return (text) =>
        cutAt(text, spansOf(text, NUMBER, false), json.individual_digits ? 'Isolated' : 'Contiguous');
    case 'CharDelimiterSplit':
      return (text) => cutAt(text, occurrences(text, json.delimiter), 'Removed');
  }
  const { pattern, behavior, invert } = json;
  const find =
    'Regex' in pattern
      ? (text: string) => matchesOf(text, patternOf(pattern.Regex))
      : (text: string) => occurrences(text, pattern.String);
  return (text) => cutAt(text, find(text), behavior, invert);
}

/** GPT-2's pattern as it is used, which is done by hand. */
export function isGpt2Split({
  pattern,
  behavior,
  invert,
}: Extract<PreTokenizerJson, { type: 'Split' }>): boolean {
  return 'Regex' in pattern && pattern.Regex === GPT2_PATTERN && behavior === 'Isolated' && !invert;
}

function slices(text: string, spans: Spans): string[] {
  const pieces: string[] = [];
  for (let index = 0; index < spans.length; index += 2)
    pieces.push(text.slice(spans[index], spans[index + 1]));
  return pieces;
}

/** Pieces one by one, from either end of the text: of a long one only the first or the last may be wanted. */
export type PieceStream = (text: string, side: 'first' | 'last') => Iterable<string>;

/** null for a pre-tokenizer that is not worth it or needs the whole text. */
export function createPieceStream(json: PreTokenizerJson | null): PieceStream | null {
  if (json?.type === 'BertPreTokenizer')
    return (text, side) => (side === 'first' ? firstWords(text) : lastWords(text));
  if (json?.type !== 'ByteLevel' || json.add_prefix_space || !json.use_regex) return null;
  return (text, side) =>
    byteLevelPieces(side === 'first' ? gpt2Pieces(text) : splitLikeGpt2(text).toReversed());
}

/** What {@link Chunking} the pre-tokenizer allows, if the normalizer allows any. */
export function chunkingOf(json: PreTokenizerJson | null): Chunking {
  if (json === null) return null;
  if (json.type === 'ByteLevel') return json.use_regex ? 'byte-level' : null;
  const [first] = stepsOf(json);
  const splitsWords = ['BertPreTokenizer', 'WhitespaceSplit', 'Whitespace'].includes(first?.type ?? '');
  return splitsWords && !readsPlace(json) ? 'words' : null;
}

/** Whether the beginning of a text gives other pieces than the same elsewhere. */
export function readsPlace(json: PreTokenizerJson | null): boolean {
  return stepsOf(json).some((step) => step.type === 'Metaspace' && step.prepend_scheme === 'first');
}

function stepsOf(json: PreTokenizerJson | null): PreTokenizerJson[] {
  return json === null ? [] : json.type === 'Sequence' ? json.pretokenizers : [json];
}

/** BERT's words: white space separates, punctuation stands alone. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length;) {
    const code = text.codePointAt(index) ?? 0;
    const next = index + (code > 0xffff ? 2 : 1);
    const flags = CHARACTER_CLASSES[code] ?? 0;
    if ((flags & (SPACE | PUNCTUATION)) !== 0) {
      if (index > start) words.push(text.slice(start, index));
      if ((flags & PUNCTUATION) !== 0) words.push(text.slice(index, next));
      start = next;
    }
    index = next;
  }
  if (start < text.length) words.push(text.slice(start));
  return words;
}

/** The words of a stretch of about this length are found at once. */
const STRETCH = 512;

function* firstWords(text: string): Iterable<string> {
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + STRETCH, text.length);
    while (end < text.length && !hasFlag(text, end, SPACE | PUNCTUATION)) end++;
    yield* splitWords(text.slice(start, end));
    start = end;
  }
}

function* lastWords(text: string): Iterable<string> {
  for (let end = text.length; end > 0;) {
    let start = Math.max(end - STRETCH, 0);
    while (start > 0 && !hasFlag(text, start, SPACE | PUNCTUATION)) start--;
    yield* splitWords(text.slice(start, end)).toReversed();
    end = start;
  }
}

function splitAtBlanks(
  text: string,
  isFirst: boolean,
  json: Extract<PreTokenizerJson, { type: 'Metaspace' }>,
): string[] {
  if (text === '') return [];
  const { replacement, prepend_scheme: scheme } = json;
  let marked = text.replaceAll(' ', () => replacement);
  const prepends = scheme === 'always' || (scheme === 'first' && isFirst);
  if (prepends && !marked.startsWith(replacement)) marked = replacement + marked;
  return json.split ? slices(marked, cutAtMarks(marked, replacement)) : [marked];
}

/** Pieces that each begin with the mark, but for what comes before the first. */
export function cutAtMarks(text: string, mark: string): Spans {
  return cutAt(text, occurrences(text, mark), 'MergedWithNext');
}

/** Stretches of so many characters; the last may be shorter. */
function stretchesOf(text: string, length: number): string[] {
  const pieces: string[] = [];
  let start = 0;
  let count = 0;
  for (let index = 0; index < text.length;) {
    index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
    if (++count % length !== 0 && index < text.length) continue;
    pieces.push(text.slice(start, index));
    start = index;
  }
  return pieces;
}

const CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/** {@link GPT2_PATTERN} by hand: its alternatives in their order, at each place the first that matches. */
export function splitLikeGpt2(text: string): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const end = gpt2PieceEnd(text, start);
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

function* gpt2Pieces(text: string): Iterable<string> {
  for (let start = 0; start < text.length;) {
    const end = gpt2PieceEnd(text, start);
    yield text.slice(start, end);
    start = end;
  }
}

function* byteLevelPieces(pieces: Iterable<string>): Iterable<string> {
  for (const piece of pieces) yield byteCharacters(piece);
}

function gpt2PieceEnd(text: string, start: number): number {
  if (text[start] === "'") {
    const contraction = CONTRACTIONS.find((one) => text.startsWith(one, start));
    if (contraction !== undefined) return start + contraction.length;
  }
  const first = text[start] === ' ' ? start + 1 : start;
  if (first < text.length && !hasFlag(text, first, SPACE)) {
    const kind = (CHARACTER_CLASSES[text.codePointAt(first) ?? 0] ?? 0) & (LETTER | NUMBER);
    return runEnd(text, first, (flags) => (flags & SPACE) === 0 && (flags & (LETTER | NUMBER)) === kind);
  }
  // White space, but for its last character where something follows.
  const end = runEnd(text, start, (flags) => (flags & SPACE) !== 0);
  return end < text.length && end - start > 1 ? end - 1 : end;
}

function runEnd(text: string, start: number, belongs: (flags: number) => boolean): number {
  let index = start;
  while (index < text.length) {
    const code = text.codePointAt(index) ?? 0;
    if (!belongs(CHARACTER_CLASSES[code] ?? 0)) break;
    index += code > 0xffff ? 2 : 1;
  }
  return index;
}

/**
 * The pieces between matches and, unless they are removed, the matches themselves or joined to a neighbour.
 *
 * @param invert takes what lies between for the matches
 */
function cutAt(text: string, matches: Spans, behavior: Behavior, invert = false): Spans {
  const pieces: number[] = [];
  // The piece that may still grow, and whether it counts as a match.
  let start = 0;
  let end = 0;
  let isOpenMatch = false;
  const flush = (): void => {
    if (end > start) pieces.push(start, end);
  };
  const add = (from: number, to: number, isMatch: boolean): void => {
    if (to === from || (behavior === 'Removed' && isMatch)) return;
    const joins =
      end === from &&
      end > start &&
      ((behavior === 'MergedWithPrevious' && isMatch && !isOpenMatch) ||
        (behavior === 'MergedWithNext' && !isMatch && isOpenMatch) ||
        (behavior === 'Contiguous' && isMatch === isOpenMatch));
    if (!joins) {
      flush();
      start = from;
    }
    end = to;
    isOpenMatch = isMatch;
  };
  let at = 0;
  for (let index = 0; index < matches.length; index += 2) {
    const from = matches[index] ?? 0;
    const to = matches[index + 1] ?? 0;
    add(at, from, invert);
    add(from, to, !invert);
    at = to;
  }
  add(at, text.length, invert);
  flush();
  return pieces;
}

/** Characters of a class, each alone or in runs. */
function spansOf(text: string, flag: number, inRuns: boolean): Spans {
  const spans: number[] = [];
  for (let index = 0; index < text.length;) {
    const code = text.codePointAt(index) ?? 0;
    const next = index + (code > 0xffff ? 2 : 1);
    if (((CHARACTER_CLASSES[code] ?? 0) & flag) !== 0) {
      if (inRuns && spans.at(-1) === index) spans[spans.length - 1] = next;
      else spans.push(index, next);
    }
    index = next;
  }
  return spans;
}

export function occurrences(text: string, part: string): Spans {
  const spans: number[] = [];
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length))
    spans.push(at, at + part.length);
  return spans;
}

function matchesOf(text: string, pattern: RegExp): Spans {
  const spans: number[] = [];
  for (const match of text.matchAll(pattern)) spans.push(match.index, match.index + match[0].length);
  return spans;
}
