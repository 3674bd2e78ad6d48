// Labels of tokens to entities in a text: the strategies of Hugging Face's TokenClassificationPipeline (transformers 5.18).
import { indexOfLargest, softmax } from './probabilities.js';

export const aggregationStrategies = ['none', 'simple', 'first', 'average', 'max'] as const;
/**
 * `none`: each token. `simple`: neighbours of one type, a B- begins anew. The others first give the tokens of a word one
 * label: that of the first token, of the mean of the probabilities, or of the token that is most certain.
 *
 * @example
 * ```ts
 * import { AutoModelForTokenClassification, AutoTokenizer, extractEntities, type AggregationStrategy } from 'bertune';
 *
 * const aggregationStrategy: AggregationStrategy = 'average';
 * const model = await AutoModelForTokenClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * console.log(await extractEntities(model, tokenizer, ['Ada lived in London.'], { aggregationStrategy }));
 * ```
 */
export type AggregationStrategy = (typeof aggregationStrategies)[number];

/** A token of the text, without special tokens. */
export interface PlacedToken {
  /** `text.slice(start, end)` */
  readonly start: number;
  readonly end: number;
  /** Whether it continues the word of the token before it. */
  readonly isSubword: boolean;
}

/**
 * A part of the text that a model marked.
 *
 * @example
 * ```ts
 * import type { TextEntity } from 'bertune';
 *
 * const length = ({ start, end }: TextEntity): number => end - start;
 * ```
 */
export interface TextEntity {
  /** With `none` the label of the token, else without prefix. */
  readonly label: string;
  /** Mean of the probabilities of its tokens or words. */
  readonly score: number;
  /** `text.slice(start, end)` */
  readonly start: number;
  readonly end: number;
}

/**
 * Whether a token continues a word, by Hugging Face's rules: in WordPiece it has the prefix; else there is no blank at or
 * before its beginning, so that `world!` is one word.
 *
 * @param token as it stands in the vocabulary
 * @param prefix `continuing_subword_prefix` of the model, empty where it has none
 */
export function isSubword(text: string, token: string, start: number, prefix: string): boolean {
  if (prefix !== '') return token.startsWith(prefix);
  return start > 0 && !text.slice(start - 1, start + 1).includes(' ');
}

/**
 * The entities of a text in their order; what is labelled O is left out.
 *
 * @param logits [tokens * labels.length]
 * @throws RangeError where there are not as many
 */
export function aggregate(
  tokens: readonly PlacedToken[],
  logits: ArrayLike<number>,
  labels: readonly string[],
  strategy: AggregationStrategy,
): TextEntity[] {
  const width = labels.length;
  if (logits.length !== tokens.length * width)
    throw new RangeError(`${logits.length} logits for ${tokens.length} tokens and ${width} labels`);
  const scored = tokens.map((token, index) => {
    const row = Array.from({ length: width }, (_, id) => logits[index * width + id] ?? 0);
    return { ...token, probabilities: softmax(row) };
  });
  const words =
    strategy === 'none' || strategy === 'simple' ? scored.map((token) => [token]) : wordsOf(scored);
  const marked = words.map((word) => labelled(word, labels, strategy));
  const entities = strategy === 'none' ? marked : groupsOf(marked, readerOf(labels));
  return entities.filter(({ label }) => label !== 'O');
}

interface ScoredToken extends PlacedToken {
  readonly probabilities: ArrayLike<number>;
}

function wordsOf(tokens: readonly ScoredToken[]): ScoredToken[][] {
  const words: ScoredToken[][] = [];
  for (const token of tokens) {
    const word = words.at(-1);
    if (token.isSubword && word !== undefined) word.push(token);
    else words.push([token]);
  }
  return words;
}

function labelled(
  word: readonly ScoredToken[],
  labels: readonly string[],
  strategy: AggregationStrategy,
): TextEntity {
  const probabilities = ofWord(word, strategy);
  const best = indexOfLargest(probabilities);
  return {
    label: labels[best] ?? '',
    score: probabilities[best] ?? 0,
    start: word[0]?.start ?? 0,
    end: word.at(-1)?.end ?? 0,
  };
}

function ofWord(word: readonly ScoredToken[], strategy: AggregationStrategy): ArrayLike<number> {
  const all = word.map(({ probabilities }) => probabilities);
  const [first = []] = all;
  if (strategy === 'average')
    return Array.from(first, (_, id) => mean(all.map((probabilities) => probabilities[id] ?? 0)));
  if (strategy !== 'max') return first;
  const highest = all.map((probabilities) => probabilities[indexOfLargest(probabilities)] ?? 0);
  return all[indexOfLargest(highest)] ?? first;
}

/** Prefix and type of a label; of one without prefix, that it continues. */
type LabelReader = (label: string) => readonly [prefix: string, type: string];

/** A label counts as prefixed only among labels that all are: `S-Bahn` may be a name. */
function readerOf(labels: readonly string[]): LabelReader {
  const own = labels.filter((label) => label !== 'O');
  const hasPrefixes = own.every((label) => /^[BIESLU]-./.test(label));
  return (label) => {
    const isIob = /^[BI]-/.test(label);
    return isIob || (hasPrefixes && label !== 'O') ? [label.slice(0, 1), label.slice(2)] : ['I', label];
  };
}

/** Neighbours of one type; S- and U- stand alone, E- and L- end, as B- begins. */
function groupsOf(marked: readonly TextEntity[], read: LabelReader): TextEntity[] {
  const groups: TextEntity[][] = [];
  for (const one of marked) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    const [prefix, type] = read(one.label);
    const [prefixBefore, typeBefore] = last === undefined ? ['', ''] : read(last.label);
    const continues = type === typeBefore && !'BSU'.includes(prefix) && !'ESLU'.includes(prefixBefore || 'S');
    if (continues && group !== undefined) group.push(one);
    else groups.push([one]);
  }
  return groups.map((group) => ({
    label: read(group[0]?.label ?? '')[1],
    score: mean(group.map(({ score }) => score)),
    start: group[0]?.start ?? 0,
    end: group.at(-1)?.end ?? 0,
  }));
}

/** Without the white space at its ends, which some tokenizers count to a token. */
export function trimmed(text: string, entity: TextEntity): TextEntity {
  const own = text.slice(entity.start, entity.end);
  const start = entity.start + own.length - own.trimStart().length;
  return { ...entity, start, end: Math.max(start, entity.end - (own.length - own.trimEnd().length)) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
