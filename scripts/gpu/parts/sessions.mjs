// Several sessions of one process train at once, each on its own thread: their bits are those that they have alone.
import { train } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, isSmall, check }) {
  const works = Array.from({ length: isSmall ? 3 : 6 }, (_, i) => ({
    device,
    dtype: dtypes[i % dtypes.length] ?? 'float32',
    seed: i,
    steps: 8,
  }));
  const alone = [];
  for (const work of works) alone.push((await train(work)).bits);
  const together = await Promise.all(works.map((work) => train(work)));
  for (const [i, { bits }] of together.entries())
    check(
      `session ${i} of ${works.length}, ${works[i]?.dtype}`,
      bits === alone[i],
      `${alone[i]} alone, ${bits} among others`,
    );
  const mixed = await Promise.all([
    train({ device, dtype: 'float32', seed: 0, steps: 8 }),
    train({ device: 'cpu', dtype: 'float32', steps: 8 }),
  ]);
  check('beside a session on the CPU', mixed[0].bits === alone[0]);
}
