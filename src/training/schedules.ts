// The learning rate of every optimizer step. Each formula computes in the order of its namesake in transformers'
// optimization.py, so that the values are the same to the last bits. Schedules that follow a metric: metric-schedules.ts.
import {
  defaultLrEnd,
  isAdaptive,
  type PlannedType,
  type SchedulerKwargs,
  type TrainingArguments,
} from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { MetricLearningRate, type MetricScheduleState } from './metric-schedules.js';
import { resolveSteps } from './plan.js';

/** Gives each optimizer step its learning rate. */
export interface LearningRate {
  /** @param step steps taken before this one */
  at(step: number): number;
  /** To be called after an evaluation. @param metrics by HF's names, e.g. `eval_loss` */
  evaluated(metrics: Readonly<Record<string, number>>): void;
  /** What a checkpoint must hold for the run to be resumed, null for nothing. */
  readonly state: MetricScheduleState | null;
  /** Takes the state of a checkpoint back. */
  restore(state: MetricScheduleState | null): void;
}

/** The learning rate that the arguments ask for. */
export function createLearningRate(args: TrainingArguments, totalSteps: number): LearningRate {
  const { lrSchedulerType: type, lrSchedulerKwargs: kwargs = {}, learningRate: peak } = args;
  if (isAdaptive(type)) return new MetricLearningRate(args, type);
  const warmupSteps = resolveSteps(args.warmupSteps, totalSteps);
  const schedule: Schedule = { type, kwargs, peak, warmupSteps, totalSteps };
  return {
    at: (step) => learningRateAt(step, schedule),
    evaluated: () => undefined,
    state: null,
    restore: () => undefined,
  };
}

/**
 * A schedule of one run, with its lengths in optimizer steps.
 *
 * @example
 * ```ts
 * import type { Schedule } from 'bertune';
 *
 * const schedule: Schedule = { type: 'cosine', peak: 2e-5, warmupSteps: 0, totalSteps: 500 };
 * ```
 */
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
 *
 * @example
 * ```ts
 * import { learningRateAt } from 'bertune';
 *
 * const schedule = { type: 'linear', peak: 5e-5, warmupSteps: 100, totalSteps: 1000 } as const;
 * console.log(learningRateAt(550, schedule)); // 2.5e-5
 * ```
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, peak, warmupSteps } = schedule;
  const { warmup, main } = phases[type];
  const share = warmup !== undefined && step < warmupSteps ? warmup : main;
  return peak * Math.max(0, share(step, schedule));
}

/** The share of the peak at a step. */
type Share = (step: number, schedule: Schedule) => number;

/** The parts of a schedule; one without a warmup follows `main` from its first step. */
interface Phases {
  readonly warmup?: Share;
  readonly main: Share;
}

/** Every schedule that follows from the step. A further one is a further row here; its name and arguments stand in options/schedulers.ts. */
const phases: Record<PlannedType, Phases> = {
  linear: { warmup: linearWarmup, main: linear },
  cosine: { warmup: linearWarmup, main: cosine },
  cosine_with_restarts: { warmup: linearWarmup, main: cosineWithRestarts },
  polynomial: { warmup: linearWarmup, main: polynomial },
  constant: { main: () => 1 },
  constant_with_warmup: { warmup: linearWarmup, main: () => 1 },
  inverse_sqrt: { warmup: linearWarmup, main: inverseSqrt },
  cosine_with_min_lr: { warmup: linearWarmup, main: cosineWithMinLr },
  cosine_warmup_with_min_lr: { warmup: warmupFromRate, main: cosineWithMinLrAhead },
  warmup_stable_decay: { warmup: shapedWarmup, main: stableDecay },
  slanted_triangular: { main: slantedTriangular },
};

function linearWarmup(step: number, { warmupSteps }: Schedule): number {
  return step / Math.max(1, warmupSteps);
}

function linear(step: number, { totalSteps, warmupSteps }: Schedule): number {
  return (totalSteps - step) / Math.max(1, totalSteps - warmupSteps);
}

function cosine(step: number, schedule: Schedule): number {
  return cosineWave(progress(step, schedule), schedule);
}

function cosineWithRestarts(step: number, schedule: Schedule): number {
  const done = progress(step, schedule);
  const { numCycles = 1 } = schedule.kwargs ?? {};
  return done >= 1 ? 0 : 0.5 * (1 + Math.cos(Math.PI * ((numCycles * done) % 1)));
}

