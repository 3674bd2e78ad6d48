// From opening a session to the end of its first step, in a process of its own: with a new cache of compiled kernels, with what
// that run left there, and without fused kernels.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inChild } from '../child.mjs';
import { smallConfig } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, isSmall, folder, check, figure }) {
  const cache = join(folder, 'start');
  await mkdir(cache, { recursive: true });
  const config = smallConfig(isSmall ? '2x64x2' : '12x768x12');
  const batches = [isSmall ? [8, 8] : Array.from({ length: 32 }, () => 128)];
  const job = /** @type {const} */ ({
    task: 'train',
    device,
    dtype: best,
    config,
    batches,
    steps: 1,
    perStep: 1,
  });
  for (const [title, env] of /** @type {const} */ ([
    ['cold: kernels are compiled', { BERTUNE_FUSED_KERNELS: '1', XDG_CACHE_HOME: cache }],
    ['warm: kernels are in the cache', { BERTUNE_FUSED_KERNELS: '1', XDG_CACHE_HOME: cache }],
    ['no fused kernels', { BERTUNE_FUSED_KERNELS: '0' }],
  ])) {
    const { result, stderr } = await inChild(job, { env });
    if (result === undefined) check(title, false, stderr.trim());
    else figure(`${title}: to the end of the first step`, result.firstStepSeconds, 's');
  }
}
