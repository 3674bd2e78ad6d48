// The learning rate of a run: planned from the first step on, or found from evaluation to evaluation.
import { isAdaptive, type AdaptiveType } from '../options/index.js';
import type { TrainingArguments } from '../options/index.js';
import {
  adaptiveStateAfter,
  initialAdaptiveState,
  type AdaptiveSettings,
  type AdaptiveState,
} from './adaptive-schedules.js';
import { learningRateAt, resolveSteps, type Schedule } from './schedule.js';
import { bestMetric } from './state.js';

/** Gives each optimizer step its learning rate. */
export interface LearningRate {
  /** @param step steps taken before this one */
  at(step: number): number;
  /** Takes note of an evaluation's metrics. @param metrics by HF's names, e.g. `eval_loss` */
  evaluated(metrics: Readonly<Record<string, number>>): void;
  /** What a checkpoint must hold for the run to go on, null for nothing. */
  readonly state: AdaptiveState | null;
  /** Goes on from the state of a checkpoint. */
  restore(state: AdaptiveState | null): void;
}

/** The learning rate that the arguments ask for. */
export function createLearningRate(args: TrainingArguments, totalSteps: number): LearningRate {
  const { lrSchedulerType: type, lrSchedulerKwargs: kwargs = {}, learningRate: peak } = args;
  if (isAdaptive(type)) return new AdaptiveLearningRate(args, type);
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
 * Follows the metric for the best model. HF lets `mode` be `min` even where a greater metric is better; here it follows
 * the metric unless it is given.
 */
class AdaptiveLearningRate implements LearningRate {
  state: AdaptiveState;
  readonly #type: AdaptiveType;
  readonly #key: string;
  readonly #settings: AdaptiveSettings;

  constructor(args: TrainingArguments, type: AdaptiveType) {
    const { key, greaterIsBetter } = bestMetric(args);
    this.#type = type;
    this.#key = key;
    this.#settings = {
      mode: greaterIsBetter ? 'max' : 'min',
      ...args.lrSchedulerKwargs,
      peak: args.learningRate,
    };
    this.state = initialAdaptiveState(this.#settings);
  }

  /** JSON has no NaN: a metric that was not defined comes back as null. */
  restore(state: AdaptiveState | null): void {
    if (state === null) return;
    const { recent, recentSum } = state;
    this.state = { ...state, recent: recent.map(numberOf), recentSum: numberOf(recentSum) };
  }

  at(): number {
    return this.state.rate;
  }

  evaluated(metrics: Readonly<Record<string, number>>): void {
    const metric = metrics[this.#key] ?? Number.NaN;
    this.state = adaptiveStateAfter(this.#type, this.state, metric, this.#settings);
  }
}

function numberOf(value: number | null): number {
  return value ?? Number.NaN;
}
