// Labels of words or marked parts to labels of tokens, by their places in the text.
import { entitiesOf, inScheme, OUTSIDE, schemeOf, withPrefixes } from '../tasks/label-schemes.js';
import type { Task } from '../tasks/index.js';
import type { Encoding } from '../tokenizer/index.js';
import { UsageError } from '../util/errors.js';
import type { Example } from './row.js';
import type { CharacterSpan, SpanRow } from './span-rows.js';
import type { WordRow } from './token-rows.js';

/** Of a token that has no label: torch's ignore_index. */
export const NO_LABEL = -100;

/** Which tokens of a word have its label: the `first`, as in Hugging Face's examples, or `all`. */
export type LabelledTokens = 'first' | 'all';

/**
 * [tokens], the label's name or null for a token without one. A token belongs to the word in which its first character that is no blank stands. With `all`, tokens after the first of a
 * word continue the entity: B- becomes I-.
 *
 * @param row with labels in IOB2
 * @param offsets [2 x tokens], start and end of each token in `row.text`
 */
export function alignWords(
  row: WordRow,
  offsets: ArrayLike<number>,
  which: LabelledTokens,
): (string | null)[] {
  const seen = new Set<number>();
  let word = 0;
  return placesOf(row.text, offsets).map(({ start, end }) => {
    while (word < row.words.length - 1 && (row.words[word + 1]?.start ?? Infinity) <= start) word++;
    const place = row.words[word];
    if (start === end || place === undefined || start >= place.end) return null;
    const label = row.labels[word] ?? OUTSIDE;
    if (!seen.has(word)) {
      seen.add(word);
      return label;
    }
    return which === 'first' ? null : label.replace(/^B-/, 'I-');
  });
}

/** As `alignWords`: a token that shares a character with a marked part has its label, B- the first, I- the others. */
export function alignSpans(row: SpanRow, offsets: ArrayLike<number>): (string | null)[] {
  const seen = new Set<number>();
  let at = 0;
  return placesOf(row.text, offsets).map(({ start, end }) => {
    if (start === end) return null;
    while (at < row.spans.length && (row.spans[at]?.end ?? 0) <= start) at++;
    const span = row.spans[at];
    if (span === undefined || span.start >= end) return OUTSIDE;
    if (seen.has(at)) return `I-${span.label}`;
    seen.add(at);
    return `B-${span.label}`;
  });
}

/** The places of a text's entities, `text.slice(start, end)`, in its order. */
export function entitiesIn({ marks }: Example): readonly CharacterSpan[] {
  if (marks === undefined) return [];
  if ('spans' in marks) return marks.spans;
  return entitiesOf(withPrefixes(marks.labels)).map(({ type, start, end }) => ({
    label: type,
    start: marks.words[start]?.start ?? 0,
    end: marks.words[end - 1]?.end ?? 0,
  }));
}

/** How many entities of a text are not in the tokens that it was cut to. @param offsets [2 x tokens] */
export function truncatedEntities(example: Example, offsets: ArrayLike<number>): number {
  let end = 0;
  for (let at = 1; at < offsets.length; at += 2) end = Math.max(end, offsets[at] ?? 0);
  return entitiesIn(example).filter(({ start }) => start >= end).length;
}

/** What stands between white space, with punctuation apart. */
const WORD = /[\p{L}\p{N}\p{M}]+|[^\s\p{L}\p{N}\p{M}]/gu;

/** The labels of the words of a text with marked parts: for counting them, since tokens are not known here. */
export function wordLabels(row: SpanRow): string[] {
  const words = Array.from(row.text.matchAll(WORD), ({ index, 0: word }) => [index, index + word.length]);
  return alignSpans(row, words.flat()).map((label) => label ?? OUTSIDE);
}

/** Places of tokens without the blanks that some tokenizers count to them. */
function placesOf(text: string, offsets: ArrayLike<number>): { start: number; end: number }[] {
  return Array.from({ length: offsets.length / 2 }, (_, index) => {
    const end = offsets[2 * index + 1] ?? 0;
    let start = offsets[2 * index] ?? 0;
    while (start < end && /\s/.test(text.charAt(start))) start++;
    return { start, end };
  });
}

/** The labels of the tokens of texts, text after text: [tokens], ids of the task or -100. */
export type TokenAligner = (examples: readonly Example[], encodings: readonly Encoding[]) => Int32Array;

/**
 * Gives tokens the labels of the words and marked parts that they are in; null for a task of whole texts.
 *
 * @param which of the tokens of a word has its label
 */
export function createTokenAligner(task: Task, which: LabelledTokens): TokenAligner | null {
  if (task.kind.unit !== 'token') return null;
  const ids = new Map(task.labels.map((label, id) => [label, id]));
  const scheme = schemeOf(task.labels);
  // A task may have no I- of a type, whose words then all begin an entity.
  const idOf = (label: string): number => ids.get(label) ?? ids.get(label.replace(/^I-/, 'B-')) ?? NO_LABEL;
  const inOwnScheme = (labels: readonly (string | null)[]): readonly (string | null)[] => {
    if (scheme === null) return labels.map((label) => label?.replace(/^[BI]-/, '') ?? null);
    if (scheme === 'IOB2') return labels;
    const own = inScheme(
      labels.filter((label) => label !== null),
      'IOB2',
      scheme,
    );
    let next = 0;
    return labels.map((label) => (label === null ? null : (own[next++] ?? OUTSIDE)));
  };
  // The tokens of a last word, E- in IOBES, are not all last ones: which are, their places among the tokens say.
  const isByToken = which === 'all' && scheme !== null && scheme !== 'IOB2';
  const namesOf = ({ text, marks }: Example, offsets: Int32Array): readonly (string | null)[] => {
    if (marks === undefined)
      throw new UsageError('The examples have no marks: which words or parts of each text have which label');
    if (!('words' in marks)) return inOwnScheme(alignSpans({ text, ...marks }, offsets));
    if (!isByToken) return alignWords({ text, ...marks }, offsets, which);
    const labels = inScheme(marks.labels, scheme, 'IOB2');
    return inOwnScheme(alignWords({ text, words: marks.words, labels }, offsets, which));
  };
  return (examples, encodings) => {
    const labels = encodings.map(({ offsets = new Int32Array() }, i) =>
      namesOf(examples[i] ?? { text: '' }, offsets).map((name) => (name === null ? NO_LABEL : idOf(name))),
    );
    return Int32Array.from(labels.flat());
  };
}
