// Logits for any number of texts, batch by batch, in the order of the rows; and the labels of texts in memory.
import { ALONE, type World } from '../distributed/world.js';
import { z } from 'zod';
import type { EncoderModel } from '../models/encoder-model.js';
import { maxLengthOf, pack, prefetch, readRows, type LabelledRows, type TextRows } from '../data/batch.js';
import type { Example } from '../data/index.js';
import { createTokenAligner } from '../data/token-labels.js';
import {
  aggregationStrategies,
  asTask,
  requireProblemType,
  type Calibration,
  type Prediction,
  type ProblemType,
  type Task,
  type TaskDescription,
  type Targets,
} from '../tasks/index.js';
import type { BertTokenizer, Encoding, TextExample } from '../tokenizer/index.js';
import { expected, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import {
  longTextsOf,
  poolings,
  predictTokenWindows,
  predictWindows,
  requireSingle,
  textReading,
  type Pooling,
  type TextReading,
} from './long-texts.js';

/**
 * The logits of some rows in a row.
 *
 * @example
 * ```ts
 * import type { PredictedBatch } from 'bertune';
 *
 * function* logitsOf({ logits, rows }: PredictedBatch): Generator<Float32Array> {
 *   const width = logits.length / rows;
 *   for (let row = 0; row < rows; row++) yield logits.subarray(row * width, (row + 1) * width);
 * }
 * ```
 */
export interface PredictedBatch {
  /** The first row of the batch. */
  first: number;
  rows: number;
  /** [rows * numLabels]; of a model that classifies tokens [tokens * numLabels] */
  logits: Float32Array;
  /** Where the logits of each row begin, and the last end: [rows + 1], in rows of logits. */
  bounds: Int32Array;
  /** The tokens of the rows. */
  encodings: readonly Encoding[];
  /** Of tokens one for each row of logits. */
  labels: Targets | undefined;
  examples: readonly Example[];
}

/**
 * How rows are predicted; `evaluateRows` hands its own options on to here.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, createTokenizerPool, type PredictRowsOptions } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const pool = createTokenizerPool(tokenizer, { maxLength: 128, workers: 1 });
 * const options: PredictRowsOptions = { pool, batchSize: 32 };
 * ```
 */
export interface PredictRowsOptions extends TextReading {
  batchSize: number;
  /** Of tokens: whether all those of a word have its label, and not the first alone. */
  labelAllTokens?: boolean;
  /** The processes that predict together, all with the same rows. Default: this one alone. */
  world?: World;
  /**
   * Of several processes, what is wanted beside the logits of the batches that another one predicts: `all`; `labels`, the examples and
   * their labels without the tokens (but for labels of tokens, which need them); or `nothing`. Default: `all`.
   */
  ofOthers?: 'all' | 'labels' | 'nothing';
}

/** Tokenized and packed ahead of the batch that the model is busy with. */
const BATCHES_AHEAD = 4;

/**
 * Runs the model over all rows without dropout. Memory does not grow with the number of rows.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, createTokenizerPool, predictRows } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * await model.open();
 * const pool = createTokenizerPool(tokenizer, { maxLength: 128, workers: 1 });
 * const rows = { size: 1, read: () => Promise.resolve([{ text: 'What a film!' }]) };
 * for await (const { logits } of predictRows(model, rows, { pool, batchSize: 32 })) console.log(logits);
 * await pool.close();
 * ```
 */
export async function* predictRows(
  model: EncoderModel,
  data: TextRows | LabelledRows,
  options: PredictRowsOptions,
): AsyncGenerator<PredictedBatch> {
  const { pool, batchSize, longTexts, labelAllTokens, world = ALONE, ofOthers = 'all' } = options;
  const align = createTokenAligner(model.task, labelAllTokens === true ? 'all' : 'first');
  model.warnIfUntrained();
  const [nothing, none] = [new Float32Array(0), new Int32Array(0)];
  const load = async (first: number): Promise<PredictedBatch> => {
    const isOwn = Math.floor(first / batchSize) % world.size === world.rank;
    const count = Math.min(batchSize, data.size - first);
    if (!isOwn && ofOthers === 'nothing')
      return {
        first,
        rows: count,
        logits: nothing,
        labels: undefined,
        examples: [],
        encodings: [],
        bounds: none,
      };
    const rows = Uint32Array.from({ length: count }, (_, i) => first + i);
    if ('batch' in data && data.batch !== undefined) {
      const batch = await data.batch(rows, 'evaluation', pool);
      const logits = isOwn ? await model.session.predict(batch) : nothing;
      const bounds = Int32Array.from({ length: rows.length + 1 }, (_, row) => row);
      return { first, rows: rows.length, logits, labels: batch.labels, examples: [], encodings: [], bounds };
    }
    const { examples, labels } = await readRows(data, rows);
    // By the texts: a tokenizer without token types does not mark the pairs that it encodes.
    if (longTexts !== undefined) requireSingle(examples.some(({ textPair }) => textPair !== undefined));
    const encodings = isOwn || ofOthers === 'all' || align !== null ? await pool.encode(examples) : [];
    const batch = pack(encodings);
    const predict = align === null ? predictWindows : predictTokenWindows;
    const predictOwn = (): Promise<Float32Array> =>
      longTexts === undefined
        ? model.session.predict(batch)
        : predict(model.session, encodings, longTexts, batchSize);
    const logits = isOwn ? await predictOwn() : nothing;
    const read = { first, rows: rows.length, logits, examples, encodings };
    if (align === null)
      return { ...read, labels, bounds: Int32Array.from({ length: rows.length + 1 }, (_, row) => row) };
    return { ...read, labels: labels && align(examples, encodings), bounds: batch.cuSeqlens };
  };
  const batches = prefetch(range(0, data.size, batchSize), load, BATCHES_AHEAD * world.size);
  if (world.size === 1) yield* batches;
  else yield* exchanged(batches, world);
}

/** Batches of which each process has the logits of every so many-th, with all logits, in the order of the rows. */
async function* exchanged(
  batches: AsyncIterable<PredictedBatch>,
  world: World,
): AsyncGenerator<PredictedBatch> {
  const exchange = async (round: readonly PredictedBatch[]): Promise<PredictedBatch[]> => {
    const own = round[world.rank]?.logits ?? new Float32Array(0);
    const all = await world.gather(
      Buffer.from(own.buffer, own.byteOffset, own.byteLength).toString('base64'),
    );
    return round.map((batch, rank) => {
      const bytes = Uint8Array.from(Buffer.from(all[rank] ?? '', 'base64'));
      return { ...batch, logits: new Float32Array(bytes.buffer) };
    });
  };
  let round: PredictedBatch[] = [];
  for await (const batch of batches) {
    round.push(batch);
    if (round.length < world.size) continue;
    yield* await exchange(round);
    round = [];
  }
  if (round.length > 0) yield* await exchange(round);
}

/**
 * Rows with labels as tokens, batch by batch: what `exportOnnx` compares its files with the model on.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, createTokenizerPool } from 'bertune';
 * import { encodedRows, loadDataset } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const { test } = await loadDataset({ test: 'test.csv' }, { modelLabels: model.task.labels });
 * const pool = createTokenizerPool(tokenizer, { maxLength: 128, workers: 1 });
 * const validation = () => encodedRows(test, { pool, batchSize: 32 });
 * await model.exportOnnx('out-onnx', { tokenizer, validation });
 * ```
 */
export async function* encodedRows(
  data: LabelledRows,
  { pool, batchSize, labelAllTokens }: Pick<PredictRowsOptions, 'pool' | 'batchSize' | 'labelAllTokens'>,
): AsyncGenerator<EncodedBatch> {
  const align =
    data.task === undefined
      ? null
      : createTokenAligner(asTask(data.task), labelAllTokens === true ? 'all' : 'first');
  const load = async (first: number): Promise<EncodedBatch> => {
    const rows = Uint32Array.from({ length: Math.min(batchSize, data.size - first) }, (_, i) => first + i);
    if (data.batch !== undefined) {
      const { inputIds, cuSeqlens, labels = new Int32Array() } = await data.batch(rows, 'evaluation', pool);
      const encodings = Array.from(rows, (_, i) => ({
        ids: inputIds.subarray(cuSeqlens[i], cuSeqlens[i + 1]),
        typeIds: null,
      }));
      return { encodings, labels };
    }
    const { examples, labels = new Int32Array() } = await readRows(data, rows);
    const encodings = await pool.encode(examples);
    return { encodings, labels: align === null ? labels : align(examples, encodings) };
  };
  yield* prefetch(range(0, data.size, batchSize), load, BATCHES_AHEAD);
}

interface EncodedBatch {
  encodings: Pick<Encoding, 'ids' | 'typeIds'>[];
  labels: Targets;
}

function* range(start: number, end: number, step: number): Generator<number> {
  for (let i = start; i < end; i += step) yield i;
}

/**
 * Explains one row of logits.
 *
 * @param logits [numLabels]
 * @param calibration what was tuned for the model. The temperature moves probabilities, never the label.
 *
 * @example
 * ```ts
 * import { predictionOf } from 'bertune';
 *
 * const task = { problemType: 'single_label_classification', labels: ['neg', 'pos'] } as const;
 * console.log(predictionOf([0, 2], task).label); // pos
 * ```
 */
export function predictionOf(
  logits: ArrayLike<number>,
  task: TaskDescription,
  calibration?: Calibration,
): Prediction {
  return asTask(task).decode(logits, calibration);
}

/**
 * Classifies texts or pairs in memory, in their order.
 *
 * @param texts strings, or `{text, textPair}` for pairs
 * @param options.batchSize texts a native call, default 32
 * @param options.maxLength tokens a text, default: as in the training, else all the model takes; longer texts are cut
 * @param options.stride reads longer texts whole instead, as windows of `maxLength` that share so many tokens; default: that
 *   of the model's thresholds, which `none` sets aside
 * @param options.pooling what becomes of the windows' logits, default: that of the model's thresholds, else their mean
 * @param options.problemType makes sure that the model has it, and gives labels its type: strings, lists of strings, numbers
 * @throws UsageError when an input is not a text, a pair with a stride, or `maxLength` more than the model has positions;
 *   for a model of another problem type
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, classify } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const [first] = await classify(model, tokenizer, ['What a film!', { text: 'a', textPair: 'b' }]);
 * console.log(first?.label, first?.score);
 * await model.close();
 * ```
 */
export async function classify<P extends ProblemType = ProblemType>(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  texts: readonly (string | TextExample)[],
  options: {
    batchSize?: number;
    maxLength?: number;
    stride?: number | 'none';
    pooling?: Pooling;
    problemType?: P;
  } = {},
): Promise<Prediction<P>[]> {
  if (!Array.isArray(texts)) throw expected('an array of texts', 'texts', texts);
  requireProblemType(model.task, options.problemType);
  requireTexts(model.task);
  await model.open();
  const { maxSeqLength, stride, pooling } = { ...textSettings(model), ...withoutUndefined(options) };
  const asked = options.maxLength ?? maxSeqLength;
  const all = Math.min(model.maxTokens, tokenizer.modelMaxLength);
  const maxLength = asked === undefined ? all : maxLengthOf(model, tokenizer, asked, 'maxLength');
  const longTexts = longTextsOf(tokenizer, { maxLength, stride, pooling });
  const reading = textReading(tokenizer, { maxLength, workers: 0, longTexts, tokenTypes: model.tokenTypes });
  return predictionsOf(model, textsInMemory(texts), { ...reading, batchSize: options.batchSize ?? 32 });
}

/** @throws UsageError for a model of tokens, and for a masked language model */
export function requireTexts({ kind }: Task): void {
  if (kind.unit === 'masked token')
    throw new UsageError(
      'The model is a masked language model, which gives texts no labels; train a classifier from it',
    );
  if (kind.unit === 'token')
    throw new UsageError('The model classifies tokens, and not texts; extractEntities() gives the entities');
}

const TEXT_SETTINGS = z.object({
  maxSeqLength: z.int().optional(),
  stride: z.int().optional(),
  pooling: z.enum(poolings).optional(),
  aggregationStrategy: z.enum(aggregationStrategies).optional(),
});

/** How texts were read in the training, or when something was tuned. @throws UsageError where that is damaged */
export function textSettings({ reading }: EncoderModel): z.infer<typeof TEXT_SETTINGS> {
  const read = TEXT_SETTINGS.safeParse(reading);
  if (read.success) return read.data;
  const name = String(read.error.issues[0]?.path[0]);
  throw new UsageError(
    `bertune_reading.json of the model has ${name} ${JSON.stringify(reading[name])}, which this version does not read; correct the file`,
  );
}

/**
 * Texts or pairs that a script has, as rows.
 *
 * @example
 * ```ts
 * import { textsInMemory } from 'bertune';
 *
 * const rows = textsInMemory(['a superb film', { text: 'a film', textPair: 'a plot' }]);
 * console.log(rows.size); // 2
 * ```
 */
export function textsInMemory(texts: readonly (string | TextExample)[]): TextRows {
  return rowsInMemory(texts.map((text) => (typeof text === 'string' ? { text } : text)));
}

export function rowsInMemory(examples: readonly Example[]): TextRows {
  return {
    size: examples.length,
    read: (rows) => Promise.resolve(Array.from(rows, (row) => examples[row] ?? { text: '' })),
  };
}

/** The predictions of all rows in their order. @template P of the model, as `requireProblemType` has checked */
export async function predictionsOf<P extends ProblemType>(
  model: EncoderModel,
  data: TextRows,
  options: PredictRowsOptions,
): Promise<Prediction<P>[]> {
  const predictions: unknown[] = [];
  const { task, calibration } = model;
  const { numLabels } = task;
  for await (const { rows, logits } of predictRows(model, data, options))
    for (let i = 0; i < rows; i++)
      predictions.push(task.decode(logits.subarray(i * numLabels, (i + 1) * numLabels), calibration));
  // The compiler cannot follow that the model's task is of this type.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return predictions as Prediction<P>[];
}
