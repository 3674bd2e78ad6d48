// The device and what it is driven by; that tensors are on the device that was asked for; what it multiplies at most.
import { cudaPeakBytes, deviceInfo } from '../../../dist/native/index.js';
import { openSession } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, bfloat16, isSmall, check, figure, note }) {
  const { cudaDevices, cudaProblem, libtorch } = deviceInfo();
  note(`LibTorch ${libtorch}; ${cudaProblem === '' ? `${cudaDevices.length} CUDA devices` : cudaProblem}`);
  for (const [index, { name, capability, bytes }] of cudaDevices.entries())
    note(
      `cuda:${index}: ${name ?? 'no name'}, ${capability?.join('.') ?? '?'}, ${((bytes ?? 0) / 2 ** 30).toFixed(0)} GiB`,
    );
  const size = isSmall ? 256 : 4096;
  for (const [name, dtype, tf32] of /** @type {const} */ ([
    ['float32', 'float32', false],
    ['float32 with TF32', 'float32', true],
    ...(bfloat16 ? [/** @type {const} */ (['bfloat16', 'bfloat16', false])] : []),
  ])) {
    const { session } = await openSession({ device, dtype, tf32 });
    figure(
      `products of ${size} x ${size} in ${name}`,
      (await session.matmulRate(size, size, size)) / 1e12,
      'TFLOP/s',
    );
    await session.close();
  }
  if (device === 'cpu') return;
  const index = Number(device.slice('cuda:'.length));
  const used = cudaDevices.flatMap((_, i) => (cudaPeakBytes(i) > 0 ? [i] : []));
  check(
    `tensors are on ${device} alone`,
    used.join() === String(index),
    `on ${used.map((i) => `cuda:${i}`).join(', ')}`,
  );
}
