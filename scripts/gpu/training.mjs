// A short training of made-up tokens in a session, and what it leaves: the bits of weights and optimizer, losses and norms.
import { createHash } from 'node:crypto';
import { parseConfig, Session } from '../../dist/index.js';
import { freshLora } from '../../dist/models/lora.js';
import { encoderOf } from '../../dist/models/config.js';
import { sessionSpec } from '../../dist/models/session.js';
import { kernelsProblem } from '../../dist/native/index.js';
import { peakBytes } from '../bench/worker/measures.mjs';
import { modelConfig, shapeOf } from '../bench/shape.mjs';

export const ADAMW = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};

/**
 * @typedef {object} Training
 * @property {string} device
 * @property {'float32' | 'bfloat16'} dtype
 * @property {boolean} [tf32]
 * @property {number} [seed]
 * @property {object} [config] as of config.json; left out, that of a small BERT
 * @property {readonly (readonly number[])[]} [batches] lengths of the texts of each micro-batch, in turn
 * @property {number} [steps]
 * @property {number} [perStep] micro-batches of a step
 * @property {import('../../dist/index.js').TrainingOptions} [options]
 * @property {number} [loraRank]
 *
 * @typedef {Awaited<ReturnType<typeof train>>} Trained
 */

/** Lengths that come again and again, so that graphs are recorded and replayed. */
export const BATCHES = [
  [33, 7, 64, 21],
  [60, 60, 60, 60],
  [5, 9],
];

/** A small BERT with dropout. */
export const SMALL = smallConfig('2x128x2');

/** @param {string} shape */
export function smallConfig(shape) {
  return modelConfig(shapeOf(shape), 2000, ['0', '1', '2']);
}

/** @param {Training} training */
export async function openSession({
  device,
  dtype,
  tf32,
  seed = 42,
  config = SMALL,
  options = {},
  loraRank = 0,
}) {
  const parsed = parseConfig(config, 'check:gpu');
  const lora = loraRank > 0 ? await freshLora(parsed, { rank: loraRank, baseName: '.' }, []) : undefined;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- machineFacts gave it
  const name = /** @type {'cpu'} */ (device);
  const settings = { device: name, dtype, threads: 2, seed, ...(tf32 === undefined ? {} : { tf32 }) };
  const session = await Session.create(sessionSpec(parsed, lora), settings);
  await session.restart(options);
  const adapters = session.tensors().filter(({ name: tensor }) => tensor.includes('lora_'));
  if (adapters.length > 0)
    await session.configure(
      session.tensors().map(({ name: tensor }) => ({
        name: tensor,
        trainable: tensor.includes('lora_') || tensor.startsWith('classifier'),
      })),
    );
  return { session, vocabSize: encoderOf(parsed).embeddings.vocab };
}

/**
 * @param {readonly number[]} lengths
 * @param {number} vocabSize
 * @param {number} [salt] for other tokens
 */
export function batchOf(lengths, vocabSize, salt = 0) {
  const offsets = [0];
  for (const length of lengths) offsets.push((offsets.at(-1) ?? 0) + length);
  const tokens = offsets.at(-1) ?? 0;
  return {
    inputIds: Int32Array.from({ length: tokens }, (_, i) => 1 + (((i + 31 * salt) * 7919) % (vocabSize - 1))),
    cuSeqlens: Int32Array.from(offsets),
    labels: Int32Array.from(lengths, (_, i) => (i + salt) % 2),
  };
}

/** @param {Training} training */
export async function train(training) {
  const { batches = BATCHES, steps = 9, perStep = 2, device } = training;
  const started = performance.now();
  const { session, vocabSize } = await openSession(training);
  const openSeconds = secondsSince(started);
  let firstStepSeconds = 0;
  const losses = [];
  const norms = [];
  for (let step = 0; step < steps; step++) {
    const micro = Array.from({ length: perStep }, (_, i) =>
      batchOf(batches[(step + i) % batches.length] ?? [8], vocabSize, step + i),
    );
    const divisor = micro.reduce((sum, { labels }) => sum + labels.length, 0);
    await Promise.all([
      ...micro.map((batch) => session.accumulate(batch, { divisor })),
      session.update(ADAMW),
    ]);
    const { loss, gradNorm } = await session.stats();
    if (step === 0) firstStepSeconds = secondsSince(started);
    losses.push(loss);
    norms.push(gradNorm);
  }
  const stats = await session.stats();
  const bits = await bitsOf(session);
  await session.close();
  return {
    bits,
    losses,
    norms,
    updates: stats.updates,
    skipped: stats.skipped,
    graphProblem: stats.graphProblem,
    kernelsProblem: kernelsProblem(),
    openSeconds,
    firstStepSeconds,
    peakBytes: peakBytes(device),
  };
}

/** The exact bytes of all weights and of the optimizer's state. @param {Session} session */
export async function bitsOf(session) {
  const hash = createHash('sha256');
  for (const { name } of session.tensors()) hash.update(new Uint8Array((await session.read(name)).buffer));
  for (const { name, kind } of await session.optimizerState())
    hash.update(new Uint8Array((await session.read(name, kind)).buffer));
  return hash.digest('hex').slice(0, 16);
}

/** max |a - b| / max |b| @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function distance(a, b) {
  let difference = a.length === b.length ? 0 : NaN;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs((a[i] ?? NaN) - (b[i] ?? NaN)));
    largest = Math.max(largest, Math.abs(b[i] ?? NaN));
  }
  return difference / largest;
}

/** @param {number} started */
function secondsSince(started) {
  return (performance.now() - started) / 1000;
}
