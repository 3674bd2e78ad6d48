// Ends a training whose metric no longer improves: HF's EarlyStoppingCallback.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import type { TrainerCallback, TrainerEvent } from './callbacks.js';
import { bestMetric, isBetter } from './state.js';
import type { Metrics } from '../evaluation/evaluate.js';

const savedState = z.object({
  attributes: z.object({
    early_stopping_patience_counter: z.int().nonnegative(),
    best_metric: z.number().nullable(),
  }),
});

/**
 * Counts evaluations without an improvement of more than `threshold` and stops at `patience` of them. Unlike HF, the
 * count always survives a resume, and a run that had stopped stays stopped.
 */
export class EarlyStoppingCallback implements TrainerCallback {
  readonly name = 'EarlyStoppingCallback';
  readonly #patience: number;
  readonly #threshold: number;
  #count = 0;
  #best: number | null = null;

  /**
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
  saveState(): z.infer<typeof savedState> & { args: object } {
    return {
      args: { early_stopping_patience: this.#patience, early_stopping_threshold: this.#threshold },
      attributes: { early_stopping_patience_counter: this.#count, best_metric: this.#best },
    };
  }

  /** @throws UsageError naming what is wrong with the state */
  restoreState(state: unknown): void {
    const { data, error } = savedState.safeParse(state);
    if (data === undefined) {
      const [issue] = error.issues;
      throw new UsageError(`${issue?.path.join('.') || 'its content'}: ${issue?.message}`);
    }
    this.#count = data.attributes.early_stopping_patience_counter;
    this.#best = data.attributes.best_metric;
  }
}
