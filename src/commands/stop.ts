// How a training ends early, and how it can be continued. Ctrl-C and SIGTERM let the step at hand
// finish; a second signal ends the process at once.
import { counted } from '../util/text.js';
import { RunError, StoppedError, UsageError } from '../util/errors.js';
import { isFolder } from '../util/file-system.js';
import type { Progress } from '../terminal/progress.js';
import type { Trainer } from '../training/trainer.js';

/** npm and the set-up pass a signal on that the process has had already: for so long it is the same one. */
const SAME_SIGNAL_MS = 1000;

/** Listens for signals from its making until `release`. */
export class StopSignals {
  /** What the first signal brings about, for the line that answers it. */
  next: string;
  /** The first signal that came. */
  received: NodeJS.Signals | undefined;
  readonly #progress: Progress;
  readonly #controller = new AbortController();
  #at = 0;

  constructor(progress: Progress, next: string) {
    this.#progress = progress;
    this.next = next;
    process.on('SIGINT', this.#stop).on('SIGTERM', this.#stop);
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Does work of which finished parts are kept.
   *
   * @param finished which parts those are when the work ends
   * @throws StoppedError after a signal, and what else the work throws, with how to continue
   */
  async resumable(finished: () => PartialResults, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.received !== undefined && error === this.signal.reason)
        throw new StoppedError(this.received, howToContinue(finished()));
      throw finished().done === 0 ? error : hinted(error, howToContinue(finished()));
    }
  }

  release(): void {
    process.off('SIGINT', this.#stop).off('SIGTERM', this.#stop);
  }

  readonly #stop = (signal: NodeJS.Signals): void => {
    if (this.received === signal && performance.now() - this.#at < SAME_SIGNAL_MS) return;
    if (this.received !== undefined) {
      this.release();
      process.kill(process.pid, signal); // without listeners the signal has its default effect
      return;
    }
    this.received = signal;
    this.#at = performance.now();
    this.#progress.line(`${signal}: ${this.next}; a second ${signal} stops at once`);
    this.#controller.abort();
  };
}

/** What is left of a run of several trainings. */
export interface PartialResults {
  /** What one is called, e.g. `fold`. */
  readonly noun: string;
  readonly done: number;
  readonly of: number;
  /** The file that has those that are done. */
  readonly path: string;
}

function howToContinue({ noun, done, of, path }: PartialResults): string {
  if (done === 0) return `no ${noun} was finished`;
  const finished = `${counted(done, noun)} of ${of} ${done === 1 ? 'is' : 'are'} in ${path}`;
  return `${finished}: the same command continues with ${noun} ${done + 1}`;
}

/** Does a part of a training. @throws what the part throws, where a checkpoint is left with how to resume from it */
export async function withResumeHint<T>(trainer: Trainer, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { lastCheckpoint: checkpoint } = trainer;
    if (!(error instanceof RunError) || checkpoint === null || !(await isFolder(checkpoint))) throw error;
    throw hinted(error, `The last checkpoint is whole: continue with --resume-from-checkpoint ${checkpoint}`);
  }
}

/** An error with another sentence, where it is one that a person reads. */
function hinted(error: unknown, hint: string): unknown {
  const sentences = (message: string): string => `${message.replace(/\.$/, '')}. ${hint}`;
  if (error instanceof UsageError) return new UsageError(sentences(error.message), { cause: error });
  if (error instanceof RunError) return new RunError(sentences(error.message), { cause: error });
  return error;
}
