// The fused kernels: they are compiled for the device and load, and a training with them is that without but for rounding.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inChild } from '../child.mjs';
import { distance, SMALL } from '../training.mjs';

const UNDROPPED = { ...SMALL, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, isSmall, folder, check, figure, note, skip }) {
  if (device === 'cpu') return skip('the CPU has kernels of its own');
  const cache = join(folder, 'kernels');
  await mkdir(cache, { recursive: true });
  const env = { BERTUNE_FUSED_KERNELS: '1', XDG_CACHE_HOME: cache };
  const without = { BERTUNE_FUSED_KERNELS: '0' };
  for (const dtype of dtypes) {
    const tolerance = { float32: 1e-3, bfloat16: 3e-2 }[dtype];
    const job = /** @type {const} */ ({ task: 'train', device, dtype, config: UNDROPPED });
    const [fused, plain] = [await inChild(job, { env }), await inChild(job, { env: without })];
    if (fused.result === undefined || plain.result === undefined)
      return check(`${dtype}: a training`, false, (fused.result === undefined ? fused : plain).stderr.trim());
    const problem = fused.result.kernelsProblem;
    if (isSmall && problem !== '') note(`none on the stand-in: ${problem}`);
    else check(`${dtype}: they are in use`, problem === '', problem);
    const losses = distance(fused.result.losses, plain.result.losses);
    check(
      `${dtype}: losses are those of LibTorch's operators`,
      losses <= tolerance,
      `within ${losses.toExponential(1)}`,
    );
    const norms = distance(fused.result.norms, plain.result.norms);
    check(`${dtype}: norms of gradients`, norms <= 10 * tolerance, `within ${norms.toExponential(1)}`);
    figure(`${dtype}: opening a session`, fused.result.openSeconds, 's');
  }
}
