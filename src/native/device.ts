// Which device and dtype `auto` stands for: a pure function of what the machine offers.
import { expected, UsageError } from '../util/errors.js';

/**
 * Where to compute: `auto` is a CUDA device where there is one, `cuda` the one that LOCAL_RANK names, as torchrun sets it, else the
 * first, and `cuda:1` the second.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type Device } from 'bertune';
 *
 * const device: Device = 'auto';
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * await model.open({ device });
 * ```
 */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/**
 * A CUDA device; what the driver does not tell is left out.
 *
 * @example
 * ```ts
 * import { deviceInfo, type CudaDevice } from 'bertune';
 *
 * const [first]: readonly CudaDevice[] = deviceInfo().cudaDevices;
 * console.log(first?.name, first?.capability, first?.bytes);
 * ```
 */
export interface CudaDevice {
  /** E.g. NVIDIA H100 80GB HBM3. */
  name?: string;
  /** Compute capability, e.g. [8, 0] for an A100. */
  capability?: readonly [major: number, minor: number];
  /** Of its memory. */
  bytes?: number;
}

/**
 * What this machine offers.
 *
 * @example
 * ```ts
 * import { deviceInfo, type DeviceInfo } from 'bertune';
 *
 * const info: DeviceInfo = deviceInfo();
 * console.log(info.libtorch, info.cudaDevices[0]?.name ?? 'no GPU');
 * ```
 */
export interface DeviceInfo {
  cuda: boolean;
  /** Why there is no CUDA device; empty if there is one. */
  cudaProblem: string;
  /** The devices `cuda:0`, `cuda:1` and so on that LibTorch can use, as CUDA_VISIBLE_DEVICES leaves them. */
  cudaDevices: readonly CudaDevice[];
  /** LOCAL_RANK of the environment: the number of the device that `cuda` and `auto` stand for. */
  localRank?: string;
  /** Whether the CPU multiplies bfloat16 in hardware (avx512_bf16, amx_bf16). */
  bfloat16: boolean;
  /** Vector instructions that the CPU's kernels use: what it has, capped by ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA. */
  instructionSet: 'baseline' | 'avx2' | 'avx512' | 'avx512_bf16';
  cores: number;
  /** Version of the LibTorch that the addon was built with. */
  libtorch: string;
}

/** The first CUDA compute capability with bfloat16 and TF32 arithmetic: Ampere. Older GPUs emulate the former. */
const AMPERE = 8;

/**
 * Chooses the device and dtype for `auto`, and explains the choice in one line. `dashes` stand before options in messages.
 *
 * @throws UsageError for a device that is not there, and for bfloat16 on a GPU without it
 */
export function chooseDevice(
  request: { device: Device; dtype: 'auto' | 'float32' | 'bfloat16'; tf32?: boolean },
  info: DeviceInfo,
  dashes: '' | '--' = '',
): { device: 'cpu' | `cuda:${number}`; dtype: 'float32' | 'bfloat16'; reason: string } {
  const index = cudaIndex(request.device, info, dashes);
  const gpu = index === undefined ? undefined : info.cudaDevices[index];
  const slow = gpu === undefined ? whySlowOnCpu(info) : whySlowOnGpu(gpu);
  const fast = slow === '';
  const dtype = request.dtype === 'auto' ? (fast ? 'bfloat16' : 'float32') : request.dtype;
  if (dtype === 'bfloat16' && gpu !== undefined && isBeforeAmpere(gpu))
    throw new UsageError(
      `${dashes}dtype bfloat16 cannot be used: ${slow}. Use ${dashes}dtype float32, or auto.`,
    );
  const why = [
    // Details are for those who asked for CUDA; here nothing went wrong.
    request.device === 'auto' && index === undefined
      ? `no GPU: ${info.cudaProblem.replace(/ \(.*\)$/, '')}`
      : '',
    request.dtype === 'auto' ? slow : '',
    request.dtype === 'bfloat16' && !fast ? `bfloat16 may be slow: ${slow}` : '',
    request.tf32 === undefined ? '' : whyNoTf32(gpu),
  ].filter((part) => part !== '');
  return { device: index === undefined ? 'cpu' : `cuda:${index}`, dtype, reason: why.join('; ') };
}

/** The number of the CUDA device; undefined for the CPU. @throws UsageError for one that is not there */
function cudaIndex(device: Device, info: DeviceInfo, dashes: string): number | undefined {
  const { cuda, cudaProblem, cudaDevices, localRank } = info;
  const option = `${dashes}device`;
  const [, name, given] = /^(auto|cpu|cuda)(?::(\d{1,3}))?$/.exec(device) ?? [];
  if (name === undefined || (given !== undefined && name !== 'cuda'))
    throw expected("'auto', 'cpu', 'cuda' or one such as 'cuda:1'", option, device);
  if (name === 'cpu' || (name === 'auto' && !cuda)) return undefined;
  if (!cuda)
    throw new UsageError(`${option} ${device} cannot be used: ${cudaProblem}. Use ${option} cpu, or auto.`);
  const rank = given ?? localRank ?? '0';
  const index = /^\d{1,3}$/.test(rank) ? Number(rank) : NaN;
  if (index < cudaDevices.length) return index;
  const last = cudaDevices.length - 1;
  const all = last === 0 ? 'cuda:0 only' : `cuda:0 to cuda:${last}`;
  const why = given === undefined ? ` (LOCAL_RANK is ${JSON.stringify(rank)})` : '';
  const remedy = given === undefined ? 'Name one of them, or change LOCAL_RANK.' : 'Name one of them.';
  throw new UsageError(`${option} ${device} cannot be used${why}: there is ${all}. ${remedy}`);
}

/** Why bfloat16 is slow; empty when it is multiplied in hardware. */
function whySlowOnCpu({ bfloat16 }: DeviceInfo): string {
  return bfloat16 ? '' : 'this CPU has no bfloat16 arithmetic';
}

function whySlowOnGpu(gpu: CudaDevice): string {
  if (gpu.capability === undefined) return 'the compute capability of this GPU is not known';
  return isBeforeAmpere(gpu) ? `${described(gpu)}, has no bfloat16 arithmetic` : '';
}

function isBeforeAmpere({ capability }: CudaDevice): boolean {
  return capability !== undefined && capability[0] < AMPERE;
}

/** Why TF32 changes nothing on the device; empty when it does. */
function whyNoTf32(gpu: CudaDevice | undefined): string {
  if (gpu === undefined) return 'TF32 has no effect on a CPU';
  return isBeforeAmpere(gpu) ? `TF32 has no effect: ${described(gpu)}, has no TF32 arithmetic` : '';
}

function described({ name = 'this GPU', capability = [0, 0] }: CudaDevice): string {
  return `${name}, of compute capability ${capability.join('.')}`;
}
