// Ctrl-C and SIGTERM during a training: the step is finished and saved, or after the last step the model; a second signal
// ends the process at once.
import { StoppedError } from '../util/errors.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { InterruptedError } from '../training/interruption.js';
import type { Progress } from '../terminal/progress.js';
import type { Trainer } from '../training/trainer.js';

/** npm and the set-up pass a signal on that the process has had already: for so long it is the same one. */
const SAME_SIGNAL_MS = 1000;

/** Listens for signals from its making until `release`. */
export class StopSignals {
  readonly #trainer: Trainer;
  readonly #progress: Progress;
  readonly #evaluation = new AbortController();
  #received: NodeJS.Signals | undefined;
  #at = 0;
  #next = 'finishing this step and saving';

  constructor(trainer: Trainer, progress: Progress) {
    this.#trainer = trainer;
    this.#progress = progress;
    process.on('SIGINT', this.#stop).on('SIGTERM', this.#stop);
  }

  /** Trains until the end or a signal. @throws StoppedError after a signal that left steps to do */
  async train(): Promise<Metrics> {
    try {
      return await this.#trainer.train();
    } catch (error) {
      if (error instanceof InterruptedError && this.#received !== undefined)
        throw new StoppedError(this.#received, `go on with --resume-from-checkpoint ${error.checkpoint}`);
      throw error;
    } finally {
      this.#next = 'saving the trained model';
    }
  }

  /** Evaluates what was trained. @returns no metrics where a signal came before the end */
  async evaluate(): Promise<Metrics> {
    const { signal } = this.#evaluation;
    try {
      signal.throwIfAborted();
      return await this.#trainer.evaluate({ signal });
    } catch (error) {
      if (signal.aborted && error === signal.reason) return {};
      throw error;
    }
  }

  /** To be called when all is saved. @throws StoppedError after a signal, with what was done all the same */
  requireNone(done: string): void {
    if (this.#received !== undefined) throw new StoppedError(this.#received, done);
  }

  release(): void {
    process.off('SIGINT', this.#stop).off('SIGTERM', this.#stop);
  }

  readonly #stop = (signal: NodeJS.Signals): void => {
    if (this.#received === signal && performance.now() - this.#at < SAME_SIGNAL_MS) return;
    if (this.#received !== undefined) {
      this.release();
      process.kill(process.pid, signal); // with nobody listening any more it does what it always does
      return;
    }
    this.#received = signal;
    this.#at = performance.now();
    this.#progress.line(`${signal}: ${this.#next}; a second ${signal} stops at once`);
    this.#trainer.interrupt();
    this.#evaluation.abort();
  };
}
