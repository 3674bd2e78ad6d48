// Adapters: losses and gradients beside the CPU's, and weights below that stay as they were.
import { batchOf, distance, openSession, SMALL, ADAMW } from '../training.mjs';

const UNDROPPED = { ...SMALL, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  const expected = await curve('cpu', 'float32');
  for (const dtype of dtypes) {
    const tolerance = { float32: 1e-3, bfloat16: 5e-2 }[dtype];
    const found = await curve(device, dtype);
    const error = distance(found.losses, expected.losses);
    check(`${dtype}: losses are the CPU's`, error <= tolerance, `within ${error.toExponential(1)}`);
    const norms = distance(found.norms, expected.norms);
    check(
      `${dtype}: norms of gradients are the CPU's`,
      norms <= tolerance,
      `within ${norms.toExponential(1)}`,
    );
    check(`${dtype}: the weight below stays`, found.isBaseSame);
    check(`${dtype}: the adapter moves`, found.hasMoved);
  }
}

/** @param {string} device @param {'float32' | 'bfloat16'} dtype */
async function curve(device, dtype) {
  const { session, vocabSize } = await openSession({ device, dtype, config: UNDROPPED, loraRank: 4 });
  const names = session.tensors().map(({ name }) => name);
  const base = names.find((name) => name.endsWith('query.weight')) ?? '';
  const adapter = names.find((name) => name.includes('lora_B')) ?? '';
  const before = { base: await session.read(base), adapter: await session.read(adapter) };
  /** @type {number[]} */
  const losses = [];
  /** @type {number[]} */
  const norms = [];
  for (let step = 0; step < 6; step++) {
    await session.accumulate(batchOf([20, 5, 41], vocabSize, step), { divisor: 3 });
    await session.update({ ...ADAMW, learningRate: 1e-3 });
    const stats = await session.stats();
    losses.push(stats.loss);
    norms.push(stats.gradNorm);
  }
  const isBaseSame = areSame(before.base, await session.read(base));
  const hasMoved = !areSame(before.adapter, await session.read(adapter));
  await session.close();
  return { losses, norms, isBaseSame, hasMoved };
}

/** @param {Float32Array} a @param {Float32Array} b */
function areSame(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
