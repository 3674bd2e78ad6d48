// What BERT's text cleaning knows about a code point: one byte of flags per code point, filled once from the tables.
import { UNICODE_TABLES } from './unicode-tables.js';

/** Control, format, private use, NUL and U+FFFD: dropped by `clean_text`. Tab, LF and CR are spaces instead. */
export const REMOVED = 1;
/** Unicode white space: ends a word. */
export const SPACE = 2;
/** CJK ideographs, which BERT makes words of their own; also beyond the basic plane. */
export const CHINESE = 4;
/** Nonspacing marks: what `strip_accents` strips. */
export const MARK = 8;
/** Punctuation, and every ASCII symbol: a word of its own. */
export const PUNCTUATION = 16;

/** Flags by code point. */
export const CHARACTER_CLASSES: Uint8Array = (() => {
  const classes = new Uint8Array(0x110000);
  fill(classes, UNICODE_TABLES.REMOVED, REMOVED);
  fill(classes, UNICODE_TABLES.SPACE, SPACE);
  fill(classes, UNICODE_TABLES.CHINESE, CHINESE);
  fill(classes, UNICODE_TABLES.MARK, MARK);
  fill(classes, UNICODE_TABLES.PUNCTUATION, PUNCTUATION);
  return classes;
})();

function fill(classes: Uint8Array, table: string, flag: number): void {
  let code = 0;
  for (const range of table.split(' ')) {
    const [gap = '', extra = '0'] = range.split('+');
    code += Number.parseInt(gap, 36);
    const last = code + Number.parseInt(extra, 36);
    for (; code < last; code++) classes[code] = (classes[code] ?? 0) | flag;
    classes[code] = (classes[code] ?? 0) | flag;
  }
}
