// Texts longer than the model takes: logits of their windows, pooled to the logits of the text.
import { pack } from '../data/batch.js';
import { UsageError } from '../util/errors.js';
import type { Session } from '../native/index.js';
import {
  createTokenizerPool,
  createWindows,
  type BertTokenizer,
  type Encoding,
  type TokenizerPool,
} from '../tokenizer/index.js';

export const poolings = ['mean', 'max'] as const;
/**
 * How the logits of the windows become those of the text: their mean (every window counts the same) or their maximum.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, classify, type Pooling } from 'bertune';
 *
 * const pooling: Pooling = 'max';
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * await classify(model, tokenizer, ['a long text'], { maxLength: 128, stride: 32, pooling });
 * ```
 */
export type Pooling = (typeof poolings)[number];

/**
 * How long texts are read.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, longTextsOf, type LongTexts } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const longTexts: LongTexts | undefined = longTextsOf(tokenizer, { maxLength: 16, stride: 4 });
 * console.log(longTexts?.windowsOf(tokenizer.encode('word '.repeat(100))).length);
 * ```
 */
export interface LongTexts {
  /** The windows of a text that was encoded as a whole. */
  windowsOf: (whole: Encoding) => (Encoding & { readonly first: number })[];
  pooling: Pooling;
  /** How many special tokens stand before and after the text of each window. */
  specialsAround: readonly [before: number, after: number];
}

/**
 * What the tokens of a text are made with, and what `predictRows` needs to know of long ones.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, createTokenizerPool, type TextReading } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const reading: TextReading = { pool: createTokenizerPool(tokenizer, { maxLength: 128, workers: 1 }) };
 * ```
 */
export interface TextReading {
  pool: TokenizerPool;
  /** Missing where longer texts are cut. */
  longTexts?: LongTexts;
}

/**
 * What a stride means for this tokenizer; undefined without one, and for `none`.
 *
 * @throws UsageError for a stride that does not fit into a window
 *
 * @example
 * ```ts
 * import { AutoTokenizer, longTextsOf } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const longTexts = longTextsOf(tokenizer, { maxLength: 128, stride: 32 });
 * ```
 */
export function longTextsOf(
  tokenizer: BertTokenizer,
  options: { maxLength: number; stride?: number | 'none' | undefined; pooling?: Pooling | undefined },
): LongTexts | undefined {
  const { maxLength, stride, pooling = 'mean' } = options;
  if (stride === undefined || stride === 'none') return undefined;
  const { specialsAround } = tokenizer;
  return { windowsOf: createWindows(tokenizer, { maxLength, stride }), pooling, specialsAround };
}

/**
 * Starts the threads that tokenize: texts cut to `maxLength`, or whole where they are cut into windows later.
 *
 * @param options.tokenTypes how many the model has
 * @param options.withOffsets whether the places of tokens are needed, as with a model that classifies them
 *
 * @example
 * ```ts
 * import { AutoTokenizer, textReading } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const settings = { maxLength: 128, workers: 1, longTexts: undefined, tokenTypes: 2 };
 * const { pool } = textReading(tokenizer, settings);
 * await pool.close();
 * ```
 */
export function textReading(
  tokenizer: BertTokenizer,
  options: {
    maxLength: number;
    workers: number;
    longTexts: LongTexts | undefined;
    tokenTypes: number;
    withOffsets?: boolean;
  },
): TextReading {
  const { maxLength, workers, longTexts, tokenTypes, withOffsets = false } = options;
  if (longTexts === undefined)
    return { pool: createTokenizerPool(tokenizer, { maxLength, workers, tokenTypes, withOffsets }) };
  return { pool: createTokenizerPool(tokenizer, { workers, withOffsets }), longTexts };
}

/**
 * Logits of texts, [texts * numLabels]. First windows go together, in the places of the texts: that is the batch that
 * there is without windows, so that a text that fits gets the very same bits.
 *
 * @param texts no pairs; see `requireSingle`
 * @param batchSize windows a native call
 */
