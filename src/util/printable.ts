// Text out of other people's files, before a terminal or a log sees it.

/** Control characters but tab and line feed, and those that turn the direction of writing. */
const UNPRINTABLE = /[^\P{Cc}\t\n]|[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu;

/** The text with control characters as escapes (`\u001b`): a terminal would obey them. */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
