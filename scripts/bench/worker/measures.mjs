// How a job is measured.
import { deviceInfo } from '../../../dist/index.js';
import { chooseDevice } from '../../../dist/native/device.js';
import { busySeconds, cudaPeakBytes, startPhases, stopPhases } from '../../../dist/native/index.js';

/**
 * Shares of a step's thread-seconds.
 *
 * @typedef {{ gemm: number, attention: number, elementWise: number, optimizer: number, reduction?: number, rest: number }} Split
 */

/**
 * What `auto` means here, whether the device does bfloat16 in hardware, and what else is known of the machine.
 *
 * @param {{ device: import('../../../dist/index.js').Device }} job
 * @throws {import('../../../dist/index.js').UsageError} when there is no such device
 */
export function machine({ device: requested }) {
  const info = deviceInfo();
  const { device, dtype } = chooseDevice({ device: requested, dtype: 'auto' }, info, '--');
  const gpu =
    device === 'cpu' ? null : (info.cudaDevices[cudaIndex(device)]?.name ?? 'a GPU of unknown name');
  const { instructionSet, libtorch } = info;
  return { device, gpu, bfloat16: dtype === 'bfloat16', instructionSet, libtorch };
}

/**
 * Times work that ends when the device is done.
 *
 * @param {string} device
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
 * Where the threads' time goes, and how many of LibTorch's operators are called. On a GPU the time is that of launching only.
 *
 * @param {number} threads
 * @param {() => Promise<unknown>} work
 * @returns {Promise<{ split: Split, dispatches: number, launches: number, reduction: number }>} `reduction`: seconds
 */
export async function splitOf(threads, work) {
  const busyBefore = busySeconds();
  startPhases();
  await work();
  const { gemm, attention, elementWise, optimizer, reduction, dispatches, launches } = stopPhases();
  const all = threads * (busySeconds() - busyBefore);
  const rest = all - gemm - attention - elementWise - optimizer - reduction;
  const split = {
    gemm: gemm / all,
    attention: attention / all,
    elementWise: elementWise / all,
    optimizer: optimizer / all,
    ...(reduction > 0 && { reduction: reduction / all }),
    rest: rest / all,
  };
  return { split, dispatches, launches, reduction: reduction / threads };
}

/** The number of `cuda:1` and the like. @param {string} device */
function cudaIndex(device) {
  return Number(device.slice('cuda:'.length));
}

/** The most memory held: of the GPU, or by this process. @param {string} device */
export function peakBytes(device) {
  return device !== 'cpu' ? cudaPeakBytes(cudaIndex(device)) : process.resourceUsage().maxRSS * 1024;
}

/** The largest product of a step, so the device's best for this work. @param {import('../shape.mjs').Shape} shape */
export function largestProduct({ hidden, intermediate }) {
  return /** @type {const} */ ([hidden, intermediate]);
}
