// What a Trainer is made of, and that it fits together.
import { requireTaskFits } from '../batching/task-fit.js';
import type { LabelledRows } from '../batching/batch.js';
import type { BertForSequenceClassification } from '../bert.js';
import { lossProblems, type TrainingArguments } from '../config/index.js';
import { UsageError } from '../errors.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { Progress } from './progress.js';

export interface TrainerParts {
  model: BertForSequenceClassification;
  args: TrainingArguments;
  tokenizer: BertTokenizer;
  trainDataset: LabelledRows;
  evalDataset?: LabelledRows | undefined;
  progress?: Progress;
}

const REMEDY =
  'Make the model for the data: BertForSequenceClassification.fromPretrained(model, data.task), or fromConfig.';

/** @throws UsageError for parts that do not fit together */
export function requirePartsFit({ args, model, trainDataset, evalDataset }: TrainerParts): void {
  const { task } = model;
  if (args.evalStrategy !== 'no' && evalDataset === undefined)
    throw new UsageError(`evalStrategy is '${args.evalStrategy}' but there are no rows to evaluate on`);
  const { problemType, labels: labelList } = task;
  const [misfit] = lossProblems({ ...args, problemType, labelList }, (name) => name);
  if (misfit !== undefined) throw new UsageError(misfit.message);
  requireTaskFits(task, trainDataset, 'training data', REMEDY);
  if (evalDataset !== undefined) requireTaskFits(task, evalDataset, 'evaluation data', REMEDY);
}
