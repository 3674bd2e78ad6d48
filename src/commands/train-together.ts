// A training of several processes: how each comes in, what those do that neither log nor save, and how all end when one fails.
import { availableParallelism } from 'node:os';

import { maxLengthOf } from '../data/batch.js';
import { localRank, localThreads, worldAddress } from '../distributed/address.js';
import { isLoopback } from '../distributed/interfaces.js';
import { launch, OF_LAUNCHER } from '../distributed/launch.js';
import { openWorld, type World } from '../distributed/world.js';
import { requireDevice } from '../models/encoder-model.js';
import type { TrainOptions } from '../options/index.js';
import { Progress } from '../terminal/progress.js';
import { Trainer } from '../training/trainer.js';
import { exitCodeOf, InterruptedError, StoppedError, UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { openData } from './data.js';
import { modelAndTokenizer, readOptions } from './model-source.js';
import { StopSignals } from './stop.js';

/**
 * Starts the processes of `--nproc`, unless this is one of them.
 *
 * @returns the exit code of all; null where there is nothing to start
 */
export async function launchProcesses({ nproc = 1 }: TrainOptions): Promise<number | null> {
  if (nproc === 1 || process.env[OF_LAUNCHER] === String(nproc)) return null;
  if (process.env['WORLD_SIZE'] !== undefined || worldAddress(process.env, 1) !== null)
    throw new UsageError(
      '--nproc starts processes itself, and another launcher has started this one: leave --nproc out, or unset its variables (WORLD_SIZE)',
    );
  return launch(process.argv.slice(1), nproc);
}

/**
 * Does the work of this process beside the others.
 *
 * @param work is given the world, and options that suit it
 * @throws what the work throws, or the reason why another process ended
 */
export async function amongProcesses(
  options: TrainOptions,
  log: (line: string) => void,
  work: (options: TrainOptions, world: World) => Promise<void>,
): Promise<void> {
  const address = worldAddress(process.env, options.ddpTimeout * 1000);
  if (address !== null) {
    requireOneTraining(options);
    // c10d prints pages about each call that another process does not answer; here that becomes one line.
    process.env['TORCH_CPP_LOG_LEVEL'] ??= 'FATAL';
  }
  // By which `--device cuda` chooses; srun and MPI have names of their own for it.
  const local = localRank(process.env);
  if (address !== null && local !== null) process.env['LOCAL_RANK'] ??= String(local);
  const world = await openWorld(address);
  try {
    if (world.isMain && address !== null && !isLoopback(address.host))
      log(
        `note: the ${world.size} processes talk without authentication or encryption: close port ${address.port} of ` +
          `${address.host}, and the ports that they choose, to everybody else (SECURITY.md)`,
      );
    const threads = options.threads ?? localThreads(process.env, availableParallelism());
    requireDevice(options);
    await work(world.size === 1 ? options : { ...options, threads }, world);
  } catch (error) {
    const explained = await world.explain(error);
    if (!(await world.fail(explained))) throw explained;
    process.exitCode = exitCodeOf(explained);
  } finally {
    await world.close();
  }
}

/** @throws UsageError for work that one process does */
function requireOneTraining({ crossValidation, task, live }: TrainOptions): void {
  const remedy = 'start one process (without --nproc, torchrun or srun)';
  if (crossValidation !== undefined)
    throw new UsageError(`--cross-validation trains its folds in one process: ${remedy}`);
  if (task === 'masked-lm')
    throw new UsageError(`A masked language model is trained in one process: ${remedy}`);
  if (live) throw new UsageError(`--live shows a training of one process: ${remedy}`);
}

/** The training of a process that is not the first: as the first one's, silent, and without a file that it writes. */
export async function follow(options: TrainOptions, world: World): Promise<void> {
  const progress = new Progress({ write: () => true });
  const { source, tokenizer } = await modelAndTokenizer(options, progress);
  maxLengthOf(source, tokenizer, options.maxSeqLength);
  const data = await openData(readOptions(options, source), 'train', progress);
  const model = await source.load(data, options);
  const trainer = new Trainer({
    model,
    args: options,
    tokenizer,
    trainDataset: data.train,
    evalDataset: data.splits.validation,
    progress,
    world,
  });
  const signals = new StopSignals(
    progress,
    `stopping with the other ${counted(world.size - 1, 'process', 'processes')}`,
  );
  signals.signal.addEventListener('abort', () => trainer.interrupt());
  try {
    await model.open(options);
    await trainer.train();
    const isEvaluated = data.splits.validation !== undefined; // rank 0 asks as many questions
    if (isEvaluated && !(await world.any(signals.received !== undefined))) await trainer.evaluate();
  } catch (error) {
    if (error instanceof InterruptedError)
      throw new StoppedError(signals.received ?? 'SIGTERM', 'rank 0 has saved a checkpoint');
    throw error;
  } finally {
    signals.release();
    await trainer.close();
    await model.close();
    await data.close();
  }
}
