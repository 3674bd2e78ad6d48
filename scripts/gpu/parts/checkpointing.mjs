// With gradient checkpointing a layer runs again with the masks that it had: the bits are those without.
import { train } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  // In bfloat16 the CPU adds up the last layer's gradients of keys and values in another order then.
  for (const dtype of device === 'cpu' ? dtypes.slice(0, 1) : dtypes) {
    // Neither of the two is recorded: a graph draws masks in another order.
    const plain = await train({ device, dtype, options: { cudaGraphs: false } });
    const again = await train({ device, dtype, options: { cudaGraphs: false, gradientCheckpointing: true } });
    check(`${dtype}: the same bits`, plain.bits === again.bits, `${plain.bits}, ${again.bits}`);
    const recorded = await train({ device, dtype, options: { gradientCheckpointing: true } });
    check(`${dtype}: whether or not steps may be recorded`, recorded.bits === again.bits);
  }
}
