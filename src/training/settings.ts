// What a training run is asked for, resolved into steps.
import { parseTrainingArguments, type TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { trainingLength, type TrainingLength } from './order.js';
import { resolveSteps } from './schedule.js';
import { initialState, type TrainerState } from './state.js';

/**
 * Completes and checks the arguments of a Trainer, as `TrainingArguments(...)` in Python.
 *
 * @param values options by HF's names in any case: `{ outputDir: 'out', numTrainEpochs: 3 }`
 * @throws UsageError naming each unknown option, wrong value and contradiction
 */
export function trainingArguments(
  values: Partial<TrainingArguments> & Pick<TrainingArguments, 'outputDir'>,
): TrainingArguments {
  const { options, notes } = parseTrainingArguments(values);
  for (const note of notes) process.emitWarning(note, 'TrainingArguments');
  return options;
}

/** The lengths of a run and when it logs, evaluates and saves, all in optimizer steps. */
export interface RunPlan extends TrainingLength {
  epochs: number;
  loggingSteps: number;
  evalSteps: number;
  saveSteps: number;
}

/** Resolves shares and epochs into steps. @throws UsageError when there is nothing to train on */
export function planRun(args: TrainingArguments, rows: number): RunPlan {
  if (rows === 0) throw new UsageError('There are no training rows');
  const length = trainingLength({
    size: rows,
    batchSize: args.perDeviceTrainBatchSize,
    accumulation: args.gradientAccumulationSteps,
    epochs: args.numTrainEpochs,
    maxSteps: args.maxSteps,
  });
  const { totalSteps, stepsPerEpoch } = length;
  const loggingSteps = resolveSteps(args.loggingSteps, totalSteps);
  return {
    ...length,
    epochs: args.maxSteps > 0 ? Math.ceil(totalSteps / stepsPerEpoch) : args.numTrainEpochs,
    loggingSteps,
    evalSteps: args.evalSteps === undefined ? loggingSteps : resolveSteps(args.evalSteps, totalSteps),
    saveSteps: resolveSteps(args.saveSteps, totalSteps),
  };
}

/** The state of a run that has not begun. */
export function stateOf(args: TrainingArguments, plan: RunPlan): TrainerState {
  return initialState({
    eval_steps: plan.evalSteps,
    logging_steps: plan.loggingSteps,
    save_steps: plan.saveSteps,
    max_steps: plan.totalSteps,
    num_train_epochs: Math.ceil(plan.epochs),
    train_batch_size: args.perDeviceTrainBatchSize,
  });
}
