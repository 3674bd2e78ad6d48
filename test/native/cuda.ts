// The CUDA path against the CPU's float32, which parity.ts holds against transformers, at the head sizes and
// lengths of real models: both attention kernels with their dropout, other head sizes, a curve, the same bits twice, and
// memory that runs out.
// BERTUNE_TEST_DEVICE=cuda holds it against the fixtures of other tests as well: CONTRIBUTING.md names them.
import tap from 'tap';

import { deviceInfo, type PackedBatch } from '../../dist/native/index.js';
import { DEVICE } from '../fixtures/device.js';
import { seededBatch } from '../fixtures/seeded.js';
import {
  ADAMW,
  TINY,
  isKeyBias,
  labelledBatch,
  maxRelative,
  normRelative,
  readAll,
  seededSession,
  weightBits,
} from '../fixtures/session.js';
import { checkSlopes } from '../fixtures/slopes.js';
import type { BertShape } from '../fixtures/bert-spec.mjs';

type Dtype = 'float32' | 'bfloat16';

const SHAPE: BertShape = {
  ...TINY,
  vocabSize: 500,
  hiddenSize: 256,
  numAttentionHeads: 4,
  intermediateSize: 512,
  maxPositionEmbeddings: 512,
};
const DROPPING = { hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.3, classifierDropout: 0.1 };
const SCALE = 0.08;

const { cuda, cudaProblem } = deviceInfo();
// Where a GPU was asked for and there is none, the tests fail.
const options = { skip: cuda || DEVICE === 'cuda' ? false : `no GPU: ${cudaProblem}` };

const batchOf = (name: string, lengths: readonly number[]): PackedBatch =>
  labelledBatch(SHAPE, name, lengths);

const BATCH = batchOf('cuda', [128, 1, 512, 33, 257, 16]);

interface Step {
  logits: Float32Array;
  loss: number;
  gradients: Map<string, Float32Array>;
}

async function stepOf(config: BertShape, device: 'cpu' | 'cuda', dtype: Dtype): Promise<Step> {
  const session = await seededSession(config, SCALE, { device, dtype });
  const logits = await session.predict(BATCH);
  await session.accumulate(BATCH, { divisor: 6 });
  const { loss } = await session.stats();
  const gradients = await readAll(session, 'gradient');
  await session.close();
  return { logits, loss, gradients };
}

function worstGradient(found: Step, expected: Step): { error: number; name: string } {
  const errors = [...expected.gradients]
    .filter(([name]) => !isKeyBias(name))
    .map(([name, gradient]) => ({ name, error: normRelative(found.gradients.get(name) ?? [], gradient) }));
  return errors.reduce((worst, each) =>
    Number.isNaN(worst.error) || each.error <= worst.error ? worst : each,
  );
}

await tap.test('one step', options, async (group) => {
  for (const headSize of [64, 32, 20, 128, 320]) {
    await group.test(`heads of ${headSize}`, async (t) => {
      const config = { ...SHAPE, numAttentionHeads: 2, hiddenSize: 2 * headSize };
      const expected = await stepOf(config, 'cpu', 'float32');
      for (const [dtype, tolerance] of [
        ['float32', 1e-4],
        ['bfloat16', 5e-2],
      ] as const) {
        const found = await stepOf(config, 'cuda', dtype);
        const logits = maxRelative(found.logits, expected.logits);
        const loss = Math.abs(found.loss - expected.loss);
        const { error, name } = worstGradient(found, expected);
        t.ok(logits <= tolerance, `${dtype}: logits differ by ${logits.toExponential(1)}`);
        t.ok(loss <= tolerance, `${dtype}: the loss differs by ${loss.toExponential(1)}`);
        t.ok(error <= tolerance, `${dtype}: gradients differ by up to ${error.toExponential(1)} (${name})`);
      }
    });
  }
});

