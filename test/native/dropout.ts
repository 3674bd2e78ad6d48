// Dropout through the Session alone: rates, scale and places of the masks, their independence of how a batch is split,
// the same masks in the backward pass, and bit-identical runs. Expected values are mathematics: with one token per
// sequence, attention is the identity and a dropped unit shows as an exact zero in the gradient of a bias.
import tap from 'tap';

import { Session, type PackedBatch } from '../../dist/native/index.js';
import { masksOfTheStep } from '../fixtures/device.js';
import {
  ADAMW,
  OPTIONS,
  TINY,
  isKeyBias,
  labelledBatch,
  maxRelative,
  normRelative,
  readAll,
  seededSession,
  weightBits,
  writeWeight,
} from '../fixtures/session.js';
import { checkSlopes } from '../fixtures/slopes.js';
import { bertSpec, type BertShape } from '../fixtures/bert-spec.mjs';

const LAYER = 'bert.encoder.layer.0.';
const DROPPING = { ...TINY, hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.1, classifierDropout: 0.1 };

const batchOf = (name: string, lengths: readonly number[], pairs = true): PackedBatch =>
  labelledBatch(TINY, name, lengths, pairs);

/** Sequences `from` to `to` of a packed batch. */
function rows(batch: PackedBatch, from: number, to: number): PackedBatch {
  const [start, end] = [batch.cuSeqlens[from] ?? 0, batch.cuSeqlens[to]];
  return {
    inputIds: batch.inputIds.slice(start, end),
    cuSeqlens: batch.cuSeqlens.slice(from, to + 1).map((offset) => offset - start),
    ...(batch.tokenTypeIds && { tokenTypeIds: batch.tokenTypeIds.slice(start, end) }),
    ...(batch.labels && { labels: batch.labels.slice(from, to) }),
  };
}

await tap.test('predict never drops', async (t) => {
  const batch = batchOf('predict', [20, 1, 64]);
  const [dropping, plain] = [await seededSession(DROPPING, 0.3), await seededSession(TINY, 0.3)];
  const first = await dropping.predict(batch);
  await dropping.accumulate(batch, { divisor: 3 });
  t.same(await dropping.predict(batch), first, 'the same bits twice, also amid a step');
  t.same(await plain.predict(batch), first, 'and those of a model without dropout');
  await Promise.all([dropping.close(), plain.close()]);
});

await tap.test('splitting a step does not change its masks', masksOfTheStep, async (t) => {
  const batch = batchOf('split', [9, 1, 60, 4, 17, 2, 64, 33]);
  const outcome = async (
    parts: number,
    config = DROPPING,
  ): Promise<{ loss: number; gradients: Map<string, Float32Array> }> => {
    const session = await seededSession(config, 0.3);
    for (const step of [0, 1]) {
      // A second step, because its positions start again.
      if (step === 1) await session.update({ ...ADAMW, learningRate: 0 });
      for (let i = 0; i < 8; i += 8 / parts)
        await session.accumulate(rows(batch, i, i + 8 / parts), { divisor: 8 });
    }
    const { loss } = await session.stats();
    const gradients = await readAll(session, 'gradient');
    await session.close();
    return { loss, gradients };
  };
  const whole = await outcome(1);
  t.not((await outcome(1, TINY)).loss, whole.loss, 'something is dropped');
  for (const parts of [2, 8]) {
    const split = await outcome(parts);
    const errors = [...whole.gradients]
      .filter(([name]) => !isKeyBias(name))
      .map(([name, gradient]) => normRelative(split.gradients.get(name) ?? [], gradient));
    t.ok(Math.abs(split.loss / whole.loss - 1) <= 1e-6, `loss in ${parts} parts`);
    t.ok(
      Math.max(...errors) <= 1e-6,
      `gradients in ${parts} parts differ by ${Math.max(...errors).toExponential(1)}`,
    );
  }
});

/** The weights of three steps with dropout, as bits. */
async function weightsOfSeed(seed: number): Promise<string> {
  const session = await seededSession(DROPPING, 0.3, { seed });
  for (const step of [0, 1, 2]) {
    await session.accumulate(batchOf(`seed.${step}`, [30, 5, 64, 12]), { divisor: 4 });
    await session.update(ADAMW);
  }
  const bits = await weightBits(session);
  await session.close();
  return bits;
}

