// The pre-tokenizer of a tokenizer.json on a text that keeps its places in the original. The pieces are those of
// pre-tokenizers.ts.
import type { AlignedText } from './aligned-text.js';
import { byCharacter } from './aligned-normalizers.js';
import {
  createCutter,
  createPreTokenizer,
  cutAtMarks,
  isGpt2Split,
  occurrences,
  splitLikeGpt2,
  type PreTokenizerJson,
  type Spans,
} from './pre-tokenizers.js';
import { byteCharacters } from './unicode.js';

/** @param isFirst whether the text stands at the beginning of what a person gave */
type AlignedPreTokenizer = (text: AlignedText, isFirst: boolean) => AlignedText[];

const bytes = byCharacter(byteCharacters);

export function createAlignedPreTokenizer(json: PreTokenizerJson | null): AlignedPreTokenizer {
  if (json === null) return (text) => [text];
  switch (json.type) {
    case 'Sequence': {
      const steps = json.pretokenizers.map(createAlignedPreTokenizer);
      return (text, isFirst) =>
        steps.reduce(
          (pieces, step) => {
            let isStart = isFirst && (pieces[0] === undefined || text.text.startsWith(pieces[0].text));
            return pieces.flatMap((piece) => {
              const found = step(piece, isStart);
              isStart = false;
              return found;
            });
          },
          text.text === '' ? [] : [text],
        );
    }
    // Of these two, what is removed never begins like a piece.
    case 'BertPreTokenizer':
    case 'FixedLength': {
      const split = createPreTokenizer(json);
      return (text) => slices(text, locate(text.text, split(text.text, false)));
    }
    case 'Metaspace': {
      const { replacement, prepend_scheme: scheme, split } = json;
      return (text, isFirst) => {
        if (text.text === '') return [];
        const blanks = pairsOf(occurrences(text.text, ' '));
        let marked = text.edited(blanks.map(([start, end]) => [start, end, replacement]));
        const prepends = scheme === 'always' || (scheme === 'first' && isFirst);
        if (prepends && !marked.text.startsWith(replacement)) marked = marked.edited([[0, 0, replacement]]);
        return split ? slices(marked, cutAtMarks(marked.text, replacement)) : [marked];
      };
    }
    case 'ByteLevel':
      return (text) => {
        if (text.text === '') return [];
        const prefixed =
          json.add_prefix_space && !text.text.startsWith(' ') ? text.edited([[0, 0, ' ']]) : text;
        const pieces = json.use_regex ? splitGpt2(prefixed) : [prefixed];
        return pieces.map((piece) => piece.edited(bytes(piece.text)));
      };
  }
  if (json.type === 'Split' && isGpt2Split(json)) return splitGpt2;
  const cut = createCutter(json);
  return (text) => slices(text, cut(text.text));
}

function splitGpt2(text: AlignedText): AlignedText[] {
  return slices(text, locate(text.text, splitLikeGpt2(text.text)));
}

function slices(text: AlignedText, spans: Spans): AlignedText[] {
  return pairsOf(spans).map(([start, end]) => text.slice(start, end));
}

function pairsOf(spans: Spans): [start: number, end: number][] {
  return Array.from({ length: spans.length / 2 }, (_, index) => [
    spans[2 * index] ?? 0,
    spans[2 * index + 1] ?? 0,
  ]);
}

function locate(text: string, pieces: readonly string[]): number[] {
  let at = 0;
  return pieces.flatMap((piece) => {
    const start = text.indexOf(piece, at);
    at = start + piece.length;
    return [start, at];
  });
}
