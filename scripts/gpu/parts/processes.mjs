// Processes that share the GPU, as trials of a search do: all of them end, with the bits that one has alone.
import { inChild } from '../child.mjs';
import { train } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, isSmall, check, figure }) {
  const work = /** @type {const} */ ({ device, dtype: best, steps: 8 });
  const alone = await train(work);
  const started = performance.now();
  const all = await Promise.all(
    Array.from({ length: isSmall ? 2 : 8 }, () => inChild({ task: 'train', ...work })),
  );
  figure(`${all.length} processes`, (performance.now() - started) / 1000, 's');
  for (const [i, { result, stderr }] of all.entries())
    check(
      `process ${i}`,
      result?.bits === alone.bits,
      result === undefined ? stderr.trim() : `${alone.bits}, ${result.bits}`,
    );
}
