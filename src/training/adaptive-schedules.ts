// The schedules that go by the metric of each evaluation, as pure functions from one state to the next.
import { greedyMinLr, type AdaptiveType, type SchedulerKwargs } from '../options/index.js';

/** What a schedule remembers between evaluations; a checkpoint holds it as JSON. */
export interface AdaptiveState {
  /** The learning rate until the next evaluation. */
  rate: number;
  /** null before the first evaluation that counts. */
  best: number | null;
  badEvaluations: number;
  goodEvaluations: number;
  cooldownLeft: number;
  warmupLeft: number;
  /** Evaluations at the lowest rate until `greedy` starts over. */
  resetLeft: number;
  /** The last metrics and their sum, of which `greedy` takes the mean when it smooths. */
  recent: readonly number[];
  recentSum: number;
}

/** The arguments of a schedule and the learning rate that it starts from. */
export interface AdaptiveSettings extends SchedulerKwargs {
  peak: number;
}

/** Every adaptive schedule: the state after an evaluation. Both take `mode`, which the Trainer always gives. */
const after: Record<
  AdaptiveType,
  (state: AdaptiveState, metric: number, o: AdaptiveSettings) => AdaptiveState
> = {
  reduce_lr_on_plateau: plateauAfter,
  greedy: greedyAfter,
};

/** HF's default of GreedyLR's `reset_start`. */
const RESET_START = 500;

/** The state before the first evaluation. */
export function initialAdaptiveState({ peak, resetStart = RESET_START }: AdaptiveSettings): AdaptiveState {
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

/** The state after an evaluation with this metric. */
export function adaptiveStateAfter(
  type: AdaptiveType,
  state: AdaptiveState,
  metric: number,
  settings: AdaptiveSettings,
): AdaptiveState {
  return after[type](state, metric, settings);
}

/** torch.optim.lr_scheduler.ReduceLROnPlateau, step() */
function plateauAfter(state: AdaptiveState, metric: number, o: AdaptiveSettings): AdaptiveState {
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
function greedyAfter(before: AdaptiveState, metric: number, o: AdaptiveSettings): AdaptiveState {
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
  state: AdaptiveState,
  metric: number,
  { windowSize = 50 }: AdaptiveSettings,
): { state: AdaptiveState; value: number } {
  const recent = [...state.recent, metric];
  let recentSum = state.recentSum + metric;
  if (recent.length > windowSize) recentSum -= recent.shift() ?? 0;
  return { state: { ...state, recent, recentSum }, value: recentSum / recent.length };
}

function raised(state: AdaptiveState, o: AdaptiveSettings): AdaptiveState {
  const { factor = 0.95, maxLr = 1, eps = 1e-8, resetStart = RESET_START } = o;
  const higher = Math.min(state.rate / factor, maxLr);
  return { ...state, rate: higher - state.rate > eps ? higher : state.rate, resetLeft: resetStart };
}

function lowered(state: AdaptiveState, o: AdaptiveSettings): AdaptiveState {
  const { factor = 0.95, minLr = greedyMinLr, eps = 1e-8 } = o;
  const lower = Math.max(state.rate * factor, minLr);
  const rate = state.rate - lower > eps ? lower : state.rate;
  if (rate > minLr) return { ...state, rate };
  return state.resetLeft > 1 ? { ...state, rate, resetLeft: state.resetLeft - 1 } : initialAdaptiveState(o);
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
