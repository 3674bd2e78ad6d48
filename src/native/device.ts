// Which device and dtype `auto` stands for: a pure function of what the machine offers.
import { expected, UsageError } from '../util/errors.js';

/**
 * What this machine offers.
 *
 * @example
 * ```ts
 * import { deviceInfo, type DeviceInfo } from 'bertune';
 *
 * const info: DeviceInfo = deviceInfo();
 * console.log(info.libtorch, info.cudaName ?? 'no GPU');
 * ```
 */
export interface DeviceInfo {
  cuda: boolean;
  /** Why there is no CUDA device; empty if there is one. */
  cudaProblem: string;
  /** Compute capability of the CUDA device, e.g. [8, 0] for an A100; left out when there is none or it is not known. */
  cudaCapability?: readonly [major: number, minor: number];
  /** Name of the CUDA device, e.g. NVIDIA H100 80GB HBM3; left out when there is none or it is not known. */
  cudaName?: string;
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
 * Chooses the device and dtype for `auto`, and explains the choice in one line. `option` is what messages call the option.
 *
 * @throws UsageError for a device that is not there
 */
export function chooseDevice(
  request: { device: 'auto' | 'cpu' | 'cuda'; dtype: 'auto' | 'float32' | 'bfloat16'; tf32?: boolean },
  info: DeviceInfo,
  option = 'device',
): { device: 'cpu' | 'cuda'; dtype: 'float32' | 'bfloat16'; reason: string } {
  if (request.device === 'cuda' && !info.cuda)
    throw new UsageError(`${option} cuda cannot be used: ${info.cudaProblem}. Use ${option} cpu, or auto.`);
  if (request.device !== 'auto' && request.device !== 'cpu' && request.device !== 'cuda')
    throw expected("'auto', 'cpu' or 'cuda'", option, request.device);
  const device = request.device === 'auto' ? (info.cuda ? 'cuda' : 'cpu') : request.device;
  const slow = whySlowBFloat16(device, info);
  const fast = slow === '';
  const dtype = request.dtype === 'auto' ? (fast ? 'bfloat16' : 'float32') : request.dtype;
  const why = [
    // Details are for those who asked for CUDA; here nothing went wrong.
    request.device === 'auto' && device === 'cpu'
      ? `no GPU: ${info.cudaProblem.replace(/ \(.*\)$/, '')}`
      : '',
    request.dtype === 'auto' ? slow : '',
    request.dtype === 'bfloat16' && !fast ? `bfloat16 may be slow: ${slow}` : '',
    request.tf32 === undefined ? '' : whyNoTf32(device, info),
  ].filter((part) => part !== '');
  return { device, dtype, reason: why.join('; ') };
}

/** Why bfloat16 is slow on the device; empty when it multiplies bfloat16 in hardware. */
function whySlowBFloat16(device: 'cpu' | 'cuda', { bfloat16, cudaCapability }: DeviceInfo): string {
  if (device === 'cpu') return bfloat16 ? '' : 'this CPU has no bfloat16 arithmetic';
  if (cudaCapability === undefined) return 'the compute capability of this GPU is not known';
  const [major, minor] = cudaCapability;
  if (major >= AMPERE) return '';
  return `this GPU, of compute capability ${major}.${minor}, has no bfloat16 arithmetic`;
}

/** Why TF32 changes nothing on the device; empty when it does. */
function whyNoTf32(device: 'cpu' | 'cuda', { cudaCapability: capability }: DeviceInfo): string {
  if (device === 'cpu') return 'TF32 has no effect on a CPU';
  if (capability === undefined || capability[0] >= AMPERE) return '';
  return `TF32 has no effect: this GPU, of compute capability ${capability.join('.')}, has no TF32 arithmetic`;
}
