// The only file that loads the addon: its types, and what it reports about the machine and the process.
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { CudaDevice, DeviceInfo } from './device.js';
import type { SessionSpec } from './spec.js';
import { messageOf, RunError } from '../util/errors.js';
import { commandLine, packageRoot } from '../util/installation.js';
import type {
  ReduceOptions,
  AccumulateOptions,
  PackedBatch,
  PhaseTimes,
  SessionOptions,
  StateInfo,
  TensorData,
  TensorInfo,
  TensorKind,
  TensorSettings,
  TrainingOptions,
  TrainingStats,
  UpdateOptions,
} from './types.js';

/** The addon's session. Its failures have no JavaScript frames: see failures.ts. */
export interface NativeSession {
  open(): Promise<TensorInfo[]>;
  read(name: string, kind: TensorKind): Promise<Float32Array>;
  write(name: string, kind: TensorKind, tensor: TensorData): Promise<void>;
  accumulate(batch: PackedBatch, options: AccumulateOptions): Promise<void>;
  update(options: UpdateOptions): Promise<void>;
  join(world: WorldAddress, name: string, options: ReduceOptions): Promise<string>;
  leave(): Promise<void>;
  predict(batch: PackedBatch): Promise<Float32Array>;
  matmulRate(rows: number, inner: number, columns: number): Promise<number>;
  stats(): Promise<Omit<TrainingStats, 'totalLoss'>>;
  setProgress(step: number, updates: number, loss: number, maxTokens: number): Promise<void>;
  restart(options: TrainingOptions): Promise<void>;
  mergeAdapters(): Promise<void>;
  configure(settings: readonly TensorSettings[]): Promise<void>;
  optimizerState(): Promise<StateInfo[]>;
  close(): Promise<void>;
}

/**
 * Where the processes of one training meet, and which of them this is; as native/train/process_group.h has it.
 *
 * @example
 * ```ts
 * import { worldAddress, type WorldAddress } from 'bertune';
 *
 * const address: WorldAddress | null = worldAddress(process.env, 600_000);
 * console.log(address === null ? 'alone' : `rank ${address.rank} of ${address.size}`);
 * ```
 */
export interface WorldAddress {
  /** Of the store that all meet at. */
  readonly host: string;
  readonly port: number;
  readonly rank: number;
  readonly size: number;
  /** Whether this process has the store. torchrun has one of its own. */
  readonly isServer: boolean;
  /** Of the names in the store, which others may use too. */
  readonly prefix: string;
  /** The name or address by which the others reach this process; empty for that of the interface which leads to the store. */
  readonly interface: string;
  /** Milliseconds to wait for another process. */
  readonly timeout: number;
}

/** The addon's side of distributed/world.ts. */
export interface NativeWorld {
  openStore(): Promise<void>;
  openGroup(address: WorldAddress): Promise<void>;
  sum(values: Float64Array): Promise<Float64Array>;
  gather(text: string): Promise<string[]>;
  leave(): Promise<void>;
  set(key: string, value: string): Promise<void>;
  get(key: string): Promise<string | undefined>;
  close(): Promise<void>;
}

interface Addon {
  cudaPeakBytes(index: number): number;
  kernelsProblem(): string;
  busySeconds(): number;
  startPhases(): void;
  stopPhases(): PhaseTimes;
  World: new (address: WorldAddress) => NativeWorld;
  Session: new (spec: SessionSpec, options: SessionOptions) => NativeSession;
  deviceInfo(): {
    cudaDevices: CudaDevice[];
    cudaProblem: string;
    cpuHasBFloat16: boolean;
    instructionSet: DeviceInfo['instructionSet'];
    libtorch: string;
  };
}

let addon: Addon | undefined; // a process loads a shared library once

/** The addon. @throws RunError when it was not built, or not for this machine */
export function loadAddon(): Addon {
  if (addon !== undefined) return addon;
  const path = join(packageRoot, 'build', 'Release', 'bertune.node');
  if (!existsSync(path)) {
    throw new RunError(
      `The native addon is not set up yet: run \`${commandLine('setup')}\`, which finds or fetches LibTorch`,
    );
  }
  // OpenMP reads this once, when LibTorch is loaded. Its threads would otherwise spin at every barrier, which takes
  // the cores from the tokenizer threads and, where another program wants a core too, makes steps many times slower.
  // Some microseconds of it are worth more than they cost: with none, steps of small models took half as long again.
  process.env['OMP_WAIT_POLICY'] ??= 'PASSIVE';
  process.env['GOMP_SPINCOUNT'] ??= '2000';
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- built from native/ of this very version
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    const [reason = ''] = messageOf(error).split('\n');
    throw new RunError(
      `The native addon could not be loaded (${reason}): run \`${commandLine('setup')}\`, which finds or fetches LibTorch`,
    );
  }
  return addon;
}

/**
 * What the machine offers.
 *
 * @example
 * ```ts
 * import { deviceInfo } from 'bertune';
 *
 * const { cuda, cudaProblem, bfloat16, cores } = deviceInfo();
 * console.log(cuda ? 'a GPU' : cudaProblem, bfloat16, cores);
 * ```
 */
export function deviceInfo(): DeviceInfo {
  const info = loadAddon().deviceInfo();
  const localRank = process.env['LOCAL_RANK'];
  return {
    cuda: info.cudaDevices.length > 0,
    cudaProblem: info.cudaProblem,
    cudaDevices: info.cudaDevices,
    ...(localRank === undefined || localRank === '' ? {} : { localRank }),
    bfloat16: info.cpuHasBFloat16,
    instructionSet: info.instructionSet,
    cores: availableParallelism(),
    libtorch: info.libtorch,
  };
}

/** Most memory that LibTorch has held on the CUDA device of this number, in bytes; 0 where there is none. */
export function cudaPeakBytes(index = 0): number {
  return loadAddon().cudaPeakBytes(index);
}

/** Why sessions on CUDA do without the fused kernels of native/ops/cuda, or compile them each time, in one line; or empty. */
export function kernelsProblem(): string {
  return loadAddon().kernelsProblem();
}

/** Seconds in which the threads of sessions have had calls to work on, since the process began. */
export function busySeconds(): number {
  return loadAddon().busySeconds();
}

/** Starts to measure where native time goes, for the bench. Until then and after stopPhases it costs nothing. */
export function startPhases(): void {
  loadAddon().startPhases();
}

/** Stops measuring and returns the times. */
export function stopPhases(): PhaseTimes {
  return loadAddon().stopPhases();
}
