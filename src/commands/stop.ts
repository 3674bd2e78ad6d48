// Ctrl-C and SIGTERM during a training: the step is finished and saved; a second signal ends the process at once.
import { StoppedError } from '../errors.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { InterruptedError } from '../training/interruption.js';
import type { Progress } from '../training/progress.js';
import type { Trainer } from '../training/trainer.js';

/** npm and the set-up pass a signal on that the process has had already: for so long it is the same one. */
const SAME_SIGNAL_MS = 1000;

/** Trains until the end or a signal. @throws StoppedError after a signal */
export async function stoppable(trainer: Trainer, progress: Progress): Promise<Metrics> {
  let stopped: NodeJS.Signals | undefined;
  let at = 0;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopped === signal && performance.now() - at < SAME_SIGNAL_MS) return;
    if (stopped !== undefined) {
      release();
      process.kill(process.pid, signal); // with nobody listening any more it does what it always does
      return;
    }
    stopped = signal;
    at = performance.now();
    progress.line(`${signal}: finishing this step and saving; a second ${signal} stops at once`);
    trainer.interrupt();
  };
  const release = (): void => void process.off('SIGINT', stop).off('SIGTERM', stop);
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    return await trainer.train();
  } catch (error) {
    if (error instanceof InterruptedError && stopped !== undefined)
      throw new StoppedError(stopped, error.checkpoint);
    throw error;
  } finally {
    release();
  }
}
