// The training loop on a toy task: it learns, counts as HF counts, saves what HF reads, and resumes bit for bit.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  classify,
  loadDataset,
  parseBertConfig,
  Progress,
  Trainer,
  trainingArguments,
  UsageError,
  type TrainingArguments,
} from '../dist/index.js';
import { openSafetensors } from '../dist/model/index.js';
import { epochOrder, microBatches, permutation, trainingLength } from '../dist/training/order.js';
import { makeToy, TOY_CONFIG, toyRow } from './fixtures/toy.js';

const silent = new Progress({ write: () => true });

/** Everything a run needs, from random weights; `close` when done. */
async function toyRun(
  folder: string,
  overrides: Partial<TrainingArguments>,
  sizes = { train: 40, test: 20 },
): Promise<{
  trainer: Trainer;
  model: BertForSequenceClassification;
  tokenizer: BertTokenizer;
  close: () => Promise<void>;
}> {
  const paths = makeToy(folder, sizes);
  const data = await loadDataset({ train: paths.train, test: paths.test });
  const tokenizer = await BertTokenizer.fromPretrained(paths.model);
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), data.task);
  const args = trainingArguments({
    outputDir: join(folder, 'out'),
    learningRate: 2e-3,
    threads: 2,
    dataloaderNumWorkers: 0,
    saveStrategy: 'no',
    ...overrides,
  });
  const trainer = new Trainer({
    model,
    args,
    tokenizer,
    trainDataset: data.train,
    evalDataset: data.test,
    progress: silent,
  });
  return {
    trainer,
    model,
    tokenizer,
    close: async () => {
      await trainer.close();
      await model.close();
      await data.close();
    },
  };
}

async function weightsOf(model: BertForSequenceClassification): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const { name } of model.session.tensors()) weights.set(name, await model.session.read(name));
  return weights;
}

function largestDifference(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let largest = 0;
  for (const [name, values] of a) {
    const others = b.get(name);
    values.forEach(
      (value, i) => (largest = Math.max(largest, Math.abs(value - (others?.[i] ?? Number.NaN)))),
    );
  }
  return largest;
}

