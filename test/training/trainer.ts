// The training loop on a toy task: it learns, counts as HF counts, starts afresh, and refuses what does not fit.
import t from 'tap';

import {
  BertForSequenceClassification,
  classify,
  createTokenizerPool,
  evaluateRows,
  parseBertConfig,
  Progress,
  Trainer,
  trainingArguments,
  UsageError,
  type EncoderModel,
} from '../../dist/index.js';
import { trainingLength } from '../../dist/training/plan.js';
import { epochOrder, microBatches, permutation, stepRows } from '../../dist/training/sampler.js';
import { masksOfTheStep } from '../fixtures/device.js';
import { largestDifference, timelessLog, toyRun, weightsOf } from '../fixtures/run.js';
import { TOY_CONFIG, toyRow } from '../fixtures/toy.js';

await t.test('a separable task is learnt to the last row', async (t) => {
  const { trainer, model, tokenizer, close } = await toyRun(
    t.testdir(),
    {
      numTrainEpochs: 12,
      loggingSteps: 5,
      trainSamplingStrategy: 'group_by_length',
      dataloaderNumWorkers: 1,
    },
    { sizes: { train: 100, test: 20 } },
  );
  const before = await trainer.evaluate();
  const metrics = await trainer.train();
  const after = await trainer.evaluate();
  t.ok((before.eval_loss ?? 0) > 0.6, 'random weights know nothing');
  t.equal(after.eval_accuracy, 1);
  t.ok((after.eval_loss ?? 1) < 0.1, `eval_loss ${after.eval_loss}`);
  t.equal(trainer.state.global_step, 156, '100 rows in batches of 8, 12 epochs');
  t.ok((metrics.train_loss ?? 1) < 0.6);
  t.ok((metrics.train_data_wait ?? 1) >= 0 && (metrics.train_data_wait ?? 1) < 1);
  const [good, bad] = await classify(model, tokenizer, [toyRow(200).text, toyRow(201).text]);
  t.equal(good?.label, 'pos');
  t.equal(bad?.label, 'neg');
  t.ok(Math.abs(Object.values(good?.probabilities ?? {}).reduce((sum, p) => sum + p, 0) - 1) < 1e-12);
  await close();
});

await t.test('how a step is cut into batches changes nothing but the rounding', masksOfTheStep, async (t) => {
  const run = async (perDeviceTrainBatchSize: number, gradientAccumulationSteps: number) => {
    const { trainer, model, close } = await toyRun(t.testdir(), {
      maxSteps: 6,
      perDeviceTrainBatchSize,
      gradientAccumulationSteps,
      trainSamplingStrategy: 'sequential',
      loggingSteps: 1,
      dtype: 'float32', // where there is hardware for bfloat16, auto takes that, which rounds more
    });
    await trainer.train();
    const result = {
      weights: await weightsOf(model),
      losses: trainer.state.log_history.map((entry) => entry['loss']),
    };
    await close();
    return result;
  };
  const [whole, halves, singles] = [await run(8, 1), await run(4, 2), await run(1, 8)];
  for (const split of [halves, singles]) {
    // Adam divides by the gradient's own size, so rounding in a gradient near 0 can move a weight by a visible part
    // of the learning rate: the losses are the sharp test, the weights a coarse one.
    split.losses
      .slice(0, 6)
      .forEach((loss, i) => t.ok(Math.abs((loss ?? 0) - (whole.losses[i] ?? 1)) < 1e-5));
    t.ok(largestDifference(whole.weights, split.weights) < 2e-3);
  }
});

await t.test('opening a model many times at once gives one session', async (t) => {
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'));
  const settings = { device: 'cpu', dtype: 'float32', threads: 1, seed: 3 } as const;
  const sessions = await Promise.all(
    [settings, {}, { threads: 1 }, { seed: 3 }].map((some) => model.open(some)),
  );
  t.equal(new Set([...sessions, model.session, await model.open({ device: 'auto', dtype: 'auto' })]).size, 1);
  for (const [key, value, fault] of [
    ['dtype', 'bfloat16', 'dtype float32, not bfloat16'],
    ['threads', 2, 'threads 1, not 2'],
    ['seed', 42, 'seed 3, not 42'],
    ['tf32', true, 'tf32 left out, not true'],
  ] as const)
    await t.rejects(model.open({ ...settings, [key]: value }), {
      name: 'UsageError',
      message: new RegExp(fault),
    });
  await model.close();

  const failing = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'));
  const wrong = { threads: 1, device: 'tpu' as 'cpu' };
  await t.rejects(Promise.all([failing.open(wrong), failing.open(wrong)]), UsageError);
  await t.resolves(failing.open({ threads: 1 }), 'a failure does not stand in the way of the next attempt');
  await failing.close();
});

