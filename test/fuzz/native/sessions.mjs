// Opens, trains and closes sessions one after another: `sessions.mjs SESSIONS WARM_UP`, run with --expose-gc. Prints how
// memory, threads and files grew from the end of the warm-up on, as one line of JSON.
import { readdirSync, readFileSync } from 'node:fs';

import { Session } from '../../../dist/native/index.js';
import { SeededRandom } from '../../../scripts/fuzz/seeded-random.mjs';
import { bertSpec } from '../../fixtures/bert-spec.mjs';

/** @typedef {{ before: number, after: number, growth: number, threads: number, files: number }} Growth
 *   `before` and `after` in MB of resident memory, `growth` as a share of `before`; threads and open files more at the end */

const [sessions = 0, warmUp = 0] = process.argv.slice(2).map(Number);
const MEGABYTE = 2 ** 20;
/** Of samples of memory: single ones go up and down with the garbage collector. */
const WINDOW = Math.max(5, Math.floor(sessions / 20));

const CONFIG = {
  vocabSize: 2000,
  hiddenSize: 64,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  intermediateSize: 256,
  hiddenAct: 'gelu',
  hiddenDropoutProb: 0.1,
  attentionProbsDropoutProb: 0.1,
  classifierDropout: 0.1,
  maxPositionEmbeddings: 128,
  typeVocabSize: 2,
  initializerRange: 0.02,
  layerNormEps: 1e-12,
  padTokenId: 0,
  numLabels: 3,
  problemType: /** @type {const} */ ('single_label_classification'),
};
const UPDATE = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/** @param {SeededRandom} random */
function batchOf(random) {
  const lengths = Array.from({ length: 4 }, () => 1 + random.below(128));
  const cuSeqlens = Int32Array.from([0, ...lengths]);
  for (let i = 1; i < cuSeqlens.length; i++) cuSeqlens[i] = (cuSeqlens[i] ?? 0) + (cuSeqlens[i - 1] ?? 0);
  const inputIds = Int32Array.from({ length: cuSeqlens.at(-1) ?? 0 }, () => random.below(2000));
  return { inputIds, cuSeqlens, labels: Int32Array.of(0, 1, 2, -100) };
}

/** @param {number} number */
async function liveOf(number) {
  const random = new SeededRandom(number % 10);
  const dtype = number % 2 === 0 ? 'float32' : 'bfloat16';
  const session = await Session.create(bertSpec(CONFIG), { device: 'cpu', dtype, threads: 2, seed: number });
  for (let step = 0; step < 2; step++) {
    await session.accumulate(batchOf(random), { divisor: 3 });
    await session.update(UPDATE);
  }
  await session.predict(batchOf(random));
  await session.close();
}

/** @param {string} name */
function statusOf(name) {
  return Number(new RegExp(`${name}:\\s*(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

function sample() {
  globalThis.gc?.();
  const files = readdirSync('/proc/self/fd').length;
  return { rss: statusOf('VmRSS') * 1024, threads: statusOf('Threads'), files };
}

/** @param {readonly number[]} values */
function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

const samples = [];
for (let number = 0; number < sessions; number++) {
  await liveOf(number);
  samples.push(sample());
}
const settled = samples.slice(warmUp);
const first = settled[0] ?? sample();
const last = settled.at(-1) ?? first;
const rss = settled.map((each) => each.rss);
const [before, after] = [median(rss.slice(0, WINDOW)), median(rss.slice(-WINDOW))];
const round = (/** @type {number} */ bytes) => Math.round(bytes / MEGABYTE);
process.stdout.write(
  JSON.stringify({
    before: round(before),
    after: round(after),
    growth: after / before - 1,
    threads: last.threads - first.threads,
    files: last.files - first.files,
  }),
);
