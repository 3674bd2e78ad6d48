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
import { ALONE } from '../../../dist/distributed/world.js';
import { parameterGroups } from '../../../dist/training/parameter-groups.js';
import { largestProduct, peakBytes, splitOf, timed } from './measures.mjs';
import { sentBytes } from './world.mjs';

const SEED = 42;
const NO_LABEL = -100;
const BYTES = { float32: 4, bfloat16: 2 };
/** Of several processes, beside those that are timed: of which one could be held up. */
const STEPS_TOGETHER = 3;
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
 * @typedef {import('./world.mjs').World} World
 * @typedef {{ rows: number, length: number, warmUp: number, steps: number, config: object, shape: import('../shape.mjs').Shape, variant: Variant, tf32?: boolean } & import('./inputs.mjs').Runtime} StepJob
 * @typedef {{ nproc?: number, reduceDtype?: 'float32' | 'bfloat16' | null }} Together how processes sum their gradients; null: not
 */

/** The tensors that patterns freeze. @param {{ config: object, patterns: readonly string[] }} job */
export function frozen({ config, patterns }) {
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
  const names = model.tensorNames();
  return { names: patterns.flatMap((pattern) => matchingNames(pattern, names, '--freeze')) };
}

/**
 * Times steps.
 *
 * @param {StepJob & Together} job
 * @param {World} world
 */
export async function step({ variant, reduceDtype = null, ...job }, world) {
  const { config: json, threads, device, dtype, tf32 } = job;
  const config = parseConfig(json, 'the bench');
  const options = { device, dtype, threads, seed: SEED, ...(tf32 !== undefined && { tf32 }) };
  const session = await openSession(config, variant, options);
  if (reduceDtype !== null) await world.join(session, { reduceDtype, nccl: true });
  const batch = { ...batchOf(job, config), ...(reduceDtype !== null && { places: placesOf(job, world) }) };
  const labels = batch.labels.filter((label) => label !== NO_LABEL).length;
  const divisor = labels * (reduceDtype === null ? 1 : world.size);
  /** @param {number} count */
  const train = async (count) => {
    const calls = Array.from({ length: count }, () => [
      session.accumulate(batch, { divisor, endsStep: true }),
      session.update(ADAMW),
    ]);
    await Promise.all(calls.flat());
    await session.stats(); // waits for the device
  };
  /** @param {number} count */
  const reduce = async (count) => {
    for (let i = 0; i < count; i++) await session.update(ADAMW); // of no batch: the gradients are zero
  };
  return timedCalls({ ...job, world }, session, train, async () => {
    const state = await session.optimizerState();
    const stateBytes = BYTES.float32 * valuesIn(state);
    const count = reduceDtype === null ? 1 : STEPS_TOGETHER;
    const { split, dispatches, launches, reduction } = await splitOf(threads, () => train(count));
    const more = {
      stateBytes,
      dispatches: dispatches / count,
      ...(device === 'cpu' ? { split } : { launches: launches / count }),
    };
    if (reduceDtype === null) return more;
    const values = valuesIn(state.filter(({ kind }) => kind === 'exp_avg'));
    const sent = { sentBytes: sentBytes(BYTES[reduceDtype] * values, world.size) };
    if (device !== 'cpu') return { ...more, ...sent };
    await reduce(1);
    const alone = await splitOf(threads, () => reduce(count));
    return { ...more, ...sent, reduction: alone.reduction / count, exposed: reduction / count };
  });
}

/** Times forward passes without gradients. @param {StepJob} job */
export async function forward(job) {
  const { config: json, threads, device, dtype } = job;
  const config = parseConfig(json, 'the bench');
  const session = await Session.create(sessionSpec(config), { device, dtype, threads, seed: SEED });
  const batch = batchOf(job, config);
  /** @param {number} count */
  const predict = (count) => Promise.all(Array.from({ length: count }, () => session.predict(batch)));
  return timedCalls(job, session, predict, async () => ({}));
}

/**
 * Times calls of a session, which it closes; those that warm up are not measured.
 *
 * @param {Omit<StepJob, 'variant'> & { world?: World }} job
 * @param {Session} session
 * @param {(count: number) => Promise<unknown>} run makes so many calls
 * @param {() => Promise<object>} measureMore what else is known afterwards
 */
async function timedCalls(job, session, run, measureMore) {
  const { rows, length, warmUp, steps, shape, device, world = ALONE } = job;
  await run(warmUp);
  await world.sum([0]); // all begin together
  const { seconds, ...rest } = await timed(device, () => run(steps));
  const peak = peakBytes(device); // before what follows can raise it
  const more = await measureMore();
  const matmulRate = await session.matmulRate(rows * length, ...largestProduct(shape));
  await session.close();
  return { seconds: seconds / steps, tokens: rows * length, matmulRate, peakBytes: peak, ...rest, ...more };
}

/**
 * A session that trains as Trainer does with the same options.
 *
 * @param {ModelConfig} config
 * @param {Variant} variant
 * @param {SessionOptions} options
 */
async function openSession(config, { gradientCheckpointing, loraRank, freeze, cudaGraphs }, options) {
  const lora = loraRank > 0 ? await freshLora(config, { rank: loraRank, baseName: '.' }, []) : undefined;
  const session = await Session.create(sessionSpec(config, lora), options);
  const names = session.tensors().map(({ name }) => name);
  const groups = parameterGroups({ ...trainingArguments({ outputDir: '.' }), freeze }, names, 1, lora);
  const training = { gradientCheckpointing, cudaGraphs };
  await session.restart(training);
  await session.configure(groups.settings(groups.depthAt(0)));
  return session;
}

/** @param {readonly { shape: readonly number[] }[]} tensors */
function valuesIn(tensors) {
  return tensors.reduce((sum, { shape: sizes }) => sum + sizes.reduce((a, b) => a * b, 1), 0);
}

/**
 * What is before each sequence of this process, where each takes as many rows.
 *
 * @param {Pick<StepJob, 'rows' | 'length'>} job
 * @param {World} world
 */
function placesOf({ rows, length }, { rank }) {
  const sequences = Int32Array.from({ length: rows }, (_, i) => rank * rows + i);
  return { sequences, tokens: sequences.map((sequence) => sequence * length) };
}

/** @param {Pick<StepJob, 'rows' | 'length'>} job @param {ModelConfig} config */
function batchOf({ rows, length }, config) {
  const vocabSize = encoderOf(config).embeddings.vocab;
  // Any ids but 0, the padding, spread over the vocabulary.
  const inputIds = Int32Array.from({ length: rows * length }, (_, i) => 1 + ((i * 7919) % (vocabSize - 1)));
  return {
    inputIds,
    cuSeqlens: Int32Array.from({ length: rows + 1 }, (_, i) => i * length),
    labels:
      config.problemType === 'masked_lm'
        ? inputIds.map((id, i) => (i % 20 < 3 ? id : NO_LABEL)) // 15 %
        : Int32Array.from({ length: rows }, (_, i) => i % 2),
  };
}
