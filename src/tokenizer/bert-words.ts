// BERT's basic tokenization, exactly as the Rust package `tokenizers` does it (BertNormalizer, BertPreTokenizer).
// The JavaScript library differs for CJK beyond the basic plane, the Greek final sigma and newer Unicode versions.
import { CHARACTER_CLASSES, CHINESE, MARK, PUNCTUATION, REMOVED, SPACE } from './character-classes.js';

/** The `BertNormalizer` part of a tokenizer.json. */
export interface BertNormalizerConfig {
  type: 'BertNormalizer';
  clean_text: boolean;
  handle_chinese_chars: boolean;
  /** null follows `lowercase`, as in the original BERT. */
  strip_accents: boolean | null;
  lowercase: boolean;
}

const PRINTABLE_ASCII = /^[\x20-\x7E]*$/;
// Characters with a decomposition that are newer than the Unicode version of the Rust crate, which leaves them alone.
const NOT_DECOMPOSED =
  /([\u{113C5}\u{113C7}\u{113C8}\u{11938}\u{16121}-\u{16128}\u{105C9}\u{105E4}\u{11383}\u{11385}\u{1138E}\u{11391}\u{16D68}-\u{16D6A}])/u;

/** Returns the function that cleans a text: control characters, CJK spacing, accents, case, in that order. */
export function createNormalizer(config: BertNormalizerConfig): (text: string) => string {
  const { clean_text: clean, handle_chinese_chars: chinese, lowercase } = config;
  const stripAccents = config.strip_accents ?? lowercase;
  return (text) => {
    if (PRINTABLE_ASCII.test(text)) return lowercase ? text.toLowerCase() : text;
    let result = clean || chinese ? cleanText(text, clean, chinese) : text;
    if (stripAccents) result = stripMarks(result);
    // Without its context rule for the final sigma: Rust lowers one character at a time.
    return lowercase ? result.replaceAll('Σ', 'σ').toLowerCase() : result;
  };
}

/** Splits a normalized text into words: white space separates, punctuation stands alone. */
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

function cleanText(text: string, clean: boolean, chinese: boolean): string {
  let result = '';
  for (const character of text) {
    const flags = CHARACTER_CLASSES[character.codePointAt(0) ?? 0] ?? 0;
    if (clean && (flags & REMOVED) !== 0) continue;
    if (clean && (flags & SPACE) !== 0) result += ' ';
    else result += chinese && (flags & CHINESE) !== 0 ? ` ${character} ` : character;
  }
  return result;
}

function stripMarks(text: string): string {
  const decomposed = text
    .split(NOT_DECOMPOSED)
    .map((part, index) => (index % 2 === 0 ? part.normalize('NFD') : part))
    .join('');
  let result = '';
  for (const character of decomposed) {
    if (((CHARACTER_CLASSES[character.codePointAt(0) ?? 0] ?? 0) & MARK) === 0) result += character;
  }
  return result;
}
