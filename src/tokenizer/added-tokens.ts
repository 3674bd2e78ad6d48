// Finds added tokens (<mask>, a person's own) in a text before it is split into words, as Rust's AddedVocabulary does.
import type { AddedToken } from './tokenizer-json.js';
import { ENDS_WITH_WORD, SPACE, STARTS_WITH_WORD, hasFlag } from './unicode.js';

/** Splits a text into stretches of text and the ids of the added tokens between them, in order. */
export type AddedTokenSplitter = (text: string) => (string | number)[];

type Token = Pick<AddedToken, 'id' | 'content' | 'single_word' | 'lstrip' | 'rstrip'>;

/**
 * The leftmost match wins and the longest among those. A `single_word` token must not touch a letter or digit; one with
 * `lstrip` or `rstrip` takes the white space on that side along.
 */
export function createAddedTokenSplitter(tokens: readonly Token[]): AddedTokenSplitter {
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
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      let start = match.index;
      let end = start + match[0].length;
      if (token === undefined || (token.single_word && touchesWord(text, start, end))) continue;
      if (token.lstrip) while (start > done && hasFlag(text, start - 1, SPACE)) start--;
      if (token.rstrip) while (end < text.length && hasFlag(text, end, SPACE)) end++;
      if (start > done) sections.push(text.slice(done, start));
      sections.push(token.id);
      done = end;
    }
    if (done < text.length) sections.push(text.slice(done));
    return sections;
  };
}

/** Two UTF-16 units hold any character; the pattern would search all of a longer text. */
function touchesWord(text: string, start: number, end: number): boolean {
  return (
    ENDS_WITH_WORD.test(text.slice(Math.max(0, start - 2), start)) ||
    STARTS_WITH_WORD.test(text.slice(end, end + 2))
  );
}