await t.test('a second Trainer on a model trains as a first one on its weights', async (t) => {
  const folder = t.testdir();
  const settings = { maxSteps: 5, loggingSteps: 2, weightDecay: 0.1 };
  const { trainer, model, parts, close } = await toyRun(folder, settings);
  await trainer.train();
  await model.savePretrained(`${folder}/first`);
  // Gradients that no update has used up must not get into the new training either.
  const labels = Int32Array.of(1);
  await model.session.accumulate(
    { inputIds: Int32Array.of(2, 3), cuSeqlens: Int32Array.of(0, 2), labels },
    { divisor: 1 },
  );
  const second = new Trainer(parts);
  await second.train();

  const copy = await BertForSequenceClassification.fromPretrained(`${folder}/first`);
  const fresh = await toyRun(folder, settings, { model: copy });
  await fresh.trainer.train();
  t.equal(largestDifference(await weightsOf(model), await weightsOf(copy)), 0);
  t.same(timelessLog(second.state), timelessLog(fresh.trainer.state));
  t.notSame(timelessLog(second.state), timelessLog(trainer.state), 'it continued from the trained weights');
  await Promise.all([second.close(), close(), fresh.close()]);
});

await t.test('data that do not fit the model are refused before the first batch', async (t) => {
  const { tokenizer, data, parts, close } = await toyRun(t.testdir(), {});
  const pool = createTokenizerPool(tokenizer, { maxLength: 32, workers: 0 });
  const modelOf = (labels: string[], problemType: typeof data.task.problemType) =>
    BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), { labels, problemType });
  const binary = 'single_label_classification with the labels neg, pos';
  const [values, many] = [modelOf(['x', 'y'], 'regression'), 'multi_label_classification'] as const;
  const cases: [EncoderModel, typeof data.test | Rows, what: string, found: string][] = [
    [values, data.test, 'regression with 2 values a row', binary],
    [modelOf(['neg', 'pos'], many), data.test, `${many} with the labels neg, pos`, binary],
    [
      modelOf(['pos', 'neg'], data.task.problemType),
      data.test,
      binary.replace('neg, pos', 'pos, neg'),
      binary,
    ],
    [values, rowsWith(Int32Array.of(1)), 'regression with 2 values a row', '1 class id a row'],
    [values, rowsWith(Float32Array.of(1)), 'regression with 2 values a row', '1 value a row'],
    [parts.model, rowsWith(Float32Array.of(1, 1)), binary, '2 values a row'],
  ];
  t.throws(() => modelOf(['LABEL_0'], data.task.problemType), {
    message: / needs two labels, and the model has one; /,
  });
  t.throws(() => modelOf([], data.task.problemType), {
    message: /^A head needs at least one label; the length of labels is 0$/,
  });
  for (const numLabels of [0, -1, 1.5])
    t.throws(
      () => BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), { numLabels }),
      {
        message: `A head needs at least one label; numLabels is ${numLabels}`,
      },
    );
  for (const [model, rows, what, found] of cases) {
    const fault = `The model's task is ${what}, which does not fit the evaluation data: ${found}. `;
    const evaluation = evaluateRows(model, rows, { pool, batchSize: 8 });
    const error: unknown = await evaluation.catch((reason: unknown) => reason);
    t.ok(error instanceof UsageError && error.message.startsWith(`${fault}Evaluate a model`), String(error));
    t.notMatch(String(error), '\n', 'one line');
    t.throws(() => new Trainer({ ...parts, model, trainDataset: rows }), {
      name: 'UsageError',
      message: `${fault.replace('evaluation', 'training')}Make the model for the data`,
    });
    const evalParts = { ...parts, model, trainDataset: fitting(model), evalDataset: rows };
    t.throws(() => new Trainer(evalParts), { message: fault });
  }
  for (const model of [modelOf(['LABEL_0', 'LABEL_1', 'LABEL_2'], data.task.problemType), parts.model]) {
    await model.open({ threads: 1 });
    t.type((await evaluateRows(model, data.test, { pool, batchSize: 8 }))['eval_loss'], 'number');
    await model.close();
  }
  await pool.close();
  await close();
});

/** Rows of a script's own, each with the same labels. */
interface Rows {
  size: number;
  read: (rows: ArrayLike<number>) => Promise<{ text: string }[]>;
  labels: (rows: ArrayLike<number>) => Int32Array | Float32Array;
}

function rowsWith(labels: Int32Array | Float32Array): Rows {
  const read = (rows: ArrayLike<number>) => Promise.resolve(Array.from(rows, () => ({ text: 'the film' })));
  return { size: 4, read, labels: () => labels };
}

function fitting({ task: { problemType, numLabels } }: EncoderModel): Rows {
  const isSingle = problemType === 'single_label_classification';
  return rowsWith(isSingle ? Int32Array.of(0) : new Float32Array(numLabels));
}

await t.test('labels without names are noted where the data have names', async (t) => {
  const said = async (head: { numLabels: number } | { labels: string[] }): Promise<string> => {
    let text = '';
    const progress = new Progress({ write: (line: string) => ((text += line), true) });
    const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), head);
    const { trainer, close } = await toyRun(t.testdir(), { maxSteps: 1 }, { model, progress });
    await trainer.train();
    await close();
    return text;
  };
  t.match(
    await said({ numLabels: 2 }),
    /note: the model calls its labels LABEL_0, LABEL_1, and so will its predictions; give it those of the data \(neg, pos\)/,
  );
  t.match(await said({ labels: ['a', 'b', 'c'] }), 'note: the model calls its labels a, b, c, and so will');
  t.notMatch(await said({ labels: ['neg', 'pos'] }), 'calls its labels');
});

