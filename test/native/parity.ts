// A Session against transformers: logits, loss and every gradient of one step, 20-step AdamW curves, accumulation,
// and bfloat16 against our own float32. Expected values: scripts/reference/parity.py.
//
// How errors are measured. Logits: max |a - b| / max |b|. Loss: |a - b|, relative to the loss where that is above 1.
// Gradients and weights: |a - b| / |b| in the Euclidean norm, per tensor. The fixture holds float64 results and how far
// float32 transformers is from them (`rounding`); both distances together must stay within the tolerance, so a pass
// implies agreement with float32 transformers within it.
import tap from 'tap';

import type { Session } from '../../dist/native/index.js';
import { divisorOf, fixture, pack, worst, type Batch, type Curve } from '../fixtures/parity.js';
import { seededBatch, seededWeight } from '../fixtures/seeded.js';
import * as support from '../fixtures/session.js';
import type { BertShape } from '../fixtures/bert-spec.mjs';

/** Rows per micro-batch -> the optimizer step in as many `accumulate` calls. */
async function accumulateSplit(
  session: Session,
  config: BertShape,
  batch: Batch,
  split: number[],
): Promise<void> {
  let row = 0;
  for (const rows of split) {
    await session.accumulate(pack(config, batch, row, row + rows), { divisor: divisorOf(batch) });
    row += rows;
  }
}

await tap.test('one step equals transformers', async (group) => {
  for (const reference of fixture.cases) {
    await group.test(reference.name, async (t) => {
      const { config, scale, batch, labelSmoothing, rounding } = reference;
      const session = await support.seededSession(config, scale);
      const packed = pack(config, batch);
      const logits = await session.predict(packed);
      await session.accumulate(packed, { divisor: divisorOf(batch), labelSmoothing });
      const { loss } = await session.stats();
      const gradients = await support.readAll(session, 'gradient');
      await session.close();

      const logitsError = support.maxRelative(logits, reference.logits);
      const lossError = Math.abs(loss - reference.loss) / Math.max(1, Math.abs(reference.loss));
      const gradient = worst(gradients, reference.gradients);
      t.ok(logitsError + rounding.logits <= 1e-5, `logits differ by ${logitsError.toExponential(1)}`);
      t.ok(lossError + rounding.loss <= 1e-6, `loss differs by ${lossError.toExponential(1)}`);
      t.ok(
        gradient.error + rounding.gradient <= 1e-4,
        `gradients differ by up to ${gradient.error.toExponential(1)} (${gradient.name})`,
      );
      t.same(
        [...gradients.keys()],
        Object.keys(reference.gradients),
        'the tensors are those of transformers',
      );
    });
  }
});

async function runCurve(
  curve: Curve,
  session: Session,
  split: number[],
): Promise<{ losses: number[]; norms: number[] }> {
  const losses: number[] = [];
  const norms: number[] = [];
  for (const [index, batch] of curve.batches.entries()) {
    await accumulateSplit(session, curve.config, batch, split);
    const learningRate = curve.learningRates[index] ?? NaN;
    await session.update({ ...curve.options, learningRate, maxGradNorm: curve.maxGradNorm });
    const stats = await session.stats();
    losses.push(stats.loss);
    norms.push(stats.gradNorm);
  }
  return { losses, norms };
}

await tap.test('20 steps of AdamW equal transformers', async (group) => {
  for (const curve of fixture.curves) {
    for (const split of [[8], [3, 5]]) {
      await group.test(`${curve.name}, batches of ${split.join(' and ')}`, async (t) => {
        const session = await support.seededSession(curve.config, curve.scale);
        const { losses, norms } = await runCurve(curve, session, split);
        const weights = await support.readAll(session);
        const { updates, skipped } = await session.stats();
        await session.close();

        const lossError = Math.max(...losses.map((loss, i) => Math.abs(loss - (curve.losses[i] ?? NaN))));
        const normError = Math.max(
          ...norms.map((norm, i) => Math.abs(norm / (curve.gradNorms[i] ?? NaN) - 1)),
        );
        const weight = worst(weights, curve.weights);
        t.ok(lossError + curve.rounding.loss <= 1e-5, `losses differ by up to ${lossError.toExponential(1)}`);
        t.ok(
          normError + curve.rounding.gradNorm <= 1e-4,
          `norms differ by up to ${normError.toExponential(1)}`,
        );
        t.ok(
          weight.error + curve.rounding.weight <= 1e-4,
          `final weights differ by up to ${weight.error.toExponential(1)} (${weight.name})`,
        );
        t.same({ updates, skipped }, { updates: 20, skipped: 0 });
        const reach = curve.learningRates.reduce((sum, rate) => sum + rate, 0);
        for (const [name, values] of [...weights].filter(([key]) => support.isKeyBias(key))) {
          // Adam turns the rounding noise in their gradients into steps of any size up to the learning rate.
          const moved = values.map(
            (value, i) => value - (seededWeight(name, values.length, curve.scale)[i] ?? NaN),
          );
          t.ok(Math.max(...moved.map(Math.abs)) <= 1.5 * reach, `${name} moves no further than Adam can`);
        }
      });
    }
  }
});

/** AdamW's first step in closed form: the bias corrections turn the moments back into g and g^2. */
function adamWStep(
  weight: Float32Array,
  gradient: Float32Array,
  decays: boolean,
  o: typeof support.ADAMW,
): Float32Array {
  const kept = decays ? 1 - o.learningRate * o.weightDecay : 1;
  return weight.map((w, i) => {
    const g = gradient[i] ?? NaN;
    return w * kept - (o.learningRate * g) / (Math.abs(g) + o.epsilon);
  });
}

