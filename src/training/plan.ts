// A run in numbers before it starts: how many steps it has, and when it logs, evaluates and saves. Pure functions of the
// arguments and the number of rows, counted as HF's Trainer counts.
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { TrainerControl } from './callbacks.js';
import { bestMetric, initialState, type TrainerState } from './state.js';

/** How long a training is, in optimizer steps. */
export interface TrainingLength {
  batchesPerEpoch: number;
  stepsPerEpoch: number;
  totalSteps: number;
}

/** The length of a run and when it logs, evaluates and saves, all in optimizer steps. */
export interface RunPlan extends TrainingLength {
  epochs: number;
  loggingSteps: number;
  evalSteps: number;
  saveSteps: number;
}

/** Resolves shares and epochs into steps. @throws UsageError when there is nothing to train on */
export function planRun(args: TrainingArguments, rows: number, processes = 1): RunPlan {
  if (rows === 0) throw new UsageError('There are no training rows');
  const length = trainingLength({
    size: rows,
    batchSize: args.perDeviceTrainBatchSize * processes,
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

/** The state of a run before its first step. */
export function plannedState(args: TrainingArguments, plan: RunPlan): TrainerState {
  return initialState({
    eval_steps: plan.evalSteps,
    logging_steps: plan.loggingSteps,
    save_steps: plan.saveSteps,
    max_steps: plan.totalSteps,
    num_train_epochs: Math.ceil(plan.epochs),
    train_batch_size: args.perDeviceTrainBatchSize,
  });
}

/** `maxSteps` above 0 wins over `epochs`, which may be a fraction. */
export function trainingLength(options: {
  size: number;
  batchSize: number;
  accumulation: number;
  epochs: number;
  maxSteps: number;
}): TrainingLength {
  const batchesPerEpoch = Math.ceil(options.size / options.batchSize);
  const stepsPerEpoch = Math.max(Math.ceil(batchesPerEpoch / options.accumulation), 1);
  const totalSteps = options.maxSteps > 0 ? options.maxSteps : Math.ceil(options.epochs * stepsPerEpoch);
  return { batchesPerEpoch, stepsPerEpoch, totalSteps };
}

/** How many epochs are done after some optimizer steps. As in HF batches count, and the last step may have fewer. */
export function epochAfter(
  steps: number,
  { batchesPerEpoch, stepsPerEpoch }: TrainingLength,
  accumulation: number,
): number {
  const whole = Math.floor(steps / stepsPerEpoch);
  return whole + ((steps % stepsPerEpoch) * accumulation) / batchesPerEpoch;
}

/**
 * HF's reading of a number of steps (`warmup_steps`, `eval_steps`, `save_steps`, `logging_steps`): from 1 up it is
 * steps; below 1 a share of all steps, rounded up.
 */
export function resolveSteps(stepsOrShare: number, totalSteps: number): number {
  return stepsOrShare >= 1 ? Math.trunc(stepsOrShare) : Math.ceil(totalSteps * stepsOrShare);
}

/** HF's DefaultFlowCallback: what is due after a step or an epoch, beside the requests of callbacks. */
export type Due = Omit<TrainerControl, 'shouldTrainingStop'>;

/** Adds what is due to what callbacks have requested. */
export function request(control: TrainerControl, due: Due): void {
  control.shouldLog ||= due.shouldLog;
  control.shouldEvaluate ||= due.shouldEvaluate;
  control.shouldSave ||= due.shouldSave;
}

/** What is due after `step` optimizer steps, before the epoch ends. */
export function dueAfterStep(step: number, args: TrainingArguments, plan: RunPlan): Due {
  const isLast = step === plan.totalSteps;
  const isDue = (strategy: string, every: number, always: boolean): boolean =>
    strategy === 'steps' && (step % every === 0 || always);
  return {
    shouldLog: (args.loggingFirstStep && step === 1) || isDue(args.loggingStrategy, plan.loggingSteps, false),
    shouldEvaluate: step >= args.evalDelay && isDue(args.evalStrategy, plan.evalSteps, isLast),
    shouldSave: isDue(args.saveStrategy, plan.saveSteps, isLast),
  };
}

/** What is due at the end of an epoch. With the save strategy `best` the evaluation decides about saving. */
export function dueAfterEpoch(epoch: number, args: TrainingArguments): Due {
  return {
    shouldLog: args.loggingStrategy === 'epoch',
    shouldEvaluate: args.evalStrategy === 'epoch' && epoch >= args.evalDelay,
    shouldSave: args.saveStrategy === 'epoch',
  };
}

/** Why a training ended before its last step. */
export function earlyEndNote(
  { global_step: step, log_history: history }: TrainerState,
  args: TrainingArguments,
  { totalSteps }: RunPlan,
): string {
  const { earlyStoppingPatience: patience } = args;
  const reason =
    patience === undefined
      ? 'a callback requested it'
      : `${withoutImprovement(args, patience, history)} for as long as earlyStoppingPatience ${patience} allows, or a callback requested it`;
  return `Stopped at step ${step} of ${totalSteps}: ${reason}`;
}

function withoutImprovement(
  args: TrainingArguments,
  patience: number,
  history: TrainerState['log_history'],
): string {
  const { metricForBestModel: metric = 'loss', earlyStoppingThreshold: threshold } = args;
  const values = history.flatMap((entry) => entry[bestMetric(args).key] ?? []).slice(-patience);
  if (values.length > 0 && values.every(Number.isNaN))
    return `${metric} was not defined for the validation rows`;
  return `${metric} had not improved${threshold > 0 ? ` by more than ${threshold}` : ''}`;
}
