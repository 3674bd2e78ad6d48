// The moments of a training at which other code may look on or step in: HF's TrainerCallback, and its EarlyStoppingCallback.
import { z } from 'zod';

import type { EncoderModel } from '../models/encoder-model.js';
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { Metrics } from '../evaluation/evaluate.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { bestMetric, isBetter, type LogEntry, type TrainerState } from './state.js';

/**
 * What is to happen next; HF's TrainerControl. A callback sets a flag to ask for it, or clears it to prevent it; of several processes
 * one is enough to ask, and all must clear it.
 *
 * @example
 * ```ts
 * import type { TrainerCallback, TrainerControl } from 'bertune';
 *
 * function finish(control: TrainerControl): void {
 *   control.shouldSave = control.shouldTrainingStop = true;
 * }
 * const afterAnHour: TrainerCallback = {
 *   onStepEnd: ({ control }) => (performance.now() > 3_600_000 ? finish(control) : undefined),
 * };
 * ```
 */
export interface TrainerControl {
  shouldLog: boolean;
  shouldEvaluate: boolean;
  shouldSave: boolean;
  /** Ends the training after this step, as if it had been the last. */
  shouldTrainingStop: boolean;
}

/** Nothing is due. */
export function newControl(): TrainerControl {
  return { shouldLog: false, shouldEvaluate: false, shouldSave: false, shouldTrainingStop: false };
}

/**
 * What every callback is given.
 *
 * @example
 * ```ts
 * import type { TrainerEvent } from 'bertune';
 *
 * const progressOf = ({ state }: TrainerEvent): string => `${state.global_step} of ${state.max_steps}`;
 * ```
 */
export interface TrainerEvent {
  readonly args: TrainingArguments;
  /** To be read only. */
  readonly state: TrainerState;
  readonly control: TrainerControl;
  readonly model: EncoderModel;
  readonly tokenizer: BertTokenizer;
}

type Handler<Extra = unknown> = (event: TrainerEvent & Extra) => void | Promise<void>;

/**
 * Called by a Trainer, in the order of `TrainerParts.callbacks`, and waited for. What one throws ends the training.
 *
 * The native steps run behind: at `onStepEnd` a step has been handed over but may not be done. It is before `onLog`,
 * `onEvaluate`, `onSave` and `onTrainEnd`.
 *
 * Of several processes (`TrainerParts.world`) each calls its own callbacks at the same moments, but for `onSave`, which rank 0 calls. They
 * may differ from process to process, as where only rank 0 shows something or writes a file, and so may the flags that they set: what one
 * process asks for all do, and what is due they leave out only if all clear it. They must not change weights or `state`, in one process
 * or in all, and a call of `world` must be made in all of them. What is logged has the same losses and metrics everywhere, and times
 * that differ. What `saveState` gives in rank 0 is saved, and restored in all. One that throws ends all processes.
 *
 * @example
 * ```ts
 * import type { TrainerCallback } from 'bertune';
 *
 * const goodEnough: TrainerCallback = {
 *   onEvaluate({ metrics, control }) {
 *     if ((metrics['eval_accuracy'] ?? 0) > 0.95) control.shouldTrainingStop = true;
 *   },
 * };
 * ```
 */
export interface TrainerCallback {
  onTrainBegin?: Handler;
  onEpochBegin?: Handler;
  onStepBegin?: Handler;
  /** After each optimizer step; flags that are due by the options are already set. */
  onStepEnd?: Handler;
  onEpochEnd?: Handler;
  /** `metrics` by HF's names, e.g. `eval_loss`. */
  onEvaluate?: Handler<{ readonly metrics: Metrics }>;
  /** `folder` is the checkpoint just written. */
  onSave?: Handler<{ readonly folder: string }>;
  /** `logs` is the entry just added to the log history. */
  onLog?: Handler<{ readonly logs: LogEntry }>;
  /** The model is the one that the training ends with: with `loadBestModelAtEnd` the best. */
  onTrainEnd?: Handler;

  /** Names the callback's state in a checkpoint; needed with `saveState`. */
  readonly name?: string;
  /** What a resumed run needs to continue as if it had not stopped; anything that JSON can hold. */
  saveState?(): unknown;
  /** Takes back what `saveState` gave. Called before `onTrainBegin`; a UsageError names what is wrong with a state. */
  restoreState?(state: unknown): void;
}

/** The events by name, and what each is given. */
type EventName = Extract<keyof TrainerCallback, `on${string}`>;
type EventOf<E extends EventName> = Parameters<NonNullable<TrainerCallback[E]>>[0];

/** All callbacks of one Trainer. */
export class CallbackList {
  readonly #callbacks: readonly TrainerCallback[];

  constructor(callbacks: readonly TrainerCallback[]) {
    requireOwnNames(callbacks);
    this.#callbacks = callbacks;
  }

