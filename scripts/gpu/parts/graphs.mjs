// Steps that are recorded as graphs and replayed leave the bits of steps that are launched one by one.
import { train } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, isSmall, check, note }) {
  for (const dtype of dtypes)
    for (const perStep of [1, 2]) {
      // Each length comes first eagerly, is then recorded, and after that replayed.
      const work = { device, dtype, perStep, steps: isSmall ? 6 : 12 };
      const eager = await train({ ...work, options: { cudaGraphs: false } });
      const recorded = await train({ ...work, options: { cudaGraphs: true } });
      const title = `${dtype}, ${perStep} micro-batches a step`;
      check(`${title}: the same bits`, eager.bits === recorded.bits, `${eager.bits}, ${recorded.bits}`);
      check(`${title}: the same losses`, eager.losses.join() === recorded.losses.join());
      if (isSmall) note(`${title}: ${recorded.graphProblem || 'nothing is recorded on the stand-in'}`);
      else check(`${title}: all are recorded`, recorded.graphProblem === '', recorded.graphProblem);
    }
}
