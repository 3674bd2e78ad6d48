// The learning rate of every optimizer step, as a pure function of the step.
import type { PlannedType, SchedulerKwargs } from '../options/index.js';
import { phases } from './schedules.js';

/** A schedule of one run, with its lengths in optimizer steps. */
export interface Schedule {
  readonly type: PlannedType;
  /** What the schedule takes beyond its lengths, HF's `lr_scheduler_kwargs`; HF's defaults stand for what is left out. */
  readonly kwargs?: SchedulerKwargs;
  /** The learning rate at the end of warmup. */
  readonly peak: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * The learning rate with which optimizer step `step` updates the weights. Equal to transformers' `get_scheduler`.
 *
 * @param step steps taken before this one: 0 for the first, which with warmup has the rate 0 in most schedules
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, peak, warmupSteps } = schedule;
  const { warmup, main } = phases[type];
  const share = warmup !== undefined && step < warmupSteps ? warmup : main;
  return peak * Math.max(0, share(step, schedule));
}

/**
 * HF's reading of a number of steps (`warmup_steps`, `eval_steps`, `save_steps`, `logging_steps`): from 1 up it is
 * steps; below 1 a share of all steps, rounded up.
 */
export function resolveSteps(stepsOrShare: number, totalSteps: number): number {
  return stepsOrShare >= 1 ? Math.trunc(stepsOrShare) : Math.ceil(totalSteps * stepsOrShare);
}