export async function predictWindows(
  session: Session,
  texts: readonly Encoding[],
  { windowsOf, pooling }: LongTexts,
  batchSize: number,
): Promise<Float32Array> {
  const windows = texts.map(windowsOf);
  const first = windows.flatMap((own) => own.slice(0, 1));
  const logits = await session.predict(pack(first));
  const further = windows.flatMap((own, text) => own.slice(1).map((window) => ({ text, window })));
  if (further.length === 0) return logits;

  const width = logits.length / texts.length;
  const rowOf = (all: Float32Array, row: number): Float32Array =>
    all.subarray(row * width, (row + 1) * width);
  const rows = texts.map((_, text) => [rowOf(logits, text)]);
  for (let start = 0; start < further.length; start += batchSize) {
    const batch = further.slice(start, start + batchSize);
    const more = await session.predict(pack(batch.map(({ window }) => window)));
    for (const [i, { text }] of batch.entries()) rows[text]?.push(rowOf(more, i));
  }
  const all = new Float32Array(logits.length);
  for (const [text, own] of rows.entries()) all.set(poolWindows(own, pooling), text * width);
  return all;
}

/**
 * Logits of the tokens of texts, [all tokens * numLabels].
 *
 * @param batchSize windows a native call
 */
export async function predictTokenWindows(
  session: Session,
  texts: readonly Encoding[],
  longTexts: LongTexts,
  batchSize: number,
): Promise<Float32Array> {
  const windows = texts.map(longTexts.windowsOf);
  const all = windows.flat();
  const logits: Float32Array[] = [];
  for (let start = 0; start < all.length; start += batchSize) {
    const packed = pack(all.slice(start, start + batchSize));
    logits.push(...rowsByText(await session.predict(packed), packed.cuSeqlens));
  }
  let next = 0;
  const joined = windows.map((own) => joinWindows(own, logits.slice(next, (next += own.length)), longTexts));
  const length = joined.reduce((sum, part) => sum + part.length, 0);
  const result = new Float32Array(length);
  let end = 0;
  for (const part of joined) {
    result.set(part, end);
    end += part.length;
  }
  return result;
}

/** The logits of the tokens of each text. @param bounds where each begins, and the last ends */
export function rowsByText(logits: Float32Array, bounds: Int32Array): Float32Array[] {
  const width = logits.length / (bounds.at(-1) ?? 1);
  return Array.from({ length: bounds.length - 1 }, (_, i) =>
    logits.subarray((bounds[i] ?? 0) * width, (bounds[i + 1] ?? 0) * width),
  );
}

/**
 * The logits of all tokens of a text from those of its windows: of a token in several windows those of the one in which it has the
 * most context, so that an entity at a seam is seen whole.
 *
 * @param logits of each window, [tokens * numLabels]
 */
export function joinWindows(
  windows: readonly (Encoding & { readonly first: number })[],
  logits: readonly Float32Array[],
  { specialsAround: [before, after] }: Pick<LongTexts, 'specialsAround'>,
): Float32Array {
  const [whole = new Float32Array(), another] = logits;
  if (another === undefined) return whole;
  const width = whole.length / (windows[0]?.ids.length ?? 1);
  const texts = windows.map(({ ids, first }) => ({ first, end: first + ids.length - before - after }));
  const tokens = Math.max(...texts.map(({ end }) => end));
  const all = new Float32Array((before + tokens + after) * width);
  const context = new Float64Array(tokens).fill(-1);
  // The special tokens are those of the first window.
  all.set(whole.subarray(0, before * width));
  all.set(whole.subarray(whole.length - after * width), (before + tokens) * width);
  for (const [i, { first, end }] of texts.entries())
    for (let token = first; token < end; token++) {
      // The ends of the text cut nothing off.
      const left = first === 0 ? Infinity : token - first;
      const right = end === tokens ? Infinity : end - 1 - token;
      if (Math.min(left, right) <= (context[token] ?? 0)) continue;
      context[token] = Math.min(left, right);
      const at = before + token - first;
      all.set(logits[i]?.subarray(at * width, (at + 1) * width) ?? [], (before + token) * width);
    }
  return all;
}

/**
 * The logits of a text.
 *
 * @param windows those of its windows, in their order, [numLabels] each; one alone is the text
 */
export function poolWindows(windows: readonly Float32Array[], pooling: Pooling): Float32Array {
  const [first = new Float32Array(), ...more] = windows;
  const pooled = Float64Array.from(first);
  for (const window of more)
    for (const [label, value] of window.entries()) {
      const so = pooled[label] ?? 0;
      pooled[label] = pooling === 'max' ? Math.max(so, value) : so + value;
    }
  return Float32Array.from(pooled, (value) => (pooling === 'max' ? value : value / windows.length));
}

/** @throws UsageError for pairs, of which either text may be the long one */
export function requireSingle(hasPairs: boolean): void {
  if (hasPairs) throw new UsageError('A stride goes with single texts, not with pairs; leave the stride out');
}
