// `bertune train --cross-validation K`: every row is evaluated once, by a model that was trained without it. What those models
// say of the rows is also what `inspect --label-errors` compares the labels with.
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import type { TrainingArguments, TrainOptions } from '../options/index.js';
import type { Dataset, DatasetDict } from '../data/dataset.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { predictionFormats } from '../predictions/formats.js';
import { probabilitiesOf } from '../predictions/out-of-fold.js';
import { FormulaGuard, type PredictedRow } from '../predictions/table.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { StoppedError } from '../util/errors.js';
import { writeJson } from '../util/files.js';
import { Journal } from '../util/journal.js';
import { formatNumber, TitledProgress, type Progress } from '../terminal/progress.js';
import { Trainer } from '../training/trainer.js';
import type { ModelSource } from './model-source.js';
import { printTableOr, shownMetric, tableOf, writePieces } from './output.js';
import { reportOverlapOfFolds } from './notes.js';
import { StopSignals } from './stop.js';

/** Times differ from fold to fold for reasons that have nothing to do with the model. */
const TIMES = /_(runtime|samples|per_second)$/;

/** The predictions of all rows, each by the model that was trained without it. */
const OUT_OF_FOLD = 'out_of_fold.jsonl';

interface Parts {
  source: ModelSource;
  tokenizer: BertTokenizer;
  data: DatasetDict;
  progress: Progress;
}

/** What the model of a fold makes of the rows that it has not seen. */
interface Fold {
  metrics: Metrics;
  /** [rows * numLabels]; empty where logits stand for tokens. */
  logits: Float32Array;
}

/**
 * Trains k models; writes cross_validation.json, the metrics of each fold, their mean and deviation, and prints it; on a
 * terminal mean and deviation as a table. The predictions go into out_of_fold.jsonl.
 */
export async function crossValidate(k: number, options: TrainOptions, parts: Parts): Promise<void> {
  const { data, progress } = parts;
  const rows = data.folds(k, options.seed);
  reportOverlapOfFolds(rows, progress);
  const journal = await openFolds(options, data);
  const { entries: folds } = journal;
  if (folds.length > 0)
    progress.line(`Continuing with fold ${folds.length + 1}, as ${journal.path} has the others`);
  const signals = new StopSignals(progress, 'stopping after this step');
  try {
    await signals.resumable(
      () => ({ noun: 'fold', done: folds.length, of: k, path: journal.path }),
      async () => {
        for (const fold of rows.slice(folds.length)) {
          signals.signal.throwIfAborted();
          await journal.add(saved(await runFold(folds.length + 1, fold, options, parts, signals.signal)));
          progress.line(`fold ${folds.length}/${k}  ${shown(folds.at(-1)?.metrics ?? {})}`);
        }
      },
    );
  } finally {
    signals.release();
  }
  const metrics = folds.map((fold) => fold.metrics);
  const result = { folds: metrics, ...meanAndDeviation(metrics) };
  for (const note of undefinedNotes(metrics)) progress.line(note);
  await writeJson(join(options.outputDir, 'cross_validation.json'), result);
  await writeOutOfFold(join(options.outputDir, OUT_OF_FOLD), rows, folds.map(logitsOf), parts);
  await rm(journal.path, { force: true });
  await printTableOr(result, foldsTable(result), options);
}

/** A line for each metric: its mean over the folds and its deviation. */
function foldsTable({
  folds,
  mean,
  deviation,
}: {
  folds: object[];
  mean: Metrics;
  deviation: Metrics;
}): string {
  const rows = Object.entries(mean).map(([name, value]) => [
    name,
    shownMetric(value),
    shownMetric(deviation[name] ?? Number.NaN),
  ]);
  return tableOf([['metric', `mean of ${folds.length} folds`, 'deviation'], ...rows]);
}

const FOLD = z.object({
  metrics: z.record(
    z.string(),
    z
      .number()
      .nullable()
      .transform((value) => value ?? Number.NaN),
  ),
  logits: z.base64(),
});
type SavedFold = z.infer<typeof FOLD>;

function saved({ metrics, logits }: Fold): SavedFold {
  const { buffer, byteOffset, byteLength } = logits;
  return { metrics, logits: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
}

function logitsOf({ logits }: SavedFold): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(logits, 'base64'));
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
}

/** The folds that a run with the same options and data finished before it was stopped. */
async function openFolds(options: TrainOptions, { train }: DatasetDict): Promise<Journal<SavedFold>> {
  const { outputDir, verbose: _, quiet: _q, json: _j, ...same } = options;
  const { files } = await train.identity();
  return Journal.open(join(outputDir, 'folds.jsonl'), {
    name: 'cross-validation',
    header: { ...same, 'the training data': files },
    entry: FOLD,
  });
}

