// The learning rate of every optimizer step, as a pure function of the step.

/** The names of all schedules, as HF's `lr_scheduler_type`. */
export const schedulerTypes = ['linear', 'cosine', 'constant', 'constant_with_warmup'] as const;
export type SchedulerType = (typeof schedulerTypes)[number];

/** A schedule of one run, with its lengths in optimizer steps. */
export interface Schedule {
  readonly type: SchedulerType;
  /** The learning rate at the end of warmup. */
  readonly peak: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * What follows warmup: the share of the peak at a step. A further schedule is a further row; what it needs beyond the
 * lengths becomes a field of `Schedule`. Each row computes in the order of its namesake in transformers'
 * optimization.py, so that the values are the same to the last bits.
 */
const shares: Record<SchedulerType, (step: number, schedule: Schedule) => number> = {
  linear: (step, { totalSteps, warmupSteps }) => (totalSteps - step) / Math.max(1, totalSteps - warmupSteps),
  cosine: (step, schedule) => 0.5 * (1 + Math.cos(Math.PI * 0.5 * 2 * progress(step, schedule))),
  constant: () => 1,
  constant_with_warmup: () => 1,
};

/**
 * The learning rate with which optimizer step `step` updates the weights. Equal to transformers' `get_scheduler`.
 *
 * @param step steps taken before this one: 0 for the first, which with warmup has the rate 0
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, peak, warmupSteps } = schedule;
  const warms = type !== 'constant' && step < warmupSteps;
  const share = warms ? step / Math.max(1, warmupSteps) : shares[type](step, schedule);
  return peak * Math.max(0, share);
}

/**
 * HF's reading of a number of steps (`warmup_steps`, `eval_steps`, `save_steps`, `logging_steps`): from 1 up it is
 * steps; below 1 a share of all steps, rounded up.
 */
export function resolveSteps(stepsOrShare: number, totalSteps: number): number {
  return stepsOrShare >= 1 ? Math.trunc(stepsOrShare) : Math.ceil(totalSteps * stepsOrShare);
}

function progress(step: number, { totalSteps, warmupSteps }: Schedule): number {
  return (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
}
