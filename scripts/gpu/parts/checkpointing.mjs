// With gradient checkpointing a layer runs again with the masks that it had: the bits are those without. But for the masks of
// attention in bfloat16 on a GPU, which are drawn in the order of the calls where nothing runs twice: so that has no dropout here.
import { SMALL, train } from '../training.mjs';

const CONFIG = { ...SMALL, attention_probs_dropout_prob: 0 };

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, isSmall, check }) {
  // In bfloat16 CPUs, and so the stand-in, add up the last layer's gradients of keys and values in another order then.
  for (const dtype of isSmall ? dtypes.slice(0, 1) : dtypes) {
    const shared = { device, dtype, config: CONFIG };
    const plain = await train({ ...shared, options: { cudaGraphs: false } });
    const again = await train({ ...shared, options: { cudaGraphs: false, gradientCheckpointing: true } });
    check(`${dtype}: the same bits`, plain.bits === again.bits, `${plain.bits}, ${again.bits}`);
    const recorded = await train({ ...shared, options: { gradientCheckpointing: true } });
    check(`${dtype}: whether or not steps may be recorded`, recorded.bits === again.bits);
  }
}
