// When a run logs, evaluates and saves: HF's DefaultFlowCallback as a pure function of the step.
import type { TrainingArguments } from '../config/index.js';
import type { TrainerControl } from './callbacks.js';
import type { RunPlan } from './settings.js';

export type Due = Omit<TrainerControl, 'shouldTrainingStop'>;

/** What is due after `step` optimizer steps. With the save strategy `best` the evaluation decides about saving. */
export function dueAfter(step: number, args: TrainingArguments, plan: RunPlan, endsEpoch: boolean): Due {
  const isLast = step === plan.totalSteps;
  const isDue = (strategy: string, every: number): boolean =>
    (strategy === 'steps' && step % every === 0) || (strategy === 'epoch' && endsEpoch);
  return {
    shouldLog: (args.loggingFirstStep && step === 1) || isDue(args.loggingStrategy, plan.loggingSteps),
    shouldEvaluate:
      !isDelayed(step, args, plan) &&
      (isDue(args.evalStrategy, plan.evalSteps) || (isLast && args.evalStrategy === 'steps')),
    shouldSave: isDue(args.saveStrategy, plan.saveSteps) || (isLast && args.saveStrategy === 'steps'),
  };
}

/** HF's `eval_delay`: in the unit of the strategy, steps or epochs. */
function isDelayed(step: number, { evalStrategy, evalDelay }: TrainingArguments, plan: RunPlan): boolean {
  return (evalStrategy === 'epoch' ? step / plan.stepsPerEpoch : step) < evalDelay;
}
