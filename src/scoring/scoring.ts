// Evaluation and prediction for scripts: what `bertune evaluate` and `bertune predict` compute, of a data set or of rows.
import { maxLengthOf, type LabelledRows, type TextRows } from '../data/batch.js';
import { openSplits, type ReadOptions, type SplitRows } from '../data/load-dataset.js';
import { evaluateRows, type ComputeMetrics, type Metrics } from '../evaluation/evaluate.js';
import { longTextsOf, textReading } from '../evaluation/long-texts.js';
import {
  predictionsOf,
  requireTexts,
  textsInMemory,
  type PredictRowsOptions,
} from '../evaluation/predict.js';
import type { EncoderModel } from '../models/encoder-model.js';
import {
  evaluateCommand,
  parseScoringOptions,
  presumedOf,
  scoringCommand,
  withReading,
  type ScoringOptions,
} from '../options/index.js';
import {
  createMetrics,
  requireProblemType,
  type MetricDetails,
  type Prediction,
  type ProblemType,
} from '../tasks/index.js';
import type { BertTokenizer, TextExample } from '../tokenizer/index.js';
import { expected, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';

/**
 * Labelled rows to evaluate: a data set, or whatever `loadDataset` takes for a split: files, or rows in an array, a generator or a
 * stream of objects.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, evaluate, type EvaluationData } from 'bertune';
 *
 * const data: EvaluationData = [{ text: 'a fine film', label: 'pos' }]; // or 'test.csv'
 * await using model = await AutoModelForSequenceClassification.fromPretrained('out');
 * console.log(await evaluate(model, await AutoTokenizer.fromPretrained('out'), data));
 * ```
 */
export type EvaluationData = LabelledRows | NonNullable<SplitRows<object>['validation']>;

const readingNames = [
  'textColumn',
  'textPairColumn',
  'labelColumn',
  'labelDelimiter',
  'labelFormat',
  'foldLabels',
  'naLabels',
  'softLabels',
  'badRows',
  'quoting',
  'encoding',
  'escape',
  'jsonField',
  'maxRowBytes',
  'maxCompressionRatio',
] as const satisfies readonly (keyof ReadOptions)[];

/**
 * How the rows of files are read, where it is not as in the training; `none` sets aside its pair column, escape or JSON field.
 *
 * @example
 * ```ts
 * import type { EvaluationReadOptions } from 'bertune';
 *
 * const reading: EvaluationReadOptions = { textColumn: 'body', labelColumn: 'mood', encoding: 'windows-1252' };
 * ```
 */
export interface EvaluationReadOptions extends Pick<ReadOptions, (typeof readingNames)[number]> {}

/** The options that `evaluate` takes of the rows of files. */
const rowsCommand = {
  options: Object.fromEntries(
    Object.entries(evaluateCommand.options).filter(([name]) => readingNames.some((own) => own === name)),
  ),
};

function isReading([name]: [string, unknown]): boolean {
  return Object.hasOwn(rowsCommand.options, name);
}

function parted(options: ScoringOptions & EvaluationReadOptions): {
  reading: EvaluationReadOptions;
  scoring: ScoringOptions;
} {
  const entries = Object.entries(options);
  return {
    reading: Object.fromEntries(entries.filter(isReading)),
    scoring: Object.fromEntries(entries.filter((entry) => !isReading(entry))),
  };
}

/**
 * What an evaluation found.
 *
 * @example
 * ```ts
 * import type { Evaluation } from 'bertune';
 *
 * const accuracyOf = ({ metrics }: Evaluation): number | undefined => metrics['eval_accuracy'];
 * ```
 */
export interface Evaluation {
  /** As `bertune evaluate` prints them: eval_loss, eval_accuracy ..., with eval_tuned_* where something was tuned. */
  metrics: Metrics;
  /** Scores by class, and the confusion matrix of one label a row; null for regression. */
  details: MetricDetails | null;
}

/**
 * Evaluates a model on labelled rows, as `bertune evaluate` does, with the same figures and errors. The model is opened where
 * it is not open, and stays so.
 *
 * @param data a data set such as `data.test`; or what `loadDataset` takes for one split, which is read with the model's labels,
 *   and as in the training where the options say nothing else
 * @param options by the names of the command line; see {@link ScoringOptions} and {@link EvaluationReadOptions}
 *   (reading options are for data that are read here, and refused with a data set that is open)
 * @param options.computeMetrics metrics of the caller's own
 * @param options.signal aborts the evaluation, which rejects with the signal's reason
 * @param options.onBatch called after each batch with the number of rows done
 * @throws UsageError for data that cannot be used, labels that the model does not have, and wrong options
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, evaluate } from 'bertune';
 *
 * await using model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const { metrics } = await evaluate(model, tokenizer, 'test.csv', { maxSeqLength: 128 });
 * console.log(metrics.eval_accuracy);
 * ```
 */
export async function evaluate(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  data: EvaluationData,
  options: ScoringOptions &
    EvaluationReadOptions & {
      computeMetrics?: ComputeMetrics;
      signal?: AbortSignal;
      onBatch?: (rows: number) => void;
    } = {},
): Promise<Evaluation> {
  const { computeMetrics, signal, onBatch, ...asked } = options;
  const { reading, scoring } = parted(asked);
  const hooks = withoutUndefined({ computeMetrics, signal, onBatch });
  const metrics = createMetrics(model.task, model.calibration);
  const run = (rows: LabelledRows): Promise<Metrics> =>
    withTexts(model, tokenizer, scoring, (texts) =>
      evaluateRows(model, rows, { ...texts, ...hooks, metrics }),
    );
  if (isRows(data)) {
    requireUnread(reading);
    return { metrics: await run(data), details: metrics.details() };
  }
  const { problemType, kind, labels } = model.task;
  // The name of a single number says nothing.
  const modelLabels = kind.hasClasses || labels.length > 1 ? labels : undefined;
  const { labelColumn } = reading;
  const columns = labelColumn === undefined ? {} : { labelColumn: [labelColumn].flat() };
  const own = withReading(rowsCommand, { ...reading, ...columns }, model.reading, 'the model');
  const presumed = presumedOf(reading);
  const how = { ...own.options, presumed, problemType, modelLabels, forTraining: false };
  const opened = await openSplits({ validation: data }, how);
  try {
    return { metrics: await run(opened.validation), details: metrics.details() };
  } finally {
    await opened.close();
  }
}

/**
 * Predicts rows, as `bertune predict` does, with the same figures. The model is opened where it is not open, and stays so.
 *
 * @param data a data set, or an array of texts: strings, or `{ text, textPair }` for pairs. Strings are never names of files, as
 *   they are for `evaluate`: a file is opened with `loadDataset`, and one without labels is for `bertune predict`
 * @param options by the names of the command line; see {@link ScoringOptions}
 * @param options.problemType makes sure that the model has it, and gives labels its type: strings, lists of strings, numbers
 * @returns a prediction for each row, in their order
 * @throws UsageError for data that cannot be used, wrong options, and a model of another problem type
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, predict } from 'bertune';
 *
 * await using model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const options = { problemType: 'single_label_classification', stride: 32 } as const;
 * for (const { label } of await predict(model, tokenizer, ['What a film!'], options))
 *   console.log(label.toUpperCase());
 * ```
 */
export async function predict<P extends ProblemType = ProblemType>(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  data: TextRows | readonly (string | TextExample)[],
  options: ScoringOptions & { problemType?: P } = {},
): Promise<Prediction<P>[]> {
  const { problemType, ...scoring } = options;
  if (!isRows(data) && !Array.isArray(data)) throw notTexts(data);
  if (isRows(data)) requireUnread(parted(scoring).reading);
  requireProblemType(model.task, problemType);
  requireTexts(model.task);
  const rows = isRows(data) ? data : textsInMemory(data);
  return withTexts(model, tokenizer, scoring, (texts) => predictionsOf<P>(model, rows, texts));
}

/** For callers without types. */
function notTexts(data: unknown): UsageError {
  const error = expected('a data set or an array of texts', 'data', data);
  if (typeof data !== 'string') return error;
  const quoted = JSON.stringify(data);
  return new UsageError(
    `${error.message}; for a text write [${quoted}], for a file with labels (await loadDataset({ test: ${quoted} })).test, for one without run bertune predict`,
  );
}

/** Opens the model, and the threads that tokenize for as long as the work takes. */
async function withTexts<T>(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  asked: ScoringOptions,
  work: (options: PredictRowsOptions) => Promise<T>,
): Promise<T> {
  // Length, stride and pooling as in the training, where none were given.
  const own = withReading<ScoringOptions>(scoringCommand, asked, model.reading, 'the model');
  const { options } = parseScoringOptions(withoutUndefined(own.options));
  const { perDeviceEvalBatchSize: batchSize, dataloaderNumWorkers: workers } = options;
  const maxLength = maxLengthOf(model, tokenizer, options.maxSeqLength);
  const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
  const { tokenTypes } = model;
  const withOffsets = model.task.kind.unit === 'token';
  const texts = textReading(tokenizer, { maxLength, workers, longTexts, tokenTypes, withOffsets });
  try {
    await model.open(options);
    return await work({ ...texts, batchSize, labelAllTokens: model.reading['labelAllTokens'] === true });
  } finally {
    await texts.pool.close();
  }
}

/** @throws UsageError for options of files, given with rows that have been read */
function requireUnread(reading: EvaluationReadOptions): void {
  const names = Object.entries(withoutUndefined(reading)).map(([name]) => name);
  if (names.length === 0) return;
  throw new UsageError(
    `${names.join(', ')}: the data set is open, and its rows are read already; give ${names.length === 1 ? 'this' : 'these'} to loadDataset`,
  );
}

function isRows<Rows extends TextRows>(data: Rows | object | string): data is Rows {
  return typeof data === 'object' && data !== null && 'size' in data && 'read' in data;
}