await t.test('a separable task is learnt to the last row', async (t) => {
  const { trainer, model, tokenizer, close } = await toyRun(
    t.testdir(),
    {
      numTrainEpochs: 12,
      loggingSteps: 5,
      trainSamplingStrategy: 'group_by_length',
      dataloaderNumWorkers: 1,
    },
    { train: 100, test: 20 },
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

await t.test('a resumed run ends with the same bits as one that was not interrupted', async (t) => {
  // 41 rows, batch 4, accumulation 3: 4 steps an epoch, the last one short; step 6 lies inside the second epoch
  const settings = {
    numTrainEpochs: 3,
    perDeviceTrainBatchSize: 4,
    gradientAccumulationSteps: 3,
    loggingSteps: 5,
  };
  const sizes = { train: 41, test: 20 };
  const whole = await toyRun(t.testdir(), { ...settings, saveStrategy: 'steps', saveSteps: 6 }, sizes);
  await whole.trainer.train();
  const weights = await weightsOf(whole.model);
  const history = whole.trainer.state.log_history;
  await whole.close();

  const folder = join(t.testdirName, 'out');
  t.same(readdirSync(folder).toSorted(), ['checkpoint-12', 'checkpoint-6'], 'no temporary folder is left');
  rmSync(join(folder, 'checkpoint-12'), { recursive: true });
  const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true }, sizes);
  await again.trainer.train();
  t.equal(largestDifference(weights, await weightsOf(again.model)), 0);
  const timeless = (entries: typeof history) =>
    entries.map((entry) =>
      Object.entries(entry).filter(([name]) => !/runtime|per_second|data_wait/.test(name)),
    );
  t.same(timeless(again.trainer.state.log_history), timeless(history));
  await again.close();

  const other = await toyRun(t.testdirName, { ...settings, seed: 7, resumeFromCheckpoint: true }, sizes);
  await t.rejects(other.trainer.train(), { message: /seed was 42 and is now 7/ });
  await other.close();
});

await t.test('how a step is cut into batches changes nothing but the rounding', async (t) => {
  const run = async (perDeviceTrainBatchSize: number, gradientAccumulationSteps: number) => {
    const { trainer, model, close } = await toyRun(t.testdir(), {
      maxSteps: 6,
      perDeviceTrainBatchSize,
      gradientAccumulationSteps,
      trainSamplingStrategy: 'sequential',
      loggingSteps: 1,
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

await t.test('checkpoints: best and newest stay, and the best is loaded at the end', async (t) => {
  const { trainer, model, close } = await toyRun(t.testdir(), {
    numTrainEpochs: 4,
    evalStrategy: 'epoch',
    saveStrategy: 'epoch',
    saveTotalLimit: 2,
    loadBestModelAtEnd: true,
    metricForBestModel: 'loss',
    learningRate: 5e-2, // so high that the last epoch is not the best
  });
  await trainer.train();
  const { best_model_checkpoint: best, best_metric: metric, log_history: history } = trainer.state;
  const losses = history.flatMap((entry) => entry['eval_loss'] ?? []);
  t.equal(losses.length, 4, 'one evaluation an epoch');
  t.equal(metric, Math.min(...losses));
  const kept = readdirSync(join(t.testdirName, 'out')).toSorted();
  t.ok(kept.length <= 2 && kept.includes('checkpoint-20'), kept.join(' '));
  t.ok(best !== null && kept.includes(best.split('/').at(-1) ?? ''));
  const saved = await openSafetensors(join(best ?? '', 'model.safetensors'));
  const bytes = await saved.tensors.get('classifier.weight')?.read();
  const loaded = await model.session.read('classifier.weight');
  t.same(
    Buffer.from(loaded.buffer),
    Buffer.from(bytes ?? []),
    'the weights in memory are those of the best checkpoint',
  );
  await saved.close();
  await close();
});

await t.test('the files of a checkpoint', async (t) => {
  const { trainer, close } = await toyRun(t.testdir(), { maxSteps: 2, saveStrategy: 'steps', saveSteps: 2 });
  await trainer.train();
  const folder = join(t.testdirName, 'out', 'checkpoint-2');
  t.same(readdirSync(folder).toSorted(), [
    'bertune_state.json',
    'config.json',
    'model.safetensors',
    'optimizer.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
    'trainer_state.json',
    'vocab.txt',
  ]);
  // transformers 5.18: [field.name for field in dataclasses.fields(TrainerState)]; load_from_json refuses others
  const fields =
    'best_global_step best_metric best_model_checkpoint epoch eval_steps global_step is_hyper_param_search ' +
    'is_local_process_zero is_world_process_zero log_history logging_steps max_steps num_input_tokens_seen ' +
    'num_train_epochs save_steps stateful_callbacks total_flos train_batch_size trial_name trial_params';
  const state = JSON.parse(readFileSync(join(folder, 'trainer_state.json'), 'utf8')) as object;
  t.same(Object.keys(state).toSorted(), fields.split(' '));
  await close();
});

await t.test('a loss that is not finite stops the run and names the remedy', async (t) => {
  const { trainer, model, close } = await toyRun(t.testdir(), { maxSteps: 5, loggingSteps: 1 });
  const session = await model.open({ threads: 2 });
  const poison = new Uint8Array(new Float32Array(64).fill(Number.NaN).buffer);
  await session.write('classifier.weight', { dtype: 'F32', shape: [2, 32], data: poison });
  await t.rejects(trainer.train(), { name: 'RunError', message: /not finite .*--learning-rate/ });
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
  t.same(length(41, 4, 3, 3), { stepsPerEpoch: 4, totalSteps: 12 });
  t.same(length(40, 8, 1, 0.5), { stepsPerEpoch: 5, totalSteps: 3 });
  t.same(length(3, 8, 4, 2), { stepsPerEpoch: 1, totalSteps: 2 });
  t.same(length(40, 8, 1, 3, 7), { stepsPerEpoch: 5, totalSteps: 7 });

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
  t.same(
    microBatches(Uint32Array.from(all.slice(0, 10)), 1, 2, 3).map((rows) => Array.from(rows)),
    [
      [6, 7],
      [8, 9],
    ],
  );
  t.end();
});
