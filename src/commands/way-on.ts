// A fault during a training costs what came after the last checkpoint: the message says how to get back to it.
import { RunError } from '../util/errors.js';
import { isFolder } from '../util/make-folder.js';
import type { Trainer } from '../training/trainer.js';

/** Does a part of a training run. @throws what the part throws, a RunError with the way on from the last checkpoint */
export async function withWayOn<T>(trainer: Trainer, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { lastCheckpoint: checkpoint } = trainer;
    if (!(error instanceof RunError) || checkpoint === null || !(await isFolder(checkpoint))) throw error;
    throw new RunError(
      `${error.message.replace(/\.$/, '')}. The last checkpoint is whole: go on with --resume-from-checkpoint ${checkpoint}`,
      { cause: error },
    );
  }
}
