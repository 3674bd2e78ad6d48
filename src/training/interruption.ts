// Ends a training early without losing anything: the step is finished and a checkpoint is written.
import { RunError } from '../util/errors.js';

/** `Trainer.interrupt()` was called while `train()` ran. */
export class InterruptedError extends RunError {
  override name = 'InterruptedError';

  /** @param checkpoint the folder from which the run goes on */
  constructor(readonly checkpoint: string) {
    super(`The training was interrupted. It goes on from ${checkpoint} with --resume-from-checkpoint.`);
  }
}
