// What becomes of steps whose gradient is not finite: the session has left their updates out, the option says what next.
import { counted } from '../util/counted.js';
import type { TrainingArguments } from '../options/index.js';
import { SettingsError } from '../util/errors.js';
import type { TrainingStats } from '../native/index.js';

/** Steps in a row without an update, or returns to the same checkpoint, after which a run is beyond hope. */
const MOST_IN_A_ROW = 10;

const REMEDY = 'Use a lower --learning-rate, more --warmup-steps, or --dtype float32.';

/** Counts such steps over one training. */
export class NonfiniteSteps {
  readonly #policy: TrainingArguments['nonfiniteGradient'];
  readonly #say: (line: string) => void;
  /** Of the session's `skipped`, what has been dealt with. */
  #skipped = 0;
  #last = { step: 0, updates: 0 };
  #fruitless = 0;
  #checkpoint: string | null = null;
  #returns = 0;

  constructor(policy: TrainingArguments['nonfiniteGradient'], say: (line: string) => void) {
    this.#policy = policy;
    this.#say = say;
  }

  /** Whether each step is to be looked at before the next: what comes after a bad one would be lost. */
  get looksAtEachStep(): boolean {
    return this.#policy === 'rollback';
  }

  /** To be called when a training begins or goes on, after `step` optimizer steps. */
  begin(step: number, updates: number): void {
    this.#fruitless = 0;
    this.#checkpoint = null;
    this.countFrom(step, updates);
  }

  /** To be called when the session has forgotten its counts. */
  countFrom(step: number, updates: number): void {
    this.#skipped = 0;
    this.#last = { step, updates };
  }

  /**
   * Deals with what the session has skipped since the last look.
   *
   * @returns whether the run is to fall back to its last checkpoint
   * @throws SettingsError where the run is to stop, or does nothing but skip
   */
  look({ skipped, updates }: TrainingStats, step: number): boolean {
    const found = skipped - this.#skipped;
    const since = step - this.#last.step;
    this.#fruitless = updates > this.#last.updates ? 0 : this.#fruitless + since;
    this.#skipped = skipped;
    this.#last = { step, updates };
    if (found === 0) return false;
    const what = `The gradient was not finite in ${counted(found, 'step')} up to step ${step}; ${found === 1 ? 'it' : 'they'} changed no weight`;
    if (this.#policy === 'stop')
      throw new SettingsError(`${what}. ${REMEDY} To go on without such steps: --nonfinite-gradient skip.`);
    if (this.#fruitless >= MOST_IN_A_ROW)
      throw new SettingsError(`${what}, and so it went for ${this.#fruitless} steps in a row. ${REMEDY}`);
    this.#say(what);
    return this.#policy === 'rollback';
  }

  /**
   * @returns the checkpoint, to be loaded
   * @throws SettingsError where there is none, or the same one did not help time and again
   */
  fallBackTo(checkpoint: string | null, step: number): string {
    if (checkpoint === null)
      throw new SettingsError(
        `The gradient was not finite at step ${step}, before the first checkpoint to fall back to. ${REMEDY} Or save earlier, with --save-steps.`,
      );
    this.#returns = checkpoint === this.#checkpoint ? this.#returns + 1 : 1;
    this.#checkpoint = checkpoint;
    if (this.#returns > MOST_IN_A_ROW)
      throw new SettingsError(
        `The gradient was not finite at step ${step}, and ${checkpoint} did not help ${MOST_IN_A_ROW} times. ${REMEDY}`,
      );
    this.#say(`Falling back to ${checkpoint}; the training goes on with the rows after step ${step}`);
    return checkpoint;
  }
}
