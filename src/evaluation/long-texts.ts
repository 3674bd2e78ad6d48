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
  windowsOf: (whole: Encoding) => Encoding[];
  pooling: Pooling;
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
  return { windowsOf: createWindows(tokenizer, { maxLength, stride }), pooling };
}

/**
 * Starts the threads that tokenize: texts cut to `maxLength`, or whole where they are cut into windows later.
 *
 * @param options.tokenTypes how many the model has
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
  options: { maxLength: number; workers: number; longTexts: LongTexts | undefined; tokenTypes: number },
): TextReading {
  const { maxLength, workers, longTexts, tokenTypes } = options;
  if (longTexts === undefined)
    return { pool: createTokenizerPool(tokenizer, { maxLength, workers, tokenTypes }) };
  return { pool: createTokenizerPool(tokenizer, { workers }), longTexts };
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
