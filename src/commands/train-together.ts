// A training of several processes: what those do that neither log nor save, and what a training cannot share.
import { maxLengthOf } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { requireAlone } from '../distributed/alone.js';
import type { World } from '../distributed/world.js';
import type { TrainOptions } from '../options/index.js';
import { Trainer } from '../training/trainer.js';
import { InterruptedError, StoppedError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { openData } from './data.js';
import { rowsOf, type ClosableRows } from './masked-lm.js';
import { modelAndTokenizer, readOptions } from './model-source.js';
import { StopSignals } from './stop.js';
import { silent } from './together.js';

/** @throws UsageError where several processes are to do what one does */
export async function requireShareable({ crossValidation, live, nproc }: TrainOptions): Promise<void> {
  if (crossValidation !== undefined) await requireAlone('--cross-validation is done', nproc);
  if (live) await requireAlone('--live is shown', nproc);
}

/** The training of a process that is not the first: as the first one's, silent, and without a file that it writes. */
export async function follow(options: TrainOptions, world: World, takeSignals: () => void): Promise<void> {
  const progress = silent();
  const { source, tokenizer } = await modelAndTokenizer(options, progress);
  const maxLength = maxLengthOf(source, tokenizer, options.maxSeqLength);
  const data = await openData(readOptions(options, source), 'train', progress);
  const rows: ClosableRows[] = [];
  const asRows = async (name: string, split: Dataset): Promise<ClosableRows> => {
    const made = await rowsOf(name, split, options, { tokenizer, maxLength, progress });
    rows.push(made);
    return made;
  };
  try {
    const model = await source.load(data, options);
    const { validation } = data.splits;
    const trainDataset = await asRows('train', data.train);
    const evalDataset = validation && (await asRows('validation', validation));
    const trainer = new Trainer({
      model,
      args: options,
      tokenizer,
      trainDataset,
      evalDataset,
      progress,
      world,
    });
    try {
      await model.open(options);
      await trainBesides(trainer, world, { takeSignals, isEvaluated: evalDataset !== undefined });
    } finally {
      await trainer.close();
      await model.close();
    }
  } finally {
    for (const each of rows) await each.close?.();
    await data.close();
  }
}

async function trainBesides(
  trainer: Trainer,
  world: World,
  { takeSignals, isEvaluated }: { takeSignals: () => void; isEvaluated: boolean },
): Promise<void> {
  const others = counted(world.size - 1, 'process', 'processes');
  const signals = new StopSignals(silent(), `stopping with the other ${others}`);
  takeSignals();
  signals.signal.addEventListener('abort', () => trainer.interrupt());
  try {
    await trainer.train();
    if (!isEvaluated) return;
    const isStopped = await world.any(signals.received !== undefined);
    if (!isStopped) await trainer.evaluate();
  } catch (error) {
    if (error instanceof InterruptedError)
      throw new StoppedError(signals.received ?? 'SIGTERM', 'rank 0 has saved a checkpoint');
    throw error;
  } finally {
    signals.release();
  }
}
