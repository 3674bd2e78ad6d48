// What a Trainer is made of, and that it fits together.
import type { LabelledRows } from '../data/batch.js';
import type { BertForSequenceClassification } from '../models/bert-for-sequence-classification.js';
import { expected, UsageError } from '../util/errors.js';
import { lossProblems, type TrainingArguments } from '../options/index.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { ComputeMetrics } from '../evaluation/evaluate.js';
import { requireTaskFits } from '../tasks/index.js';
import { reporters } from './reporting/index.js';
import type { TrainerCallback } from './callbacks.js';
import { EarlyStoppingCallback } from './early-stopping.js';
import type { Progress } from '../terminal/progress.js';

export interface TrainerParts {
  model: BertForSequenceClassification;
  args: TrainingArguments;
  tokenizer: BertTokenizer;
  trainDataset: LabelledRows;
  evalDataset?: LabelledRows | undefined;
  progress?: Progress;
  /** Called after our own (early stopping, reports), in this order. */
  callbacks?: readonly TrainerCallback[];
  /** Metrics beside our own; HF's compute_metrics. Keeps the logits of all evaluated rows in memory. */
  computeMetrics?: ComputeMetrics;
}

/** The callbacks that options stand for. */
export function ownCallbacks(args: TrainingArguments): TrainerCallback[] {
  const { earlyStoppingPatience: patience, earlyStoppingThreshold: threshold } = args;
  const stopping = patience === undefined ? [] : [new EarlyStoppingCallback({ patience, threshold })];
  return [...stopping, ...reporters(args)];
}

const REMEDY =
  'Make the model for the data: BertForSequenceClassification.fromPretrained(model, data.task), or fromConfig.';

/** @throws UsageError for parts that do not fit together */
export function requirePartsFit(parts: TrainerParts): void {
  const { args, model, trainDataset, evalDataset } = parts;
  const { task } = model;
  requireKnownMetric(parts);
  if (args.evalStrategy !== 'no' && evalDataset === undefined)
    throw new UsageError(`evalStrategy is '${args.evalStrategy}' but there are no rows to evaluate on`);
  const { problemType, labels: labelList } = task;
  const [misfit] = lossProblems({ ...args, problemType, labelList }, (name) => name);
  if (misfit !== undefined) throw new UsageError(misfit.message);
  requireTaskFits(task, trainDataset, 'training data', REMEDY);
  if (evalDataset !== undefined) requireTaskFits(task, evalDataset, 'evaluation data', REMEDY);
}

/** With metrics of the caller's own, their names are known after the first evaluation only. */
function requireKnownMetric({ args, model, computeMetrics }: TrainerParts): void {
  const { metricForBestModel: metric } = args;
  const known: readonly string[] = model.task.kind.metricNames;
  if (metric === undefined || computeMetrics !== undefined || known.includes(metric)) return;
  throw expected(`one of ${known.join(', ')}`, 'metricForBestModel', metric);
}
