// The entities of texts: what a model that classifies tokens says of them, with their places in the text as it was given.
import { maxLengthOf } from '../data/batch.js';
import { joinWords } from '../data/token-rows.js';
import type { Example } from '../data/index.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { aggregate, isSubword, trimmed, type PlacedToken } from '../tasks/entity-aggregation.js';
import type { AggregationStrategy, Task, TextEntity } from '../tasks/index.js';
import type { BertTokenizer, Encoding } from '../tokenizer/index.js';
import { expected, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { longTextsOf, textReading } from './long-texts.js';
import {
  predictRows,
  rowsInMemory,
  textSettings,
  type PredictedBatch,
  type PredictRowsOptions,
} from './predict.js';

/**
 * A part of a text that a model found.
 *
 * @example
 * ```ts
 * import type { Entity } from 'bertune';
 *
 * const isCertain = ({ score, text }: Entity): boolean => score > 0.9 && text.length > 1;
 * ```
 */
export interface Entity extends TextEntity {
  /** `text.slice(start, end)` of the text that it is in. */
  readonly text: string;
  /** Of a text that was given as words: the first of them, and the one behind the last. */
  readonly words?: readonly [first: number, end: number];
}

/**
 * A text, or its words where it was split already; between words the text has blanks.
 *
 * @example
 * ```ts
 * import type { EntityText } from 'bertune';
 *
 * const texts: EntityText[] = ['Ada lived in London.', { tokens: ['Ada', 'lived', 'in', 'London', '.'] }];
 * ```
 */
export type EntityText = string | { readonly tokens: readonly string[] };

/** @throws UsageError for a model of whole texts */
export function requireTokens({ task }: EncoderModel): void {
  if (task.kind.unit !== 'token')
    throw new UsageError(
      `The model's task is ${task.describe()}, and not token classification; classify() gives its labels`,
    );
}

/**
 * The entities of texts, in their order: transformers' `pipeline('token-classification')`.
 *
 * @param options.batchSize texts a native call, default 32
 * @param options.maxLength tokens a text, default: as in the training, else all the model takes; longer texts are cut
 * @param options.stride reads longer texts whole instead, as windows of `maxLength` that share so many tokens; of a token in
 *   several windows the one with the most context decides
 * @param options.aggregationStrategy how tokens become entities; default: as in the training, `first` for words with labels and
 *   `simple` for marked parts
 * @throws UsageError for an input that is no text, and for a model of whole texts
 *
 * @example
 * ```ts
 * import { AutoModelForTokenClassification, AutoTokenizer, extractEntities } from 'bertune';
 *
 * const model = await AutoModelForTokenClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const text = 'Ada Lovelace lived in London.';
 * const [entities = []] = await extractEntities(model, tokenizer, [text]);
 * for (const { label, start, end } of entities) console.log(label, text.slice(start, end));
 * await model.close();
 * ```
 */
export async function extractEntities(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  texts: readonly EntityText[],
  options: {
    batchSize?: number;
    maxLength?: number;
    stride?: number | 'none';
    aggregationStrategy?: AggregationStrategy;
  } = {},
): Promise<Entity[][]> {
  if (!Array.isArray(texts)) throw expected('an array of texts', 'texts', texts);
  requireTokens(model);
  const examples = texts.map(exampleOf);
  await model.open();
  const settings = { ...textSettings(model), ...withoutUndefined(options) };
  const asked = options.maxLength ?? settings.maxSeqLength;
  const all = Math.min(model.maxTokens, tokenizer.modelMaxLength);
  const maxLength = asked === undefined ? all : maxLengthOf(model, tokenizer, asked, 'maxLength');
  const longTexts = longTextsOf(tokenizer, { maxLength, stride: settings.stride });
  const { tokenTypes } = model;
  const reading = textReading(tokenizer, { maxLength, workers: 0, longTexts, tokenTypes, withOffsets: true });
  const found: Entity[][] = [];
  const how = { ...reading, batchSize: options.batchSize ?? 32 };
  const read = createEntityReader(model.task, tokenizer, settings.aggregationStrategy);
  const rows = rowsInMemory(examples);
  for await (const { entities } of predictEntities(model, rows, how, read)) found.push(...entities);
  return found;
}

function exampleOf(text: EntityText): Example {
  if (typeof text === 'string') return { text };
  const words = Array.isArray(text.tokens) && text.tokens.every((token) => typeof token === 'string');
  if (!words) throw expected('a text, or { tokens } with its words', 'an element of texts', text);
  const { text: joined, ...marks } = joinWords(
    text.tokens,
    text.tokens.map(() => 'O'),
  );
  return { text: joined, marks };
}

/** The entities of one text by the logits of its tokens, [tokens * numLabels]. */
export type EntityReader = (example: Example, encoding: Encoding, logits: Float32Array) => Entity[];

/** The entities of the rows, batch by batch. */
export async function* predictEntities(
  model: EncoderModel,
  data: Parameters<typeof predictRows>[1],
  options: PredictRowsOptions,
  read: EntityReader,
): AsyncGenerator<Pick<PredictedBatch, 'first' | 'examples'> & { entities: Entity[][] }> {
  const { numLabels } = model.task;
  for await (const { first, examples, encodings, logits, bounds } of predictRows(model, data, options)) {
    const entities = examples.map((example, row) => {
      const own = logits.subarray((bounds[row] ?? 0) * numLabels, (bounds[row + 1] ?? 0) * numLabels);
      return read(example, encodings[row] ?? { ids: new Int32Array(), typeIds: null }, own);
    });
    yield { first, examples, entities };
  }
}

/** @param strategy default `first` */
export function createEntityReader(
  task: Task,
  tokenizer: BertTokenizer,
  strategy: AggregationStrategy = 'first',
): EntityReader {
  const { model } = tokenizer.spec.tokenizerJson;
  const unknown = unknownToken(model);
  const prefix = model.type === 'WordPiece' ? (model.continuing_subword_prefix ?? '##') : '';
  const [before, after] = tokenizer.specialsAround;
  return (example, { ids, offsets = new Int32Array(2 * ids.length) }, logits) => {
    const { text } = example;
    const isFirstOfWord = wordStarts(example);
    const partsWord = prefix === '' ? punctuationParts(text) : () => false;
    const tokens: PlacedToken[] = [];
    for (let at = before; at < ids.length - after; at++) {
      const [start = 0, end = 0] = offsets.subarray(2 * at, 2 * at + 2);
      const token = tokenizer.idToToken(ids[at] ?? -1) ?? '';
      const continues = token !== unknown && isSubword(text, token, start, prefix) && !partsWord(start);
      const begins = isFirstOfWord?.(start) ?? !continues;
      tokens.push({ start, end, isSubword: !begins });
    }
    const own = logits.subarray(before * task.numLabels, (ids.length - after) * task.numLabels);
    return aggregate(tokens, own, task.labels, strategy)
      .map((entity) => trimmed(text, entity))
      .filter(({ start, end }) => end > start)
      .map((entity) =>
        Object.assign({}, entity, { text: text.slice(entity.start, entity.end) }, wordsIn(example, entity)),
      );
  };
}

/** To transformers it begins a word, wherever it stands. */
function unknownToken(model: BertTokenizer['spec']['tokenizerJson']['model']): string | null {
  if (model.type === 'Unigram') return model.vocab[model.unk_id ?? -1]?.[0] ?? null;
  return model.unk_token ?? null;
}

/** Whether a token is the first of one of the words that were given; undefined where none were. */
function wordStarts({ text, marks }: Example): ((start: number) => boolean) | undefined {
  if (marks === undefined || !('words' in marks)) return undefined;
  const { words } = marks;
  let word = -1;
  return (start) => {
    const before = word;
    let place = start;
    while (/\s/.test(text.charAt(place))) place++; // a blank before the word may be part of its token
    while ((words[word + 1]?.start ?? Infinity) <= place) word++;
    return word > before;
  };
}

function wordsIn({ marks }: Example, { start, end }: TextEntity): Pick<Entity, 'words'> {
  if (marks === undefined || !('words' in marks)) return {};
  const first = marks.words.findIndex((word) => word.end > start);
  const last = marks.words.findLastIndex((word) => word.start < end);
  return { words: [first, last + 1] };
}

const PUNCTUATION = /[\p{P}\p{S}]/u;

/**
 * Whether punctuation at either end of what stands between blanks begins or ends at a place, for places in their order: to transformers
 * `London.` is one word for all tokenizers but WordPiece, and so would be the entity.
 */
function punctuationParts(text: string): (place: number) => boolean {
  const words = text.matchAll(/\S+/g);
  // Of the word that reaches behind the last place: where it ends, and its part between the punctuation.
  let [wordEnd, start, end] = [0, 0, 0];
  return (place) => {
    while (wordEnd <= place) {
      const { value: match } = words.next();
      if (match === undefined) return true;
      const characters = Array.from(match[0]);
      const isBody = (character: string): boolean => !PUNCTUATION.test(character);
      wordEnd = match.index + match[0].length;
      start = match.index + characters.slice(0, characters.findIndex(isBody)).join('').length;
      end = wordEnd - characters.slice(characters.findLastIndex(isBody) + 1).join('').length;
    }
    return place <= start || place >= end;
  };
}