  async call<E extends EventName>(name: E, event: EventOf<E>): Promise<void> {
    for (const callback of this.#callbacks) {
      // The compiler cannot follow that `event` is what this very handler takes.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const handler = callback[name] as ((event: EventOf<E>) => void | Promise<void>) | undefined;
      await handler?.call(callback, event);
    }
  }

  /** The states of the callbacks that have one, by name, for trainer_state.json. */
  states(): Record<string, unknown> {
    const states: Record<string, unknown> = {};
    for (const callback of this.#callbacks)
      if (callback.name !== undefined && callback.saveState !== undefined)
        states[callback.name] = callback.saveState();
    return states;
  }

  /**
   * @param file where the states come from, for messages
   * @throws UsageError naming the file and the callback that cannot use it
   */
  restore(states: Readonly<Record<string, unknown>>, file: string): void {
    for (const callback of this.#callbacks) {
      const { name } = callback;
      if (name === undefined || !Object.hasOwn(states, name)) continue;
      try {
        callback.restoreState?.(states[name]);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        const fault = `${file} is damaged: the state of ${name}: ${error.message}`;
        throw new UsageError(`${fault}. Resume from an earlier checkpoint.`, { cause: error });
      }
    }
  }
}

/** @throws UsageError for a state that would be lost, or mixed up with another's */
function requireOwnNames(callbacks: readonly TrainerCallback[]): void {
  const names = new Set<string>();
  for (const callback of callbacks) {
    if (callback.saveState === undefined) continue;
    const { name } = callback;
    if (name === undefined)
      throw new UsageError('A callback with saveState needs a name, under which its state is saved');
    if (names.has(name))
      throw new UsageError(`Two callbacks are called ${name}: their states would be mixed up`);
    names.add(name);
  }
}

const earlyStoppingState = z.object({
  attributes: z.object({
    early_stopping_patience_counter: z.int().nonnegative(),
    best_metric: z.number().nullable(),
  }),
});

/**
 * Counts evaluations without an improvement of more than `threshold` and stops at `patience` of them. Unlike HF, the
 * count always survives a resume, and a run that had stopped stays stopped.
 *
 * @example
 * ```ts
 * import { EarlyStoppingCallback, trainingArguments } from 'bertune';
 *
 * const callbacks = [new EarlyStoppingCallback({ patience: 3, threshold: 0.001 })];
 * const args = trainingArguments({
 *   outputDir: 'out',
 *   evalStrategy: 'epoch',
 *   saveStrategy: 'epoch',
 *   metricForBestModel: 'accuracy',
 * });
 * ```
 */
export class EarlyStoppingCallback implements TrainerCallback {
  readonly name = 'EarlyStoppingCallback';
  readonly #patience: number;
  readonly #threshold: number;
  #count = 0;
  #best: number | null = null;

  /**
   * @param options as HF's, without `early_stopping_`
   * @param options.patience evaluations without an improvement, HF's `early_stopping_patience`
   * @param options.threshold an improvement of this or less does not count, HF's `early_stopping_threshold`
   */
  constructor({ patience = 1, threshold = 0 }: { patience?: number; threshold?: number } = {}) {
    this.#patience = patience;
    this.#threshold = threshold;
  }

  onTrainBegin({ control }: TrainerEvent): void {
    if (this.#count >= this.#patience) control.shouldTrainingStop = true;
  }

  onEvaluate({ args, state, control, metrics }: TrainerEvent & { metrics: Metrics }): void {
    if (state.global_step === 0) return; // as in HF, what was before the training is nothing to compare with
    const { key, greaterIsBetter } = bestMetric(args);
    const value = metrics[key] ?? Number.NaN; // an unknown name has been refused when the best was looked for
    const improves = isBetter(value, this.#best, greaterIsBetter);
    const isEnough = this.#best === null || Math.abs(value - this.#best) > this.#threshold;
    this.#count = improves && isEnough ? 0 : this.#count + 1;
    if (improves) this.#best = value;
    if (this.#count >= this.#patience) control.shouldTrainingStop = true;
  }

  /** In the shape of HF's trainer_state.json. */
  saveState(): z.infer<typeof earlyStoppingState> & { args: object } {
    return {
      args: { early_stopping_patience: this.#patience, early_stopping_threshold: this.#threshold },
      attributes: { early_stopping_patience_counter: this.#count, best_metric: this.#best },
    };
  }

  /** @throws UsageError naming what is wrong with the state */
  restoreState(state: unknown): void {
    const { data, error } = earlyStoppingState.safeParse(state);
    if (data === undefined) {
      const [issue] = error.issues;
      throw new UsageError(`${issue?.path.join('.') || 'its content'}: ${issue?.message}`);
    }
    this.#count = data.attributes.early_stopping_patience_counter;
    this.#best = data.attributes.best_metric;
  }
}
