// Dropout of attention, which LibTorch's kernels draw: the backward pass has the masks of the forward pass, and masks are drawn for
// each sequence on its own and anew in each pass, in a batch of several as in batches of one.
import { batchOf, openSession, smallConfig } from '../training.mjs';

const CONFIG = { ...smallConfig('2x64x4'), hidden_dropout_prob: 0, attention_probs_dropout_prob: 0.3 };
/** The same text again and again: what is drawn once for all of them would not average out. */
const LENGTHS = Array.from({ length: 6 }, () => 24);
const DRAWS = 32;

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check }) {
  for (const dtype of dtypes) {
    await checkSlope({ device, dtype }, check);
    const [whole, wholeToo] = [
      await meanOf({ device, dtype, seed: 1 }),
      await meanOf({ device, dtype, seed: 2 }),
    ];
    const [single, singleToo] = [
      await meanOf({ device, dtype, seed: 3 }, true),
      await meanOf({ device, dtype, seed: 4 }, true),
    ];
    const spread = distanceOf(whole, wholeToo);
    for (const [what, ratio] of /** @type {const} */ ([
      ['gradients spread as in batches of one', distanceOf(single, singleToo) / spread],
      ['and around the same mean', distanceOf(whole, single) / spread],
    ]))
      check(`${dtype}: ${what}`, ratio > 0.7 && ratio < 1.4, `${ratio.toFixed(2)} times as far`);
  }
}

/**
 * With the masks of the first step the loss rises along the gradient as fast as that is long.
 *
 * @param {{ device: string, dtype: 'float32' | 'bfloat16' }} job
 * @param {import('../part.mjs').Check} check
 */
async function checkSlope({ device, dtype }, check) {
  const { session, vocabSize } = await openSession({ device, dtype, config: CONFIG });
  const batch = batchOf([24, 5, 33, 12], vocabSize);
  const first = async () => {
    await session.restart();
    await session.accumulate(batch, { divisor: batch.labels.length });
    return (await session.stats()).loss;
  };
  const [by, tolerance] = dtype === 'float32' ? [0.02, 0.05] : [0.1, 0.1];
  const isChecked = /layer\.0\.attention.*(?:query|value).*weight/;
  for (const { name, shape } of session.tensors().filter((tensor) => isChecked.test(tensor.name))) {
    await first();
    const [gradient, weights] = [await session.read(name, 'gradient'), await session.read(name)];
    const length = norm(gradient);
    /** @param {number} distance */
    const lossAt = async (distance) => {
      const moved = weights.map((weight, i) => weight + (distance * (gradient[i] ?? NaN)) / length);
      await session.write(name, tensorOf(shape, moved));
      return first();
    };
    const slope = ((await lossAt(by)) - (await lossAt(-by))) / (2 * by);
    await session.write(name, tensorOf(shape, weights));
    const error = Math.abs(slope / length - 1);
    check(
      `${dtype}: the slope of the loss along ${name}`,
      error < tolerance,
      `off by ${(100 * error).toFixed(2)} %`,
    );
  }
  await session.close();
}

/**
 * The mean gradients of many passes of one step.
 *
 * @param {{ device: string, dtype: 'float32' | 'bfloat16', seed: number }} job
 * @param {boolean} [oneByOne] each sequence in a pass of its own
 */
async function meanOf({ device, dtype, seed }, oneByOne = false) {
  // The seed is that of the masks only: weights are those of one seed.
  const { session, vocabSize } = await openSession({ device, dtype, config: CONFIG, seed });
  const { session: model } = await openSession({ device: 'cpu', dtype: 'float32', config: CONFIG });
  for (const { name, shape } of session.tensors())
    await session.write(name, tensorOf(shape, await model.read(name)));
  await model.close();
  const one = batchOf(LENGTHS.slice(0, 1), vocabSize);
  const batch = oneByOne ? one : repeated(one);
  const divisor = DRAWS * LENGTHS.length;
  for (let i = 0; i < (oneByOne ? divisor : DRAWS); i++) await session.accumulate(batch, { divisor });
  const gradients = [];
  for (const { name } of session.tensors()) gradients.push(await session.read(name, 'gradient'));
  await session.close();
  return gradients;
}

/** @param {readonly number[]} shape @param {Float32Array} values @returns {import('../../../dist/index.js').TensorData} */
function tensorOf(shape, values) {
  return { dtype: 'F32', shape, data: new Uint8Array(values.slice().buffer) };
}

/** @param {{ inputIds: Int32Array, labels: Int32Array }} one */
function repeated({ inputIds, labels }) {
  const count = LENGTHS.length;
  return {
    inputIds: Int32Array.from(
      { length: count * inputIds.length },
      (_, i) => inputIds[i % inputIds.length] ?? 0,
    ),
    cuSeqlens: Int32Array.from({ length: count + 1 }, (_, i) => i * inputIds.length),
    labels: Int32Array.from({ length: count }, () => labels[0] ?? 0),
  };
}

/** @param {readonly Float32Array[]} a @param {readonly Float32Array[]} b */
function distanceOf(a, b) {
  return norm(a.map((values, i) => norm(values.map((value, j) => value - (b[i]?.[j] ?? NaN)))));
}

/** @param {ArrayLike<number>} values */
function norm(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] ?? NaN) ** 2;
  return Math.sqrt(sum);
}
