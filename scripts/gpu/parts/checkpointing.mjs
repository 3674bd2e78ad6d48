// With gradient checkpointing a layer runs again with the masks that it had: the bits are those without. But for the masks of
// attention on a GPU, which are drawn in the order of the calls where nothing runs twice: so that has no dropout here.
//
// On the CPU there are bits only in float32: in bfloat16 a norm stores its result for the layers behind it rounded once more, unless
// they run again.
import { distance, SMALL, train } from '../training.mjs';

const CONFIG = { ...SMALL, attention_probs_dropout_prob: 0 };
const CLOSE = { float32: 1e-5, bfloat16: 1e-2 };

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  for (const dtype of dtypes) {
    const shared = { device, dtype, config: CONFIG };
    const plain = await train({ ...shared, options: { cudaGraphs: false } });
    const again = await train({ ...shared, options: { cudaGraphs: false, gradientCheckpointing: true } });
    const error = Math.max(distance(again.losses, plain.losses), distance(again.norms, plain.norms));
    check(
      `${dtype}: the same losses and norms of gradients`,
      error <= CLOSE[dtype],
      `within ${error.toExponential(1)}`,
    );
    if (device !== 'cpu' || dtype === 'float32')
      check(`${dtype}: the same bits`, plain.bits === again.bits, `${plain.bits}, ${again.bits}`);
    const recorded = await train({ ...shared, options: { gradientCheckpointing: true } });
    check(`${dtype}: whether or not steps may be recorded`, recorded.bits === again.bits);
  }
}
