// Finds added tokens ([MASK], a person's own) in a text before it is split into words, as Rust's AddedVocabulary does.
import type { AddedToken } from './tokenizer-json.js';

/** Splits a text into stretches of text and the ids of the added tokens between them, in order. */
export type AddedTokenSplitter = (text: string) => (string | number)[];

const ENDS_WITH_WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const STARTS_WITH_WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/**
 * The leftmost match wins and the longest among those; `single_word` tokens must not touch a letter or digit.
 * `lstrip` and `rstrip` need no code: the white space they would swallow is dropped by the word splitter anyway.
 */
export function createAddedTokenSplitter(
  tokens: readonly Pick<AddedToken, 'id' | 'content' | 'single_word'>[],
): AddedTokenSplitter {
  const byContent = new Map(
    tokens.filter(({ content }) => content !== '').map((token) => [token.content, token]),
  );
  if (byContent.size === 0) return (text) => [text];
  const contents = [...byContent.keys()].toSorted((left, right) => right.length - left.length);
  const pattern = new RegExp(
    contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'),
    'gu',
  );

  return (text) => {
    const sections: (string | number)[] = [];
    let start = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      const end = match.index + match[0].length;
      if (token === undefined || (token.single_word && touchesWord(text, match.index, end))) continue;
      if (match.index > start) sections.push(text.slice(start, match.index));
      sections.push(token.id);
      start = end;
    }
    if (start < text.length) sections.push(text.slice(start));
    return sections;
  };
}

/** Two UTF-16 units hold any character; the pattern would search all of a longer text. */
function touchesWord(text: string, start: number, end: number): boolean {
  return (
    ENDS_WITH_WORD.test(text.slice(Math.max(0, start - 2), start)) || STARTS_WITH_WORD.test(text.slice(end))
  );
}
