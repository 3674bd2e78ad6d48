// How a job is measured.
import { deviceInfo } from '../../../dist/index.js';
import { chooseDevice } from '../../../dist/native/device.js';
import { busySeconds, cudaPeakBytes, startPhases, stopPhases } from '../../../dist/native/index.js';

/**
 * Shares of a step's thread-seconds.
 *
 * @typedef {{ gemm: number, attention: number, elementWise: number, optimizer: number, rest: number }} Split
 */

/**
 * What `auto` means here, whether the device does bfloat16 in hardware, and what else is known of the machine.
 *
 * @param {{ device: 'auto' | 'cpu' | 'cuda' }} job
 * @throws {import('../../../dist/index.js').UsageError} when there is no such device
 */
export function machine({ device: requested }) {
  const info = deviceInfo();
  const { device, dtype } = chooseDevice({ device: requested, dtype: 'auto' }, info, '--device');
  const gpu = device === 'cuda' ? (info.cudaName ?? 'a GPU of unknown name') : null;
  const { instructionSet, libtorch } = info;
  return { device, gpu, bfloat16: dtype === 'bfloat16', instructionSet, libtorch };
}

/**
 * Times work that ends when the device is done.
 *
 * @param {'cpu' | 'cuda'} device
 * @param {() => Promise<unknown>} work
 * @returns {Promise<{ seconds: number, outside?: number }>} `outside`: the share in which the native thread had nothing
 *   to do; not known on a GPU, which works on when the thread is done
 */
export async function timed(device, work) {
  const busyBefore = busySeconds();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  return { seconds, ...(device === 'cpu' && { outside: 1 - (busySeconds() - busyBefore) / seconds }) };
}

/**
 * Where the threads' time goes.
 *
 * @param {number} threads
 * @param {() => Promise<unknown>} work on the CPU
 * @returns {Promise<Split>}
 */
export async function splitOf(threads, work) {
  const busyBefore = busySeconds();
  startPhases();
  await work();
  const { gemm, attention, elementWise, optimizer } = stopPhases();
  const all = threads * (busySeconds() - busyBefore);
  const rest = all - gemm - attention - elementWise - optimizer;
  return {
    gemm: gemm / all,
    attention: attention / all,
    elementWise: elementWise / all,
    optimizer: optimizer / all,
    rest: rest / all,
  };
}

/** The most memory held: of the GPU, or by this process. @param {'cpu' | 'cuda'} device */
export function peakBytes(device) {
  return device === 'cuda' ? cudaPeakBytes() : process.resourceUsage().maxRSS * 1024;
}

/** The largest product of a step, so the device's best for this work. @param {import('../shape.mjs').Shape} shape */
export function largestProduct({ hidden, intermediate }) {
  return /** @type {const} */ ([hidden, intermediate]);
}
