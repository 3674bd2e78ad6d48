// Two trainings with the same seed leave the same bits, and another seed leaves others.
import { train } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  for (const dtype of dtypes) {
    const [first, second, other] = [
      await train({ device, dtype }),
      await train({ device, dtype }),
      await train({ device, dtype, seed: 43 }),
    ];
    check(
      `${dtype}: the same seed, the same bits`,
      first.bits === second.bits,
      `${first.bits}, ${second.bits}`,
    );
    check(`${dtype}: another seed, other bits`, first.bits !== other.bits);
    check(`${dtype}: losses are finite`, first.losses.every(Number.isFinite));
  }
}
