// The learning-rate schedules that follow the metric of each evaluation, as pure functions from one state to the next.
import { z } from 'zod';

import {
  greedyMinLr,
  type AdaptiveType,
  type SchedulerKwargs,
  type TrainingArguments,
} from '../options/index.js';
import { bestMetric, count, numberOrNaN } from './state.js';

/** What a schedule remembers between evaluations, as a checkpoint holds it. */
export const metricScheduleState = z.object({
  /** The learning rate until the next evaluation. */
  rate: z.number().nonnegative(),
  /** null before the first evaluation that counts. */
  best: z.number().nullable(),
  badEvaluations: count,
  goodEvaluations: count,
  cooldownLeft: count,
  warmupLeft: count,
  /** Evaluations at the lowest rate until `greedy` starts over. */
  resetLeft: count,
  /** The last metrics and their sum, of which `greedy` takes the mean when it smooths. */
  recent: z.array(numberOrNaN).readonly(),
  recentSum: numberOrNaN,
});
export type MetricScheduleState = z.output<typeof metricScheduleState>;

/** The arguments of a schedule and the learning rate that it starts from. */
interface MetricScheduleSettings extends SchedulerKwargs {
  peak: number;
}

/**
 * Follows the metric for the best model. HF lets `mode` be `min` even where a greater metric is better; here it follows
 * the metric unless it is given.
 */
export class MetricLearningRate {
  state: MetricScheduleState;
  readonly #type: AdaptiveType;
  readonly #key: string;
  readonly #settings: MetricScheduleSettings;

  constructor(args: TrainingArguments, type: AdaptiveType) {
    const { key, greaterIsBetter } = bestMetric(args);
    this.#type = type;
    this.#key = key;
    this.#settings = {
      mode: greaterIsBetter ? 'max' : 'min',
      ...args.lrSchedulerKwargs,
      peak: args.learningRate,
    };
    this.state = initialState(this.#settings);
  }

  /** @param state as JSON has it, null for none */
  restore(state: z.input<typeof metricScheduleState> | null): void {
    if (state !== null) this.state = metricScheduleState.parse(state);
  }

  at(): number {
    return this.state.rate;
  }

  evaluated(metrics: Readonly<Record<string, number>>): void {
    const metric = metrics[this.#key] ?? Number.NaN;
    this.state = after[this.#type](this.state, metric, this.#settings);
  }
}

/** Every schedule: the state after an evaluation. Both take `mode`, which the Trainer always gives. */
const after: Record<
  AdaptiveType,
  (state: MetricScheduleState, metric: number, o: MetricScheduleSettings) => MetricScheduleState
> = {
  reduce_lr_on_plateau: plateauAfter,
  greedy: greedyAfter,
};

/** HF's default of GreedyLR's `reset_start`. */
const RESET_START = 500;

/** The state before the first evaluation. */
function initialState({ peak, resetStart = RESET_START }: MetricScheduleSettings): MetricScheduleState {
  return {
    rate: peak,
    best: null,
    badEvaluations: 0,
    goodEvaluations: 0,
    cooldownLeft: 0,
    warmupLeft: 0,
    resetLeft: resetStart,
    recent: [],
    recentSum: 0,
  };
}

/** torch.optim.lr_scheduler.ReduceLROnPlateau, step() */
function plateauAfter(
  state: MetricScheduleState,
  metric: number,
  o: MetricScheduleSettings,
): MetricScheduleState {
  const { patience = 10, cooldown = 0, factor = 0.1, minLr = 0, eps = 1e-8 } = o;
  const improves = isImprovement(metric, state.best, { threshold: 1e-4, thresholdMode: 'rel', ...o });
  const isCooling = state.cooldownLeft > 0;
  const bad = improves || isCooling ? 0 : state.badEvaluations + 1;
  const next = {
    ...state,
    best: improves ? metric : state.best,
    badEvaluations: bad,
    cooldownLeft: isCooling ? state.cooldownLeft - 1 : 0,
  };
  if (bad <= patience) return next;
  const lower = Math.max(state.rate * factor, minLr);
  const rate = state.rate - lower > eps ? lower : state.rate;
  return { ...next, rate, cooldownLeft: cooldown, badEvaluations: 0 };
}

/** transformers' GreedyLR (arXiv 2512.14527), step(): the rate also rises while the metric improves. */
function greedyAfter(
  before: MetricScheduleState,
  metric: number,
  o: MetricScheduleSettings,
): MetricScheduleState {
  const { patience = 10, cooldown = 0, warmup = 0 } = o;
  const { state, value } = o.smooth === true ? smoothed(before, metric, o) : { state: before, value: metric };
  const paused = { ...state, badEvaluations: 0, goodEvaluations: 0 };
  if (state.cooldownLeft > 0) return { ...paused, cooldownLeft: state.cooldownLeft - 1 };
  if (state.warmupLeft > 0) return { ...paused, warmupLeft: state.warmupLeft - 1 };
  const improves = isImprovement(value, state.best, { threshold: 1e-6, thresholdMode: 'abs', ...o });
  const next = {
    ...state,
    best: improves ? value : state.best,
    badEvaluations: improves ? 0 : state.badEvaluations + 1,
    goodEvaluations: improves ? state.goodEvaluations + 1 : 0,
  };
  if (next.goodEvaluations > patience) return { ...raised(next, o), warmupLeft: warmup, goodEvaluations: 0 };
  if (next.badEvaluations > patience)
    return { ...lowered(next, o), cooldownLeft: cooldown, badEvaluations: 0 };
  return next;
}

function smoothed(
  state: MetricScheduleState,
  metric: number,
  { windowSize = 50 }: MetricScheduleSettings,
): { state: MetricScheduleState; value: number } {
  const recent = [...state.recent, metric];
  let recentSum = state.recentSum + metric;
  if (recent.length > windowSize) recentSum -= recent.shift() ?? 0;
  return { state: { ...state, recent, recentSum }, value: recentSum / recent.length };
}

function raised(state: MetricScheduleState, o: MetricScheduleSettings): MetricScheduleState {
  const { factor = 0.95, maxLr = 1, eps = 1e-8, resetStart = RESET_START } = o;
  const higher = Math.min(state.rate / factor, maxLr);
  return { ...state, rate: higher - state.rate > eps ? higher : state.rate, resetLeft: resetStart };
}

function lowered(state: MetricScheduleState, o: MetricScheduleSettings): MetricScheduleState {
  const { factor = 0.95, minLr = greedyMinLr, eps = 1e-8 } = o;
  const lower = Math.max(state.rate * factor, minLr);
  const rate = state.rate - lower > eps ? lower : state.rate;
  if (rate > minLr) return { ...state, rate };
  return state.resetLeft > 1 ? { ...state, rate, resetLeft: state.resetLeft - 1 } : initialState(o);
}

function isImprovement(
  value: number,
  best: number | null,
  { mode, threshold = 0, thresholdMode }: SchedulerKwargs,
): boolean {
  if (best === null) return mode === 'max' ? value > -Infinity : value < Infinity;
  if (mode === 'max') return value > (thresholdMode === 'rel' ? best * (1 + threshold) : best + threshold);
  return value < (thresholdMode === 'rel' ? best * (1 - threshold) : best - threshold);
}
