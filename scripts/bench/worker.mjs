// bertune's side of the bench: does one job in a fresh process and prints its result as one JSON line.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BertForSequenceClassification,
  BertTokenizer,
  deviceInfo,
  loadDataset,
  parseBertConfig,
  Progress,
  Trainer,
  trainingArguments,
  UsageError,
} from '../../dist/index.js';
import { chooseDevice } from '../../dist/device.js';
import { messageOf } from '../setup/errors.mjs';
import { MAX_TOKENS, modelConfig } from './shape.mjs';

const SEED = 42;

/**
 * @typedef {import('./shape.mjs').Shape} Shape
 * @typedef {{ dtype: 'auto' | 'float32' | 'bfloat16', threads: number }} Runtime
 * @typedef {{ data: string, rows: number, tokenizer: string, shape: Shape }} Input
 * @typedef {{ output: string } & Input} EncodeJob
 * @typedef {{ batchSize: number } & Input & Runtime} TrainJob
 * @typedef {{ rows: number, length: number, config: object, shape: Shape, rounds: number, stepsPerRound: number } & Runtime} StepJob
 */

/**
 * Writes config, token ids and labels of the rows for the other side, so that both do the same work.
 *
 * @param {EncodeJob} job
 */
async function encode({ output, ...input }) {
  const { rows, tokenizer, config, close } = await open(input);
  const numbers = Uint32Array.from({ length: rows.size }, (_, row) => row);
  const encodings = (await rows.read(numbers)).map(({ text, textPair }) =>
    tokenizer.encode(text, textPair, { maxLength: MAX_TOKENS }),
  );
  if (encodings.some(({ typeIds }) => typeIds !== null))
    throw new UsageError('The bench takes one text a row, not pairs');
  const ids = encodings.map((encoding) => Array.from(encoding.ids));
  await writeFile(output, JSON.stringify({ config, ids, labels: Array.from(rows.labels(numbers)) }));
  await close();
  return { lengths: ids.map(({ length }) => length), vocabSize: config.vocab_size };
}

/**
 * Trains one step of one model, which is not measured, and then one epoch of another, which is: from texts on disk to
 * the last update.
 *
 * @param {TrainJob} job
 */
async function train({ batchSize, dtype: asked, threads, ...input }) {
  const { dtype } = chooseDevice({ device: 'cpu', dtype: asked }, deviceInfo());
  const { rows, tokenizer, config, close } = await open(input);
  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  /** @param {number} maxSteps */
  const trainOnce = async (maxSteps) => {
    const args = trainingArguments({
      outputDir: folder,
      numTrainEpochs: 1,
      maxSteps,
      perDeviceTrainBatchSize: batchSize,
      maxSeqLength: MAX_TOKENS,
      saveStrategy: 'no',
      loggingStrategy: 'no',
      seed: SEED,
      device: 'cpu',
      dtype,
      threads,
    });
    const model = BertForSequenceClassification.fromConfig(parseBertConfig(config, 'the bench'));
    await model.open(args);
    const started = performance.now();
    const trainer = new Trainer({ model, args, tokenizer, trainDataset: rows, progress: silent() });
    const { train_data_wait: dataWait } = await trainer.train();
    const seconds = (performance.now() - started) / 1000;
    await trainer.close();
    await model.close();
    return { seconds, dataWait, tokens: trainer.state.num_input_tokens_seen };
  };
  try {
    await trainOnce(1);
    return { ...(await trainOnce(-1)), dtype, peakBytes: peakBytes() };
  } finally {
    await rm(folder, { recursive: true, force: true });
    await close();
  }
}

/** @param {{ tokenizer: string }} job */
async function vocabulary({ tokenizer }) {
  const { vocabSize } = await BertTokenizer.fromPretrained(tokenizer);
  return { vocabSize };
}

/**
 * Times forward, backward and update on sequences of one length; the first step is not measured.
 *
 * @param {StepJob} job
 */
async function timeSteps({ rows, length, config: raw, shape, rounds, stepsPerRound, ...runtime }) {
  const { dtype } = chooseDevice({ device: 'cpu', dtype: runtime.dtype }, deviceInfo());
  const config = parseBertConfig(raw, 'the bench');
  const vocabSize = config.vocabSize;
  const model = BertForSequenceClassification.fromConfig(config);
  const session = await model.open({ device: 'cpu', dtype, threads: runtime.threads, seed: SEED });
  const batch = {
    // Any ids but 0, the padding, spread over the vocabulary.
    inputIds: Int32Array.from({ length: rows * length }, (_, i) => 1 + ((i * 7919) % (vocabSize - 1))),
    cuSeqlens: Int32Array.from({ length: rows + 1 }, (_, i) => i * length),
    labels: Int32Array.from({ length: rows }, (_, i) => i % 2),
  };
  const adamw = {
    learningRate: 5e-5,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradNorm: 1,
  };
  /** @param {number} steps */
  const secondsOf = async (steps) => {
    const started = performance.now();
    const calls = Array.from({ length: steps }, () => [
      session.accumulate(batch, { divisor: rows }),
      session.update(adamw),
    ]);
    await Promise.all(calls.flat());
    return (performance.now() - started) / 1000;
  };
  await secondsOf(1);
  const seconds = [];
  for (let round = 0; round < rounds; round++) seconds.push((await secondsOf(stepsPerRound)) / stepsPerRound);
  // The largest product of the step, so the machine's best for this work, measured after the peak of memory is known.
  const peak = peakBytes();
  const matmulRate = await session.matmulRate(rows * length, shape.hidden, shape.intermediate);
  await model.close();
  return { seconds, dtype, matmulRate, peakBytes: peak };
}

/**
 * Opens the data, the tokenizer and a config. Labels are those of the whole file: its first rows may have one only.
 *
 * @param {Input} input
 */
async function open({ data, rows: limit, tokenizer: folder, shape }) {
  const tokenizer = await BertTokenizer.fromPretrained(folder);
  const dataset = await loadDataset({ train: data });
  const { train: whole, task } = dataset;
  if (task.problemType !== 'single_label_classification')
    throw new UsageError(`The bench takes one class a row; ${data} is ${task.problemType}`);
  if (whole.size < limit) throw new UsageError(`--rows is ${limit} but ${data} has ${whole.size} rows`);
  return {
    tokenizer,
    config: modelConfig(shape, tokenizer.vocabSize, task.labels),
    rows: {
      size: limit,
      labels: whole.labels,
      /** @param {ArrayLike<number>} rows */
      read: (rows) => whole.read(rows),
    },
    close: () => dataset.close(),
  };
}

function silent() {
  return new Progress({ write: () => true });
}

/** The most memory that this process has held. */
function peakBytes() {
  return process.resourceUsage().maxRSS * 1024;
}

/** @type {Record<string, (job: any) => unknown>} */
const tasks = { machine: deviceInfo, vocabulary, encode, train, step: timeSteps };

try {
  const job = JSON.parse(process.argv[2] ?? '{}');
  const task = tasks[job.task];
  if (task === undefined) throw new UsageError(`Expected a job for ${Object.keys(tasks).join(', ')}`);
  process.stdout.write(`${JSON.stringify(await task(job))}\n`);
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${isUsage || !(error instanceof Error) ? messageOf(error) : error.stack}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