function polynomial(step: number, { kwargs = {}, peak, totalSteps, warmupSteps }: Schedule): number {
  const { lrEnd = defaultLrEnd, power = 1 } = kwargs;
  const decaySteps = totalSteps - warmupSteps;
  // HF divides by zero when warmup is the whole run; there is nothing left of a decay.
  if (step > totalSteps || decaySteps === 0) return lrEnd / peak;
  const remaining = 1 - (step - warmupSteps) / decaySteps;
  return ((peak - lrEnd) * remaining ** power + lrEnd) / peak;
}

function inverseSqrt(step: number, { kwargs = {}, warmupSteps }: Schedule): number {
  const { timescale = warmupSteps || 10_000 } = kwargs;
  const shift = timescale - warmupSteps;
  return 1 / Math.sqrt((step + shift) / timescale);
}

function cosineWithMinLr(step: number, schedule: Schedule): number {
  return raised(cosineWave(progress(step, schedule), schedule), minLrRate(schedule));
}

/** One step ahead of `cosineWithMinLr`, so that the last step of a run has the lowest rate. */
function cosineWithMinLrAhead(step: number, schedule: Schedule): number {
  return cosineWithMinLr(step + 1, schedule);
}

/** Does not start at 0, unlike `linearWarmup`. */
function warmupFromRate(step: number, { kwargs = {}, warmupSteps }: Schedule): number {
  const { warmupLrRate: rate } = kwargs;
  if (rate === undefined) return (step + 1) / Math.max(1, warmupSteps);
  return rate + ((1 - rate) * step) / Math.max(1, warmupSteps - 1);
}

function shapedWarmup(step: number, schedule: Schedule): number {
  const { warmupType = 'linear', minLrRatio = 0 } = schedule.kwargs ?? {};
  const done = linearWarmup(step, schedule);
  const shapes = {
    linear: () => done,
    cosine: () => 0.5 * (1 - Math.cos(Math.PI * done)),
    '1-sqrt': () => 1 - Math.sqrt(1 - done),
  };
  return raised(shapes[warmupType](), minLrRatio);
}

function stableDecay(step: number, schedule: Schedule): number {
  const { warmupSteps, totalSteps, kwargs = {} } = schedule;
  const { decayType = 'cosine', minLrRatio = 0 } = kwargs;
  const decaySteps = needed(kwargs.numDecaySteps, 'numDecaySteps');
  const stableSteps = kwargs.numStableSteps ?? totalSteps - warmupSteps - decaySteps;
  if (step < warmupSteps + stableSteps) return 1;
  if (step >= warmupSteps + stableSteps + decaySteps) return minLrRatio;
  const done = (step - warmupSteps - stableSteps) / Math.max(1, decaySteps);
  const shapes = {
    linear: () => 1 - done,
    cosine: () => cosineWave(done, schedule),
    '1-sqrt': () => 1 - Math.sqrt(done),
  };
  return raised(shapes[decayType](), minLrRatio);
}

/**
 * Howard and Ruder 2018 (ULMFiT), equation 3: up to the peak over the first `cutFrac` of the steps, down over the
 * rest, from and to the peak divided by `ratio`. The paper rounds the steps of the rise down, which shortens the fall
 * with them: where that ends before the run does, the rate stays at its lowest, and a short run rises for one step.
 */
function slantedTriangular(step: number, { kwargs = {}, totalSteps }: Schedule): number {
  const { cutFrac = 0.1, ratio = 32 } = kwargs;
  const cut = Math.max(1, Math.floor(totalSteps * cutFrac));
  const height = step < cut ? step / cut : 1 - (step - cut) / (cut * (1 / cutFrac - 1));
  return (1 + Math.max(0, height) * (ratio - 1)) / ratio;
}

function progress(step: number, { totalSteps, warmupSteps }: Schedule): number {
  return (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
}

/** From 1 down to 0 and up again, `numCycles` times; the half cycle of the default only falls. */
function cosineWave(done: number, { kwargs = {} }: Schedule): number {
  const { numCycles = 0.5 } = kwargs;
  return 0.5 * (1 + Math.cos(Math.PI * numCycles * 2 * done));
}

/** A share from 0 to 1 mapped to one from `lowest` to 1. */
function raised(share: number, lowest: number): number {
  return share * (1 - lowest) + lowest;
}

function minLrRate({ kwargs = {}, peak }: Schedule): number {
  return kwargs.minLrRate ?? needed(kwargs.minLr, 'minLr or minLrRate') / peak;
}

/** Options are checked before they come here; this is for a script that calls `learningRateAt` itself. */
function needed(value: number | undefined, name: string): number {
  if (value === undefined) throw new UsageError(`The schedule needs ${name} in kwargs`);
  return value;
}