await t.test('a loss that is not finite stops the run and names the remedy', async (t) => {
  const { trainer, model, close } = await toyRun(t.testdir(), { maxSteps: 5, loggingSteps: 1 });
  const session = await model.open({ threads: 2, dtype: 'float32' });
  const poison = new Uint8Array(new Float32Array(64).fill(Number.NaN).buffer);
  await session.write('classifier.weight', { dtype: 'F32', shape: [2, 32], data: poison });
  await t.rejects(trainer.train(), { name: 'RunError', message: /not finite .*learningRate/ });
  await close();
});

await t.test('arguments that do not fit together', async (t) => {
  t.throws(() => trainingArguments({ outputDir: 'x', learningRate: Number.NaN }), UsageError);
  t.throws(() => trainingArguments({ outputDir: 'x', perDeviceTrainBatchSize: 0 }), UsageError);
  t.throws(() => trainingArguments({ outputDir: 'x', learningRat: 1 } as never), { message: /learningRate/ });
  await t.rejects(toyRun(t.testdir(), { maxSeqLength: 33 }), {
    message: /33 but the model has 32 positions/,
  });
});

await t.test('length and order of a run', (t) => {
  const length = (size: number, batchSize: number, accumulation: number, epochs: number, maxSteps = -1) =>
    trainingLength({ size, batchSize, accumulation, epochs, maxSteps });
  // transformers 5.18 Trainer.set_initial_training_values: ceil(epochs * max(ceil(ceil(N / bs) / ga), 1))
  t.same(length(41, 4, 3, 3), { batchesPerEpoch: 11, stepsPerEpoch: 4, totalSteps: 12 });
  t.same(length(40, 8, 1, 0.5), { batchesPerEpoch: 5, stepsPerEpoch: 5, totalSteps: 3 });
  t.same(length(3, 8, 4, 2), { batchesPerEpoch: 1, stepsPerEpoch: 1, totalSteps: 2 });
  t.same(length(40, 8, 1, 3, 7), { batchesPerEpoch: 5, stepsPerEpoch: 5, totalSteps: 7 });

  const sorted = (rows: Uint32Array) => Array.from(rows).toSorted((a, b) => a - b);
  const all = Array.from({ length: 1000 }, (_, i) => i);
  t.same(sorted(permutation(1000, 42, 0)), all, 'every row once');
  t.notSame(permutation(1000, 42, 0), permutation(1000, 42, 1), 'another order in another epoch');
  t.notSame(permutation(1000, 42, 0), permutation(1000, 43, 0), 'another order with another seed');
  // Pearson's chi-squared of where row 0 lands over 4000 seeds and 10 cells: 99.99 % of fair shuffles stay below 33.7
  const cells = Array.from({ length: 10 }, () => 0);
  for (let seed = 0; seed < 4000; seed++) {
    const cell = permutation(10, seed, 0).indexOf(0);
    cells[cell] = (cells[cell] ?? 0) + 1;
  }
  t.ok(cells.reduce((sum, n) => sum + (n - 400) ** 2 / 400, 0) < 33.7, `cells ${cells.join(' ')}`);

  const lengths = all.map((row) => (row * 7919) % 509);
  const grouped = epochOrder({
    size: 1000,
    strategy: 'group_by_length',
    batchSize: 8,
    seed: 1,
    epoch: 0,
    lengths,
  });
  t.same(sorted(grouped), all);
  t.equal(lengths[grouped[0] ?? 0], Math.max(...lengths), 'the longest row comes first');
  // HF: mega-batches of min(1000 // 32, 50) * 8 = 248 rows, longest first; only their first rows may be swapped
  for (let start = 0; start < 1000; start += 248) {
    const part = Array.from(grouped.subarray(start + 1, start + 248), (row) => lengths[row] ?? 0);
    t.same(
      part,
      part.toSorted((a, b) => b - a),
    );
  }

  const rowsOfSteps = (batchSize: number, accumulation: number) => {
    const plan = trainingLength({ size: 1000, batchSize, accumulation, epochs: 2, maxSteps: -1 });
    const options = {
      size: 1000,
      strategy: 'group_by_length',
      batchSize,
      accumulation,
      seed: 1,
      lengths,
    } as const;
    return Array.from(stepRows(0, plan, options), (batches) => batches.flatMap((rows) => Array.from(rows)));
  };
  const whole = rowsOfSteps(16, 1);
  for (const accumulation of [2, 4, 16])
    t.same(rowsOfSteps(16 / accumulation, accumulation), whole, `grouped by length, cut in ${accumulation}`);
  t.same(
    microBatches(Uint32Array.from(all.slice(0, 10)), 1, 2, 3).map((rows) => Array.from(rows)),
    [
      [6, 7],
      [8, 9],
    ],
  );
  t.end();
});