/** Writes the predictions in the order of the rows, as `predict` writes them. */
async function writeOutOfFold(
  path: string,
  folds: readonly { validation: Dataset }[],
  logitsOfFolds: readonly Float32Array[],
  { data: { task, train }, progress }: Parts,
): Promise<void> {
  if (task.kind.unit === 'token') return;
  const { numLabels } = task;
  const at = new Map<number, { logits: Float32Array; row: number }>();
  folds.forEach(({ validation }, fold) => {
    const logits = logitsOfFolds[fold] ?? new Float32Array();
    for (let row = 0; row < validation.size; row++) at.set(validation.rowOfSplit(row), { logits, row });
  });
  const hasPlaces = train.split.badRows.count > 0;
  const predicted = async function* (): AsyncGenerator<PredictedRow[]> {
    for (const row of [...at.keys()].toSorted((a, b) => a - b)) {
      const { logits = new Float32Array(), row: own = 0 } = at.get(row) ?? {};
      const place = hasPlaces ? { place: train.split.place(row) } : {};
      yield [{ row, ...place, ...task.decode(logits.subarray(own * numLabels, (own + 1) * numLabels)) }];
    }
  };
  const guard = new FormulaGuard(false);
  await writePieces(
    path,
    predictionFormats.jsonl.write(predicted(), { task, hasPlaces, passthrough: [], guard }),
  );
  progress.line(`The predictions of each row by the model that was trained without it are in ${path}`);
}

/**
 * The probabilities of all rows, each by a model that was trained without it, [rows * numLabels].
 *
 * @param args of the trainings; nothing is left in the output folder
 */
export async function outOfFold(k: number, args: TrainingArguments, parts: Parts): Promise<Float64Array> {
  const { data, progress } = parts;
  const { task, train } = data;
  const folds = data.folds(k, args.seed);
  reportOverlapOfFolds(folds, progress);
  const all = new Float64Array(train.size * task.numLabels);
  const signals = new StopSignals(progress, 'stopping after this step');
  try {
    for (const [i, fold] of folds.entries()) {
      signals.signal.throwIfAborted();
      const { metrics, logits } = await runFold(i + 1, fold, args, parts, signals.signal);
      progress.line(`fold ${i + 1}/${k}  ${shown(metrics)}`);
      for (let row = 0; row < fold.validation.size; row++) {
        const own = logits.subarray(row * task.numLabels, (row + 1) * task.numLabels);
        all.set(probabilitiesOf(task, own), fold.validation.rowOfSplit(row) * task.numLabels);
      }
    }
    return all;
  } catch (error) {
    if (signals.received !== undefined && error === signals.signal.reason)
      throw new StoppedError(
        signals.received,
        'the folds are lost: those of train --cross-validation are kept, and their predictions are for --out-of-fold',
      );
    throw error;
  } finally {
    signals.release();
  }
}

async function runFold(
  number: number,
  { train, validation }: { train: Dataset; validation: Dataset },
  options: TrainingArguments | TrainOptions,
  { source, tokenizer, data, progress }: Parts,
  signal: AbortSignal,
): Promise<Fold> {
  const { kind, numLabels } = data.task;
  const logits = new Float32Array(kind.unit === 'token' ? 0 : validation.size * numLabels);
  const model = await source.load(data, 'loraRank' in options ? options : {});
  let trainer: Trainer | undefined;
  try {
    trainer = new Trainer({
      model,
      args: { ...options, saveStrategy: 'no', reportTo: [] },
      tokenizer,
      trainDataset: train,
      evalDataset: validation,
      progress: new TitledProgress(progress, `fold ${number}`),
      callbacks: [{ onStepEnd: () => signal.throwIfAborted(), onEvaluate: () => signal.throwIfAborted() }],
    });
    await model.open(options);
    await trainer.train();
    const metrics = await trainer.evaluate({
      signal,
      onPredicted: ({ first, logits: own }) => {
        if (logits.length > 0) logits.set(own, first * numLabels);
      },
    });
    const shownMetrics = Object.entries(metrics).filter(([name]) => !TIMES.test(name));
    return { metrics: Object.fromEntries(shownMetrics), logits };
  } finally {
    await trainer?.close();
    await model.close();
  }
}

/** The mean of a metric that a fold's rows do not define, such as the ROC-AUC of one class, is not defined either. */
function undefinedNotes(folds: readonly Metrics[]): string[] {
  return Object.keys(folds[0] ?? {}).flatMap((name) => {
    const without = folds.flatMap((metrics, i) => (Number.isNaN(metrics[name]) ? [i + 1] : []));
    if (without.length === 0) return [];
    return [`note: ${name} has no mean: the rows of fold ${without.join(', ')} do not define it`];
  });
}

/** Of each metric; the deviation is that of a sample, divided by k - 1. */
export function meanAndDeviation(folds: readonly Metrics[]): { mean: Metrics; deviation: Metrics } {
  const names = Object.keys(folds[0] ?? {});
  const values = (name: string): number[] => folds.map((metrics) => metrics[name] ?? Number.NaN);
  return {
    mean: Object.fromEntries(names.map((name) => [name, meanOf(values(name))])),
    deviation: Object.fromEntries(names.map((name) => [name, deviationOf(values(name))])),
  };
}

function meanOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}

function deviationOf(numbers: readonly number[]): number {
  const mean = meanOf(numbers);
  const squares = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (numbers.length - 1));
}

function shown(metrics: Metrics): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${formatNumber(value)}`)
    .join('  ');
}
