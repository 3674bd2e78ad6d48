// When a run logs, evaluates and saves: HF's DefaultFlowCallback as pure functions of step and epoch.
import type { TrainingArguments } from '../options/index.js';
import type { TrainerControl } from './callbacks.js';
import type { RunPlan } from './settings.js';

export type Due = Omit<TrainerControl, 'shouldTrainingStop'>;

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