async function lossesOf(device: 'cpu' | 'cuda', dtype: Dtype): Promise<number[]> {
  const session = await seededSession(SHAPE, SCALE, { device, dtype });
  const losses: number[] = [];
  for (let step = 0; step < 30; step++) {
    await session.accumulate(batchOf(`curve ${step % 3}`, [40, 100, 7, 64]), { divisor: 4 });
    await session.update({ ...ADAMW, learningRate: 1e-4 });
    losses.push((await session.stats()).loss);
  }
  await session.close();
  return losses;
}

await tap.test('a curve of 30 steps', options, async (t) => {
  const expected = await lossesOf('cpu', 'float32');
  t.ok((expected.at(-1) ?? 1) < 0.5 * (expected[0] ?? 0), 'the loss falls');
  for (const [dtype, tolerance] of [
    ['float32', 1e-3],
    ['bfloat16', 3e-2],
  ] as const) {
    const error = maxRelative(await lossesOf('cuda', dtype), expected);
    t.ok(error <= tolerance, `${dtype}: losses differ by up to ${error.toExponential(1)}`);
  }
});

await tap.test('the backward pass uses the masks of the forward pass', options, async (group) => {
  for (const [dtype, distance, tolerance] of [
    ['float32', 0.02, 0.02],
    ['bfloat16', 0.1, 0.1],
  ] as const) {
    await group.test(dtype, async (t) => {
      const session = await seededSession({ ...SHAPE, ...DROPPING }, SCALE, { device: 'cuda', dtype });
      const isChecked = (name: string): boolean => /layer\.0\..*weight/.test(name);
      await checkSlopes(t, session, { batch: BATCH, isChecked, distance, tolerance });
      await session.close();
    });
  }
});

await tap.test('a run is a function of its seed, checkpointed or not', options, async (t) => {
  const bitsOf = async (
    dtype: Dtype,
    seed: number,
    config: BertShape,
    gradientCheckpointing = false,
  ): Promise<string> => {
    const session = await seededSession(config, SCALE, { device: 'cuda', dtype, seed });
    await session.restart({ gradientCheckpointing });
    for (let step = 0; step < 4; step++) {
      await session.accumulate(batchOf(`seed ${step}`, [300, 5, 64, 12]), { divisor: 4 });
      await session.update(ADAMW);
    }
    const bits = await weightBits(session);
    await session.close();
    return bits;
  };
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const config = { ...SHAPE, ...DROPPING };
    const first = await bitsOf(dtype, 7, config);
    t.ok((await bitsOf(dtype, 7, config)) === first, `${dtype}: the same seed gives the same bits`);
    t.ok((await bitsOf(dtype, 8, config)) !== first, `${dtype}: another seed gives others`);
    // What attention drops is drawn in the order of its calls where none runs twice.
    const undropped = { ...config, attentionProbsDropoutProb: 0 };
    const [once, again] = [await bitsOf(dtype, 7, undropped), await bitsOf(dtype, 7, undropped, true)];
    t.ok(once === again, `${dtype}: running layers again gives the same bits`);
  }
});

await tap.test('memory runs out', options, async (t) => {
  // Half a terabyte and more, which no GPU has.
  const rows = 60_000;
  const one = seededBatch({ name: 'large', lengths: [512], pairs: false, vocabSize: SHAPE.vocabSize });
  const batch: PackedBatch = {
    inputIds: Int32Array.from({ length: 512 * rows }, (_, i) => one.inputIds[i % 512] ?? 0),
    cuSeqlens: Int32Array.from({ length: rows + 1 }, (_, i) => 512 * i),
    labels: new Int32Array(rows),
  };
  const session = await seededSession(SHAPE, SCALE, { device: 'cuda' });
  const before = await session.predict(BATCH);
  const error: unknown = await session
    .accumulate(batch, { divisor: rows })
    .catch((reason: unknown) => reason);
  t.match(error, { message: /^[^\n]*memory[^\n]*$/ }, 'is said in one line');
  t.same(await session.predict(BATCH), before, 'the session works on');
  await session.close();
});
