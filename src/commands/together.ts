// A command that several processes do together: how they are started, how each comes in, and how all end when one of them does.
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { localRank, localThreads, worldAddress } from '../distributed/address.js';
import { isLoopback } from '../distributed/interfaces.js';
import { requireSameEverywhere, sharedOptions } from '../training/agreement.js';
import { launch, OF_LAUNCHER } from '../distributed/launch.js';
import { openWorld, type World } from '../distributed/world.js';
import type { LabelledRows } from '../data/batch.js';
import { requireDevice, type EncoderModel } from '../models/encoder-model.js';
import type { WorldAddress } from '../native/index.js';
import type { EvaluateOptions, PredictOptions, TrainOptions } from '../options/index.js';
import { Progress } from '../terminal/progress.js';
import { weightsOf } from '../training/fingerprint.js';
import { exitCodeOf, StoppedError, UsageError } from '../util/errors.js';
import { StopSignals } from './stop.js';

/** Milliseconds in which a process that is to stop waits for others to tell. */
const MEETING = 10_000;

/** The progress of a process that is not the first. */
export function silent(): Progress {
  return new Progress({ write: () => true });
}

/** Where a model computes, and in how many processes. */
export function placementOf({ placement }: EncoderModel, { size }: World): string {
  return size === 1 ? placement : `${placement}, ${size} processes`;
}

/**
 * Does a command in this process, or its part of it beside the others.
 *
 * @param log of rank 0
 * @param work is given the world, and options that suit it. A signal ends it, here and in all other processes, until it calls
 *   `takeSignals`
 * @throws what the work throws, or the reason why another process ended
 */
export async function together<T extends TrainOptions | EvaluateOptions | PredictOptions>(
  options: T,
  log: (line: string) => void,
  work: (options: T, world: World, takeSignals: () => void) => Promise<void>,
): Promise<void> {
  const code = await launchProcesses(options, log);
  if (code !== null) {
    process.exitCode = code;
    return;
  }
  const address = worldAddress(process.env, options.ddpTimeout * 1000);
  // c10d prints pages about each call that another process does not answer; here that becomes one line.
  if (address !== null) process.env['TORCH_CPP_LOG_LEVEL'] ??= 'FATAL';
  // By which `--device cuda` chooses; srun and MPI have names of their own for it.
  const local = localRank(process.env);
  if (address !== null && local !== null) process.env['LOCAL_RANK'] ??= String(local);
  const signals = address === null ? null : new EarlySignals();
  const world = await meet(address, signals);
  try {
    signals?.throwIfReceived();
    if (world.isMain && address !== null && !isLoopback(address.host))
      log(
        `note: the ${world.size} processes talk without authentication or encryption: close port ${address.port} of ` +
          `${address.host}, and the ports that they choose, to everybody else (SECURITY.md)`,
      );
    const threads = options.threads ?? localThreads(process.env, availableParallelism());
    requireDevice(options);
    const working = work(world.size === 1 ? options : { ...options, threads }, world, () =>
      signals?.release(),
    );
    await (signals === null ? working : Promise.race([working, signals.stopped]));
  } catch (error) {
    const explained = await world.explain(error);
    if (!(await world.fail(explained))) throw explained;
    process.exitCode = exitCodeOf(explained);
    if (signals?.received === undefined) return;
    await world.close();
    process.exit(); // after a signal the work goes on
  } finally {
    signals?.release();
    await world.close();
  }
}

/**
 * Starts the processes of `--nproc`, unless this is one of them.
 *
 * @returns the exit code of all; null where there is nothing to start
 */
async function launchProcesses(
  { nproc = 1 }: { nproc?: number },
  log: (line: string) => void,
): Promise<number | null> {
  if (nproc === 1 || process.env[OF_LAUNCHER] === String(nproc)) return null;
  if (process.env['WORLD_SIZE'] !== undefined || worldAddress(process.env, 1) !== null)
    throw new UsageError(
      '--nproc starts processes itself, and another launcher has started this one: leave --nproc out, or unset its variables (WORLD_SIZE)',
    );
  return launch(process.argv.slice(1), nproc, log);
}

/** Signals that end this process before it has anything to save: the others are to know, who would wait for it. */
class EarlySignals {
  readonly #signals = new StopSignals(silent(), '');
  readonly stopped: Promise<never>;

  constructor() {
    this.stopped = new Promise((_, reject) => {
      this.#signals.signal.addEventListener('abort', () => reject(this.#error));
    });
    this.stopped.catch(() => undefined); // also where nobody waits for it any more
  }

  get received(): NodeJS.Signals | undefined {
    return this.#signals.received;
  }

  throwIfReceived(): void {
    if (this.received !== undefined) throw this.#error;
  }

  release(): void {
    this.#signals.release();
  }

  get #error(): StoppedError {
    return new StoppedError(this.received ?? 'SIGTERM', 'nothing was finished');
  }
}

/** @throws StoppedError after a signal, if the others do not come soon */
async function meet(address: WorldAddress | null, signals: EarlySignals | null): Promise<World> {
  const meeting = openWorld(address);
  if (signals === null) return meeting;
  const givenUp = signals.stopped.catch(async (error: unknown) => {
    await sleep(MEETING, undefined, { ref: false });
    throw error;
  });
  givenUp.catch(() => undefined);
  return Promise.race([meeting, givenUp]);
}

/** Makes sure that all processes answer for the same rows with the same model. @param model open */
export async function requireSameAnswers(
  world: World,
  options: EvaluateOptions | PredictOptions,
  { model, rows }: { model: EncoderModel; rows: Pick<LabelledRows, 'size' | 'identity'> },
): Promise<void> {
  if (world.size === 1) return;
  await requireSameEverywhere(world, {
    ...sharedOptions(options),
    'the number of rows': rows.size,
    ...(await rows.identity?.()),
    'the weights of the model': await weightsOf(model),
  });
}
