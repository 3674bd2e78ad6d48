// Steps alone: forward, backward and update on sequences of one length.
import { freshLora } from '../../../dist/models/lora.js';
import { encoderOf } from '../../../dist/models/config.js';
import { matchingNames } from '../../../dist/models/parameters.js';
import { sessionSpec } from '../../../dist/models/session.js';
import {
  AutoModelForSequenceClassification,
  parseConfig,
  Session,
  trainingArguments,
} from '../../../dist/index.js';
import { parameterGroups } from '../../../dist/training/parameter-groups.js';
import { largestProduct, peakBytes, splitOf, timed } from './measures.mjs';

const SEED = 42;
const BYTES = 4; // state is float32
const ADAMW = {
  learningRate: 5e-5,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/**
 * @typedef {import('../../../dist/index.js').ModelConfig} ModelConfig
 * @typedef {import('../../../dist/index.js').SessionOptions} SessionOptions
 * @typedef {import('../options.mjs').Variant} Variant
 * @typedef {{ rows: number, length: number, warmUp: number, steps: number, config: object, shape: import('../shape.mjs').Shape, variant: Variant } & import('./inputs.mjs').Runtime} StepJob
 */

/** The tensors that patterns freeze. @param {{ config: object, patterns: readonly string[] }} job */
export function frozen({ config, patterns }) {
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
  const names = model.tensorNames();
  return { names: patterns.flatMap((pattern) => matchingNames(pattern, names, '--freeze')) };
}

/** Times steps; those that warm up are not measured. @param {StepJob} job */
export async function step({
  rows,
  length,
  warmUp,
  steps,
  config: json,
  shape,
  variant,
  threads,
  device,
  dtype,
}) {
  const config = parseConfig(json, 'the bench');
  const session = await openSession(config, variant, { device, dtype, threads, seed: SEED });
  const batch = batchOf(rows, length, encoderOf(config).embeddings.vocab);
  /** @param {number} count */
  const train = async (count) => {
    const calls = Array.from({ length: count }, () => [
      session.accumulate(batch, { divisor: rows }),
      session.update(ADAMW),
    ]);
    await Promise.all(calls.flat());
    await session.stats(); // waits for the device
  };
  await train(warmUp);
  const { seconds, ...rest } = await timed(device, () => train(steps));
  const peak = peakBytes(device); // before what follows can raise it
  const state = await session.optimizerState();
  const stateBytes = state.reduce(
    (sum, { shape: sizes }) => sum + BYTES * sizes.reduce((a, b) => a * b, 1),
    0,
  );
  const split = device === 'cpu' ? { split: await splitOf(threads, () => train(1)) } : {};
  const matmulRate = await session.matmulRate(rows * length, ...largestProduct(shape));
  await session.close();
  return {
    seconds: seconds / steps,
    tokens: batch.inputIds.length,
    matmulRate,
    peakBytes: peak,
    stateBytes,
    ...rest,
    ...split,
  };
}

/** Times forward passes without gradients. @param {StepJob} job */
export async function forward({ rows, length, warmUp, steps, config: json, shape, ...runtime }) {
  const { threads, device, dtype } = runtime;
  const config = parseConfig(json, 'the bench');
  const session = await Session.create(sessionSpec(config), { device, dtype, threads, seed: SEED });
  const batch = batchOf(rows, length, encoderOf(config).embeddings.vocab);
  /** @param {number} count */
  const predict = (count) => Promise.all(Array.from({ length: count }, () => session.predict(batch)));
  await predict(warmUp);
  const { seconds, ...rest } = await timed(device, () => predict(steps));
  const peak = peakBytes(device);
  const matmulRate = await session.matmulRate(rows * length, ...largestProduct(shape));
  await session.close();
  return {
    seconds: seconds / steps,
    tokens: batch.inputIds.length,
    matmulRate,
    peakBytes: peak,
    ...rest,
  };
}

/**
 * A session that trains as Trainer does with the same options.
 *
 * @param {ModelConfig} config
 * @param {Variant} variant
 * @param {SessionOptions} options
 */
async function openSession(config, { gradientCheckpointing, loraRank, freeze }, options) {
  const lora = loraRank > 0 ? await freshLora(config, { rank: loraRank, baseName: '.' }, []) : undefined;
  const session = await Session.create(sessionSpec(config, lora), options);
  const names = session.tensors().map(({ name }) => name);
  const groups = parameterGroups({ ...trainingArguments({ outputDir: '.' }), freeze }, names, 1, lora);
  await session.restart({ gradientCheckpointing });
  await session.configure(groups.settings(groups.depthAt(0)));
  return session;
}

/** @param {number} rows @param {number} length @param {number} vocabSize */
function batchOf(rows, length, vocabSize) {
  return {
    // Any ids but 0, the padding, spread over the vocabulary.
    inputIds: Int32Array.from({ length: rows * length }, (_, i) => 1 + ((i * 7919) % (vocabSize - 1))),
    cuSeqlens: Int32Array.from({ length: rows + 1 }, (_, i) => i * length),
    labels: Int32Array.from({ length: rows }, (_, i) => i % 2),
  };
}