await tap.test('a run is a function of its seed', async (t) => {
  const first = await weightsOfSeed(7);
  t.ok((await weightsOfSeed(7)) === first, 'the same seed gives the same bits');
  t.ok((await weightsOfSeed(8)) !== first, 'another seed gives others');
});

await tap.test('random initial weights are those of transformers, in distribution', async (t) => {
  const config = { ...TINY, hiddenSize: 64, intermediateSize: 128, vocabSize: 400, padTokenId: 5 };
  const [first, again, other] = await Promise.all(
    [3, 3, 4].map((seed) => Session.create(bertSpec(config), { ...OPTIONS, seed })),
  );
  if (!first || !again || !other) throw new Error('a session is missing');
  t.equal(await weightBits(first), await weightBits(again), 'the same seed gives the same bits');
  t.not(await weightBits(first), await weightBits(other), 'another seed gives others');
  for (const [name, values] of await readAll(first)) {
    if (name.endsWith('bias'))
      t.ok(
        values.every((value) => value === 0),
        `${name} is 0`,
      );
    else if (name.endsWith('LayerNorm.weight'))
      t.ok(
        values.every((value) => value === 1),
        `${name} is 1`,
      );
    else if (values.length >= 4096) {
      const deviation = Math.hypot(...values) / Math.sqrt(values.length);
      t.ok(
        Math.abs(deviation / config.initializerRange - 1) < 0.05,
        `${name} has standard deviation ${deviation}`,
      );
    }
  }
  const padding = (await first.read('bert.embeddings.word_embeddings.weight')).subarray(5 * 64, 6 * 64);
  t.ok(
    padding.every((value) => value === 0),
    'the row of the padding token is 0',
  );
  await Promise.all([first.close(), again.close(), other.close()]);
});

await tap.test('every site drops at its own rate, and scales what it keeps', async (t) => {
  // With these weights at zero each site's input is a known bias, and the pooler's gradients show the encoder's output.
  const config = { ...TINY, hiddenSize: 64, numHiddenLayers: 1, hiddenDropoutProb: 0.25 };
  const session = await seededSession(config, 0.2);
  const zeros = [
    'bert.embeddings.LayerNorm.weight',
    `${LAYER}attention.output.dense.weight`,
    `${LAYER}output.dense.weight`,
  ];
  for (const name of zeros)
    await writeWeight(session, name, new Float32Array((await session.read(name)).length));
  const sites = [
    'bert.embeddings.LayerNorm.bias',
    `${LAYER}attention.output.dense.bias`,
    `${LAYER}output.dense.bias`,
  ];
  const weights = await readAll(session);
  const at = (name: string): Float32Array => weights.get(name) ?? new Float32Array();
  const dropped = [0, 0, 0];
  const masks = new Set<string>();
  for (let step = 0; step < 60; step++) {
    await session.accumulate(batchOf('sites', [1], false), { divisor: 1 });
    const gradients = await readAll(session, 'gradient');
    await session.update({ ...ADAMW, learningRate: 0 });
    const kept = sites.map((name) =>
      (gradients.get(name) ?? new Float32Array()).map((value) => (value === 0 ? 0 : 1)),
    );
    kept.forEach((mask, i) => {
      dropped[i] = (dropped[i] ?? 0) + mask.filter((value) => value === 0).length;
      masks.add(mask.join(''));
    });
    const [embedded, attention, output] = sites.map((name, i) => {
      return at(name).map((value, j) => (value * (kept[i]?.[j] ?? NaN)) / 0.75);
    });
    const attended = layerNorm(sum(embedded, attention), `${LAYER}attention.output.LayerNorm`, weights);
    const expected = layerNorm(sum(attended, output), `${LAYER}output.LayerNorm`, weights);
    const error = maxRelative(poolerInput(gradients), expected);
    if (!(error < 1e-4)) t.fail(`the encoder's output of step ${step} is off by ${error}`);
  }
  const units = 60 * 64;
  const bound = 4.5 * Math.sqrt(0.25 * 0.75 * units); // 4.5 standard deviations
  for (const [i, count] of dropped.entries()) {
    t.ok(Math.abs(count - 0.25 * units) < bound, `${sites[i]}: ${count} of ${units} dropped`);
  }
  t.equal(masks.size, 180, 'no two masks of any site or step are equal');
  await session.close();
});

