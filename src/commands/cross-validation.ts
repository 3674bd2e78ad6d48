// `bertune train --cross-validation K`: every row is evaluated once, by a model that was trained without it.
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import type { TrainOptions } from '../options/index.js';
import type { Dataset, DatasetDict } from '../data/dataset.js';
import type { Metrics } from '../evaluation/evaluate.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { writeJson } from '../util/files.js';
import { Journal } from '../util/journal.js';
import { formatNumber, TitledProgress, type Progress } from '../terminal/progress.js';
import { Trainer } from '../training/trainer.js';
import type { ModelSource } from './model-source.js';
import { printTableOr, shownMetric, tableOf } from './output.js';
import { reportOverlapOfFolds } from './notes.js';
import { StopSignals } from './stop.js';

/** Times differ from fold to fold for reasons that have nothing to do with the model. */
const TIMES = /_(runtime|samples|per_second)$/;

interface Parts {
  source: ModelSource;
  tokenizer: BertTokenizer;
  data: DatasetDict;
  progress: Progress;
}

/**
 * Trains k models; writes cross_validation.json, the metrics of each fold, their mean and deviation, and prints it; on a
 * terminal mean and deviation as a table.
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
          await journal.add(await runFold(folds.length + 1, fold, options, parts, signals.signal));
          progress.line(`fold ${folds.length}/${k}  ${shown(folds.at(-1) ?? {})}`);
        }
      },
    );
  } finally {
    signals.release();
  }
  const result = { folds, ...meanAndDeviation(folds) };
  for (const note of undefinedNotes(folds)) progress.line(note);
  await writeJson(join(options.outputDir, 'cross_validation.json'), result);
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

/** The folds that a run with the same options and data finished before it was stopped. */
async function openFolds(options: TrainOptions, { train }: DatasetDict): Promise<Journal<Metrics>> {
  const { outputDir, verbose: _, quiet: _q, json: _j, ...same } = options;
  const { files } = await train.identity();
  const metric = z
    .number()
    .nullable()
    .transform((value) => value ?? Number.NaN);
  return Journal.open(join(outputDir, 'folds.jsonl'), {
    name: 'cross-validation',
    header: { ...same, 'the training data': files },
    entry: z.record(z.string(), metric),
  });
}

async function runFold(
  number: number,
  { train, validation }: { train: Dataset; validation: Dataset },
  options: TrainOptions,
  { source, tokenizer, data, progress }: Parts,
  signal: AbortSignal,
): Promise<Metrics> {
  const model = await source.load(data, options);
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
    const metrics = await trainer.evaluate({ signal });
    return Object.fromEntries(Object.entries(metrics).filter(([name]) => !TIMES.test(name)));
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