await tap.test('one update is the formula of AdamW, clipped or not', async (t) => {
  const usual = { learningRate: 0.01, beta1: 0.7, beta2: 0.9, epsilon: 1e-3, weightDecay: 0.2 };
  for (const maxGradNorm of [0, 0.05, 100]) {
    const session = await support.seededSession(support.TINY, 0.3);
    await accumulateSplit(
      session,
      support.TINY,
      { name: 'formula', lengths: [5, 9], pairs: true, labels: [2, 0] },
      [2],
    );
    const weights = await support.readAll(session);
    const gradients = await support.readAll(session, 'gradient');
    await session.update({ ...usual, maxGradNorm });

    const norm = Math.hypot(...[...gradients.values()].map((gradient) => Math.hypot(...gradient)));
    const { gradNorm } = await session.stats();
    t.ok(Math.abs(gradNorm / norm - 1) < 1e-5, 'the norm is the one before clipping');
    const clip = maxGradNorm > 0 ? Math.min(1, maxGradNorm / (norm + 1e-6)) : 1;
    const errors = session.tensors().map(async ({ name, shape }) => {
      const gradient = (gradients.get(name) ?? new Float32Array()).map((value) => value * clip);
      const weight = adamWStep(weights.get(name) ?? new Float32Array(), gradient, shape.length > 1, {
        ...usual,
        maxGradNorm,
      });
      const moment = gradient.map((value) => value * (1 - usual.beta1));
      return Math.max(
        support.maxRelative(await session.read(name), weight),
        support.maxRelative(await session.read(name, 'exp_avg'), moment),
      );
    });
    const error = Math.max(...(await Promise.all(errors)));
    t.ok(
      error < 1e-5,
      `weights and moments with maxGradNorm ${maxGradNorm} differ by ${error.toExponential(1)}`,
    );
    await session.close();
  }
});

await tap.test('accumulation does not depend on how a batch is split', async (t) => {
  const config = { ...support.TINY, maxPositionEmbeddings: 512 };
  const batch = {
    name: 'split',
    lengths: [9, 1, 300, 4, 17, 2, 64, 33],
    pairs: true,
    labels: [0, 2, 1, -100, 1, 0, 2, 2],
  };
  const outcome = async (
    split: number[],
  ): Promise<{ loss: number; gradients: Map<string, Float32Array> }> => {
    const session = await support.seededSession(config, 0.3);
    await accumulateSplit(session, config, batch, split);
    const { loss } = await session.stats();
    const gradients = await support.readAll(session, 'gradient');
    await session.close();
    return { loss, gradients };
  };
  const whole = await outcome([8]);
  for (const split of [
    [4, 4],
    [3, 5],
    [1, 1, 1, 1, 1, 1, 1, 1],
  ]) {
    const parts = await outcome(split);
    const errors = [...whole.gradients]
      .filter(([name]) => !support.isKeyBias(name))
      .map(([name, gradient]) => support.normRelative(parts.gradients.get(name) ?? [], gradient));
    const error = Math.max(...errors);
    t.ok(Math.abs(parts.loss / whole.loss - 1) <= 1e-6, `loss in parts of ${split.join()}`);
    // Other shapes round otherwise; in the query biases most of the sum cancels, which shows the rounding.
    t.ok(error <= 3e-6, `gradients in parts of ${split.join()} differ by ${error.toExponential(1)}`);
  }
});

await tap.test('bfloat16 stays close to float32', async (t) => {
  const large = fixture.cases.find((reference) => reference.name === 'MiniLM shape');
  const [curve] = fixture.curves;
  if (!large || !curve) throw new Error('the fixture lacks a case');
  const batch = { name: 'bfloat16', lengths: [64, 1, 100, 37, 5, 20, 30, 80], pairs: true };
  const outcome = async (
    dtype: 'float32' | 'bfloat16',
  ): Promise<{ logits: Float32Array; losses: number[] }> => {
    const model = await support.seededSession(large.config, large.scale, { dtype });
    const logits = await model.predict(seededBatch({ ...batch, vocabSize: large.config.vocabSize }));
    await model.close();
    const session = await support.seededSession(curve.config, curve.scale, { dtype });
    const { losses } = await runCurve(curve, session, [8]);
    await session.close();
    return { logits, losses };
  };
  const [exact, rounded] = [await outcome('float32'), await outcome('bfloat16')];
  const logits = support.maxRelative(rounded.logits, exact.logits);
  const losses = support.maxRelative(rounded.losses, exact.losses);
  t.ok(logits <= 2e-2, `logits differ by ${logits.toExponential(1)}`);
  t.ok(logits > 1e-5, 'the computation is not float32');
  t.ok(losses <= 2e-2, `losses of 20 steps differ by up to ${losses.toExponential(1)}`);
});

await tap.test('bfloat16 trains float32 weights', async (t) => {
  const session = await support.seededSession(support.TINY, 0.3, { dtype: 'bfloat16' });
  const before = await session.read('classifier.weight');
  await accumulateSplit(
    session,
    support.TINY,
    { name: 'master', lengths: [5, 9], pairs: false, labels: [2, 0] },
    [2],
  );
  await session.update({ ...support.ADAMW, learningRate: 1e-5, weightDecay: 0 });
  const moved = (await session.read('classifier.weight')).map((value, i) =>
    Math.abs(value - (before[i] ?? NaN)),
  );
  // Adam's first step is the learning rate; bfloat16 weights of this size move in steps of 1e-3.
  t.ok(Math.abs(Math.max(...moved) / 1e-5 - 1) < 0.05, `weights move by ${Math.max(...moved)}`);
  await session.close();
});