function sum(a: Float32Array = new Float32Array(), b: Float32Array = new Float32Array()): Float32Array {
  return a.map((value, i) => value + (b[i] ?? NaN));
}

function layerNorm(x: Float32Array, name: string, weights: Map<string, Float32Array>): Float32Array {
  const mean = x.reduce((total, value) => total + value, 0) / x.length;
  const variance = x.reduce((total, value) => total + (value - mean) ** 2, 0) / x.length;
  const [weight, bias] = [weights.get(`${name}.weight`), weights.get(`${name}.bias`)];
  return x.map(
    (value, i) => ((value - mean) / Math.sqrt(variance)) * (weight?.[i] ?? NaN) + (bias?.[i] ?? NaN),
  );
}

/** The gradient of a matrix is (gradient of its bias) x (its input), so that one row gives the input back. */
function inputOf(linear: string, gradients: Map<string, Float32Array>): Float32Array {
  const bias = gradients.get(`${linear}.bias`) ?? new Float32Array();
  const weight = gradients.get(`${linear}.weight`) ?? new Float32Array();
  const row = bias.reduce((best, value, i) => (Math.abs(value) > Math.abs(bias[best] ?? 0) ? i : best), 0);
  const width = weight.length / bias.length;
  return weight.subarray(row * width, (row + 1) * width).map((value) => value / (bias[row] ?? NaN));
}

function poolerInput(gradients: Map<string, Float32Array>): Float32Array {
  return inputOf('bert.pooler.dense', gradients);
}

/** The input of a linear layer in each of `steps` steps, seen through its gradients. */
async function inputsOf(changes: Partial<BertShape>, linear: string, steps: number): Promise<Float32Array[]> {
  const session = await seededSession({ ...TINY, hiddenSize: 64, numAttentionHeads: 16, ...changes }, 0.2);
  const inputs: Float32Array[] = [];
  for (let step = 0; step < steps; step++) {
    await session.accumulate(batchOf('probe', [1], false), { divisor: 1 });
    inputs.push(inputOf(linear, await readAll(session, 'gradient')));
    await session.update({ ...ADAMW, learningRate: 0 });
  }
  await session.close();
  return inputs;
}

await tap.test('the classifier drops pooled units, attention drops probabilities', async (t) => {
  const cases = [
    { linear: 'classifier', site: 'classifierDropout', group: 1 },
    { linear: `${LAYER}attention.output.dense`, site: 'attentionProbsDropoutProb', group: 4 }, // a head of 4 units
  ];
  for (const { linear, site, group } of cases) {
    const [full = new Float32Array()] = await inputsOf({}, linear, 1);
    const inputs = await inputsOf({ [site]: 0.4 }, linear, 60);
    let zeros = 0;
    for (const input of inputs) {
      const expected = full.map((value, i) => (input[i] === 0 ? 0 : value / 0.6));
      zeros += input.filter((value) => value === 0).length;
      const error = maxRelative(input, expected);
      if (!(error < 1e-5)) t.fail(`${site}: a kept unit is off by ${error}`);
    }
    const draws = (60 * 64) / group;
    const bound = 4.5 * Math.sqrt(0.4 * 0.6 * draws);
    t.ok(Math.abs(zeros / group - 0.4 * draws) < bound, `${site}: ${zeros / group} of ${draws} dropped`);
  }
});

await tap.test('the backward pass uses the masks of the forward pass', async (t) => {
  const config = { ...TINY, hiddenDropoutProb: 0.3, attentionProbsDropoutProb: 0.3, classifierDropout: 0.3 };
  const session = await seededSession(config, 0.3);
  const batch = batchOf('slope', [13, 1, 30]);
  const isChecked = (name: string): boolean => !isKeyBias(name);
  await checkSlopes(t, session, { batch, isChecked, distance: 0.02, tolerance: 0.02 });
  await session.close();
});
