// Text from outside in our own messages: one line, nothing that a terminal would obey, no more than can be read.

/** Control characters, line ends of Unicode, marks that turn the direction of writing, and halves of characters. */
export const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu');

/** The text with `?` in place of what must not be printed, cut to `length` characters. */
export function printable(text: string, length = 200): string {
  const cut = text.length > length ? `${text.slice(0, length - 3)}...` : text;
  return cut.replaceAll(EVERY_UNPRINTABLE, '?');
}
