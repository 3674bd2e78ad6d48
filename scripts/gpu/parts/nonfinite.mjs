// A step whose gradients are not finite leaves weights and optimizer as they were, and the next one goes on.
import { ADAMW, batchOf, bitsOf, openSession } from '../training.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  for (const dtype of dtypes) {
    const { session, vocabSize } = await openSession({ device, dtype });
    /** @param {number} salt @param {object} [options] */
    const step = async (salt, options = {}) => {
      await session.accumulate(batchOf([12, 30], vocabSize, salt), { divisor: 2, ...options });
      await session.update(ADAMW);
    };
    for (let i = 0; i < 4; i++) await step(i);
    const before = await bitsOf(session);
    await step(4, { classWeights: Float32Array.of(Infinity, Infinity, Infinity) });
    const { skipped, updates } = await session.stats();
    check(`${dtype}: nothing has changed`, (await bitsOf(session)) === before);
    check(
      `${dtype}: it is counted`,
      skipped === 1 && updates === 4,
      `${skipped} skipped, ${updates} applied`,
    );
    await step(5);
    const after = await session.stats();
    check(`${dtype}: the next step is applied`, after.updates === 5 && Number.isFinite(after.gradNorm));
    await session.close();
  }
}
