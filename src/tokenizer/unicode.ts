// Unicode as the Rust crates behind Hugging Face's `tokenizers` know it. Their tables are older than Node's and differ
// from crate to crate, so they were read off the package itself: unicode-tables.ts.
import { UNICODE_TABLES } from './unicode-tables.js';

/** Control, format, private use, NUL and U+FFFD: dropped by BERT's `clean_text`. Tab, LF and CR are spaces instead. */
export const REMOVED = 1;
/** White space: with U+0085 and without U+FEFF, unlike JavaScript's `\s`. */
export const SPACE = 2;
/** CJK ideographs, which BERT makes words of their own; also beyond the basic plane. */
export const CHINESE = 4;
/** Nonspacing marks: what BERT's `strip_accents` strips. */
export const MARK = 8;
/** Punctuation, and every ASCII symbol. */
export const PUNCTUATION = 16;
/** `\p{L}` and `\p{N}` of the byte-level pattern. */
export const LETTER = 32;
export const NUMBER = 64;
/** Marks of every kind: what the normalizer StripAccents strips. */
export const COMBINING = 128;

/** Flags by code point. */
export const CHARACTER_CLASSES: Uint8Array = (() => {
  const classes = new Uint8Array(0x110000);
  const flags = [
    ['REMOVED', REMOVED],
    ['SPACE', SPACE],
    ['CHINESE', CHINESE],
    ['MARK', MARK],
    ['PUNCTUATION', PUNCTUATION],
    ['LETTER', LETTER],
    ['NUMBER', NUMBER],
    ['COMBINING', COMBINING],
  ] as const;
  for (const [name, flag] of flags) {
    for (const [first, last] of ranges(UNICODE_TABLES[name])) {
      for (let code = first; code <= last; code++) classes[code] = (classes[code] ?? 0) | flag;
    }
  }
  return classes;
})();

/** Characters newer than the crates' tables, which their Unicode normalization leaves alone. */
const NEWER = new RegExp(`([${members(UNICODE_TABLES.NEWER)}])`, 'u');

/** `\w` of Rust: what a word is made of. */
const WORD = `[${members(UNICODE_TABLES.WORD)}]`;
export const ENDS_WITH_WORD = new RegExp(`${WORD}$`, 'u');
export const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u');
/** What the pre-tokenizer Whitespace looks for. */
export const WORD_OR_SYMBOLS = new RegExp(`${WORD}+|(?:(?!${WORD})\\P{White_Space})+`, 'gu');

export function hasFlag(text: string, index: number, flag: number): boolean {
  return ((CHARACTER_CLASSES[text.codePointAt(index) ?? 0] ?? 0) & flag) !== 0;
}

/** Unicode normalization with the crates' tables. */
export function normalizeUnicode(text: string, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): string {
  if (!NEWER.test(text)) return text.normalize(form);
  // With a group in its pattern, split keeps what it splits at, at the odd places.
  const parts = text.split(NEWER).map((part, index) => (index % 2 === 0 ? part.normalize(form) : part));
  return parts.join('');
}

/** Without JavaScript's rule for a sigma at the end of a word: Rust lowers one character at a time. */
export function lowerCase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

/** The text without the characters of a class. */
export function without(text: string, flag: number): string {
  let result = '';
  for (const character of text) if (!hasFlag(character, 0, flag)) result += character;
  return result;
}

/** Cuts white space off either end. */
export function trim(text: string, { left, right }: { left: boolean; right: boolean }): string {
  let start = 0;
  let end = text.length;
  // All white space lies in the basic plane: one UTF-16 unit each.
  if (left) while (start < end && hasFlag(text, start, SPACE)) start++;
  if (right) while (end > start && hasFlag(text, end - 1, SPACE)) end--;
  return text.slice(start, end);
}

/** By byte, the printable character that stands for it in a byte-level vocabulary. */
const BYTE_CHARACTERS = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : 256 + others++),
  );
})();

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
}

/** The bytes of a text as the characters that stand for them. */
export function byteCharacters(text: string): string {
  let result = '';
  for (const byte of Buffer.from(text)) result += BYTE_CHARACTERS[byte];
  return result;
}

function ranges(table: string): [first: number, last: number][] {
  let code = 0;
  return table.split(' ').map((range) => {
    const [gap = '', extra = '0'] = range.split('+');
    const first = code + Number.parseInt(gap, 36);
    code = first + Number.parseInt(extra, 36);
    return [first, code];
  });
}

/** A table as the members of a character class in a regular expression. */
function members(table: string): string {
  return ranges(table)
    .map(([first, last]) => `\\u{${first.toString(16)}}-\\u{${last.toString(16)}}`)
    .join('');
}
