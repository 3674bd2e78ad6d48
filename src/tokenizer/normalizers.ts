// The normalizer of a tokenizer.json, exactly as the Rust package `tokenizers` does it: text in, text out, before
// anything is split. The JavaScript library differs in its Unicode tables, in case folding and in the charsmap.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import { createCharsmap } from './charsmap.js';
import { MAX_CONTENT_LENGTH, patternOf, patternSchema } from './patterns.js';
import {
  CHARACTER_CLASSES,
  CHINESE,
  COMBINING,
  MARK,
  REMOVED,
  SPACE,
  byteCharacters,
  lowerCase,
  normalizeUnicode,
  trim,
  without,
} from './unicode.js';

/** In a row; every one goes over the whole text. */
const MAX_STEPS = 32;
const contentSchema = z.string().max(MAX_CONTENT_LENGTH);

const bertNormalizer = z.looseObject({
  type: z.literal('BertNormalizer'),
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullable().default(null),
  lowercase: z.boolean().default(true),
});
export const normalizerStepSchema = z.discriminatedUnion('type', [
  bertNormalizer,
  z.looseObject({ type: z.literal('Precompiled'), precompiled_charsmap: z.string() }),
  z.looseObject({ type: z.literal('Replace'), pattern: patternSchema, content: contentSchema }),
  z.looseObject({ type: z.literal('Strip'), strip_left: z.boolean(), strip_right: z.boolean() }),
  z.looseObject({ type: z.literal('Prepend'), prepend: contentSchema }),
  z.looseObject({ type: z.enum(['NFC', 'NFD', 'NFKC', 'NFKD']) }),
  z.looseObject({ type: z.literal('Lowercase') }),
  z.looseObject({ type: z.enum(['StripAccents', 'Nmt', 'ByteLevel']) }),
]);

// A sequence within a sequence, which Rust takes too, is not made by anything.
export const normalizerSchema = z.discriminatedUnion('type', [
  ...normalizerStepSchema.options,
  z.looseObject({ type: z.literal('Sequence'), normalizers: z.array(normalizerStepSchema).max(MAX_STEPS) }),
]);
type BertNormalizerJson = z.infer<typeof bertNormalizer>;
export type NormalizerJson = z.infer<typeof normalizerSchema>;

/** Throws once its result would be longer than `limit`: a text may not grow without bound. */
type Step = (text: string, limit: number) => string;

const PRINTABLE_ASCII = /^[\x20-\x7E]*$/;
/** How much longer a text may become; the longest compatibility decomposition, of U+FDFA, has 18 characters. */
const MAX_GROWTH = 32;
const SPARE_LENGTH = 1000;

/** @throws UsageError for a charsmap that cannot be read */
export function createNormalizer(json: NormalizerJson | null): (text: string) => string {
  if (json === null) return (text) => text;
  const step = createStep(json);
  return (text) => step(text, text.length * MAX_GROWTH + SPARE_LENGTH);
}

/** The four characters that end a chunk of text; see text-ids.ts. */
const SEPARATORS = [' ', '\t', '\n', '\r'];

/**
 * Whether the pieces of a text between blanks, tabs and line ends can be normalized each alone. The white space
 * between them may become other white space, but must not disappear or merge with what follows.
 */
export function keepsChunksApart(json: NormalizerJson | null): boolean {
  switch (json?.type) {
    case 'Sequence':
      return json.normalizers.every(keepsChunksApart);
    case 'Precompiled':
      return createCharsmap(json.precompiled_charsmap).keepsApart(SEPARATORS);
    case 'Prepend':
    case 'ByteLevel':
      return false;
    case 'Replace':
      // The known patterns replace runs of white space alone.
      return 'Regex' in json.pattern
        ? json.content === ' '
        : !SEPARATORS.some(
            (separator) => 'String' in json.pattern && json.pattern.String.includes(separator),
          );
    default:
      return true;
  }
}

function createStep(json: NormalizerJson): Step {
  switch (json.type) {
    case 'BertNormalizer':
      return createBertNormalizer(json);
    case 'Sequence': {
      const steps = json.normalizers.map(createStep);
      return (text, limit) => steps.reduce((result, step) => step(result, limit), text);
    }
    case 'Precompiled': {
      const charsmap = createCharsmap(json.precompiled_charsmap);
      return (text, limit) => charsmap.normalize(text, (length) => requireLength(length, limit));
    }
    case 'Replace':
      return createReplace(json);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => normalizeUnicode(text, json.type);
    case 'Lowercase':
      return lowerCase;
    case 'StripAccents':
      return (text) => without(text, COMBINING);
    case 'Nmt':
      return (text) => text.replaceAll(NMT_REMOVED, '').replaceAll(NMT_SPACES, ' ');
    case 'ByteLevel':
      return byteCharacters;
    case 'Strip':
      return (text) => trim(text, { left: json.strip_left, right: json.strip_right });
  }
  return (text) => (text === '' ? text : json.prepend + text);
}

/** Of the normalizer Nmt; the list is its own. */
// oxlint-disable-next-line eslint/no-control-regex -- it removes them
export const NMT_REMOVED = /[\u0001-\u0008\u000B\u000E-\u001F\u007F\u008F\u009F]/g;
export const NMT_SPACES = /[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/g;

/** Cleans control characters, sets CJK apart, strips accents, folds case, in that order. */
function createBertNormalizer(json: BertNormalizerJson): Step {
  const { clean_text: clean, handle_chinese_chars: chinese, lowercase } = json;
  const stripAccents = json.strip_accents ?? lowercase;
  return (text) => {
    if (PRINTABLE_ASCII.test(text)) return lowercase ? text.toLowerCase() : text;
    let result = clean || chinese ? cleanText(text, clean, chinese) : text;
    if (stripAccents) result = without(normalizeUnicode(result, 'NFD'), MARK);
    return lowercase ? lowerCase(result) : result;
  };
}

function cleanText(text: string, clean: boolean, chinese: boolean): string {
  let result = '';
  for (const character of text) result += cleaned(character, clean, chinese);
  return result;
}

/** What becomes of a character. */
export function cleaned(character: string, clean: boolean, chinese: boolean): string {
  const flags = CHARACTER_CLASSES[character.codePointAt(0) ?? 0] ?? 0;
  if (clean && (flags & REMOVED) !== 0) return '';
  if (clean && (flags & SPACE) !== 0) return ' ';
  return chinese && (flags & CHINESE) !== 0 ? ` ${character} ` : character;
}

function createReplace({ pattern, content }: Extract<NormalizerJson, { type: 'Replace' }>): Step {
  const separator = 'Regex' in pattern ? patternOf(pattern.Regex) : pattern.String;
  return (text, limit) => {
    const parts = text.split(separator);
    requireLength(text.length + (parts.length - 1) * content.length, limit);
    return parts.join(content);
  };
}

function requireLength(length: number, limit: number): void {
  if (length <= limit) return;
  throw new UsageError(
    `This tokenizer.json cannot be used: its normalizer makes a text more than ${MAX_GROWTH} times as long`,
  );
}
