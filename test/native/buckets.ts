// Batches that are filled up to a bucket, as on a GPU: the step is the plain one, whatever the batch, the loss and the model. The
// CPU does so only when it is asked to (`buckets`, for tests), and the yardstick is a session that does not.
import { readFileSync } from 'node:fs';
import tap, { type Test } from 'tap';

import {
  Session,
  type AccumulateOptions,
  type PackedBatch,
  type SessionOptions,
  type SessionSpec,
  type TensorSettings,
  type TrainingOptions,
} from '../../dist/native/index.js';
import { seededBatch, seededWeight } from '../fixtures/seeded.js';
import { ADAMW, float32, isKeyBias, normRelative, OPTIONS, sizeOf, TINY } from '../fixtures/session.js';
import { bertSpec } from '../fixtures/bert-spec.mjs';

interface Setting {
  spec: SessionSpec;
  dtype?: 'float32' | 'bfloat16';
  frozen?: RegExp;
  training?: TrainingOptions;
  loss?: Omit<AccumulateOptions, 'divisor'>;
  /** Labels of a batch from the number of its rows. */
  labels: (rows: number, random: () => number) => NonNullable<PackedBatch['labels']>;
  tolerance?: number;
}

const DROPPING = { ...TINY, hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.1, classifierDropout: 0.1 };
const LABELS = TINY.numLabels;

/** Numbers from 0 to 1, the same in every run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function open(setting: Setting, buckets: boolean): Promise<Session> {
  const { spec, dtype = 'float32', frozen, training } = setting;
  const options: SessionOptions & { buckets: boolean } = { ...OPTIONS, dtype, buckets };
  const session = await Session.create(spec, options);
  for (const { name, shape } of session.tensors())
    await session.write(name, float32(shape, seededWeight(name, sizeOf(shape), 0.3)));
  if (training !== undefined) await session.restart(training);
  const settings: TensorSettings[] = session
    .tensors()
    .filter(({ name }) => frozen?.test(name) === true)
    .map(({ name }) => ({ name, trainable: false }));
  if (settings.length > 0) await session.configure(settings);
  return session;
}

/** Micro-batches of one step: from one sequence to many, from one token to as many as the model takes. */
function stepOf({ spec, labels }: Setting, seed: number): PackedBatch[] {
  const random = randomOf(seed);
  const { vocab, positions, tokenTypes } = spec.encoder.embeddings;
  const room = positions === null ? 40 : positions.rows - positions.first;
  const isPerToken = !spec.head.some((stage) => 'pool' in stage);
  return Array.from({ length: 1 + Math.floor(random() * 3) }, (_, micro) => {
    const most = random() < 0.5 ? 4 : 40;
    const lengths = Array.from({ length: 1 + Math.floor(random() * most) }, () => {
      return 1 + Math.floor(random() * room);
    });
    const pairs = tokenTypes > 1 && random() < 0.7;
    const packed = seededBatch({ name: `${seed}.${micro}`, lengths, pairs, vocabSize: vocab });
    const rows = isPerToken ? packed.inputIds.length : lengths.length;
    return { ...packed, labels: labels(rows, random) };
  });
}

/** Runs the same steps with and without buckets and compares losses and all gradients, before each update. */
async function compare(t: Test, setting: Setting, steps = 3): Promise<void> {
  const { tolerance = 2e-5, loss, frozen } = setting;
  const plain = await open(setting, false);
  const filled = await open(setting, true);
  const trained = plain.tensors().filter(({ name }) => frozen?.test(name) !== true);
  const { padId } = setting.spec.encoder.embeddings;
  let [gradientError, lossError, worst, padding] = [0, 0, '', 0];
  for (let step = 0; step < steps; step += 1) {
    const batches = stepOf(setting, 17 * step + 3);
    const divisor = batches.reduce((sum, { cuSeqlens }) => sum + cuSeqlens.length - 1, 0);
    for (const batch of batches)
      for (const session of [plain, filled]) await session.accumulate(batch, { divisor, ...loss });
    const expected = (await plain.stats()).loss;
    lossError = Math.max(lossError, Math.abs((await filled.stats()).loss - expected) / Math.abs(expected));
    let [largest, differences] = [0, new Map<string, readonly [Float32Array, Float32Array]>()];
    for (const { name } of trained) {
      const gradients = [await filled.read(name, 'gradient'), await plain.read(name, 'gradient')] as const;
      largest = Math.max(largest, Math.hypot(...gradients[1]));
      differences = differences.set(name, gradients);
    }
    for (const [name, [found, wanted]] of differences) {
      // What is nothing but rounding is measured by the others.
      const isSmall = isKeyBias(name) || Math.hypot(...wanted) < 1e-4 * largest;
      const error = isSmall
        ? Math.hypot(...found.map((value, i) => value - (wanted[i] ?? NaN))) / largest
        : normRelative(found, wanted);
      if (!(error <= gradientError)) [gradientError, worst] = [error, name];
      if (padId !== null && /words?(_embeddings)?\.weight$/.test(name)) {
        const width = setting.spec.encoder.embeddings.width;
        padding += Math.hypot(...found.subarray(padId * width, (padId + 1) * width));
      }
    }
    for (const session of [plain, filled]) await session.update(ADAMW);
  }
  t.ok(lossError <= tolerance, `the losses differ by ${lossError}`);
  t.ok(gradientError <= tolerance, `the gradients differ by ${gradientError} (${worst})`);
  t.equal(padding, 0, 'padding has no gradient');
  const [a, b] = [await plain.stats(), await filled.stats()];
  t.same([b.updates, b.skipped], [a.updates, a.skipped]);
  await plain.close();
  await filled.close();
}

const classes = (count: number) => (rows: number, random: () => number) =>
  Int32Array.from({ length: rows }, () => (random() < 0.1 ? -100 : Math.floor(random() * count)));
const hot = (rows: number, random: () => number): Float32Array =>
  Float32Array.from({ length: rows * LABELS }, () => (random() < 0.4 ? 1 : 0));
const values = (rows: number, random: () => number): Float32Array =>
  Float32Array.from({ length: rows * LABELS }, () => 4 * random() - 2);
const probabilities = (rows: number, random: () => number): Float32Array => {
  const all = new Float32Array(rows * LABELS);
  for (let row = 0; row < rows; row += 1) {
    const drawn = Array.from({ length: LABELS }, () => 0.05 + random());
    const sum = drawn.reduce((total, each) => total + each, 0);
    all.set(
      drawn.map((each) => each / sum),
      row * LABELS,
    );
  }
  return all;
};

const weights = Float32Array.of(0.5, 2, 1.25);
const single = bertSpec(DROPPING);
const multi = bertSpec({ ...DROPPING, problemType: 'multi_label_classification' });
const real = bertSpec({ ...DROPPING, problemType: 'regression' });
const LORA = {
  ...DROPPING,
  lora: {
    modules: ['query', 'value'].flatMap((part) =>
      [0, 1].map((layer) => `bert.encoder.layer.${layer}.attention.self.${part}`),
    ),
    rank: 4,
    scaling: 2,
    dropout: 0.1,
  },
};

const settings: Record<string, Setting> = {
  'class ids': { spec: single, labels: classes(LABELS) },
  'class ids, smoothed': { spec: single, labels: classes(LABELS), loss: { labelSmoothing: 0.1 } },
  'class ids, focal': { spec: single, labels: classes(LABELS), loss: { focalGamma: 2 } },
  'class ids with weights': { spec: single, labels: classes(LABELS), loss: { classWeights: weights } },
  'class ids with weights, focal': {
    spec: single,
    labels: classes(LABELS),
    loss: { classWeights: weights, focalGamma: 1.5 },
  },
  probabilities: { spec: single, labels: probabilities },
  'probabilities, smoothed, with weights': {
    spec: single,
    labels: probabilities,
    loss: { labelSmoothing: 0.2, classWeights: weights },
  },
  'probabilities at a temperature': { spec: single, labels: probabilities, loss: { temperature: 3 } },
  'probabilities and own labels': {
    spec: single,
    labels: (rows, random) => {
      const [taught, own] = [probabilities(rows, random), probabilities(rows, random)];
      return Float32Array.from({ length: 2 * taught.length }, (_, i) => {
        const [row, column] = [Math.floor(i / (2 * LABELS)), i % (2 * LABELS)];
        return (column < LABELS ? taught : own)[row * LABELS + (column % LABELS)] ?? NaN;
      });
    },
    loss: { temperature: 2, alpha: 0.7 },
  },
  'several labels': { spec: multi, labels: hot },
  'several labels, smoothed, with weights': {
    spec: multi,
    labels: hot,
    loss: { labelSmoothing: 0.1, posWeight: weights },
  },
  'several labels, focal': { spec: multi, labels: hot, loss: { focalGamma: 2, posWeight: weights } },
  'several labels at a temperature': { spec: multi, labels: probabilities, loss: { temperature: 2 } },
  values: { spec: real, labels: values },
  'no row for padding': { spec: bertSpec({ ...DROPPING, padTokenId: -1 }), labels: classes(LABELS) },
  adapters: {
    spec: bertSpec(LORA),
    labels: classes(LABELS),
    frozen: /^(?!.*\.lora_)(?!classifier\.)/,
  },
  'frozen embeddings and first layer': {
    spec: single,
    labels: classes(LABELS),
    frozen: /embeddings|layer\.0\./,
  },
  bfloat16: { spec: single, dtype: 'bfloat16', labels: classes(LABELS), tolerance: 2e-2 },
};

for (const [name, setting] of Object.entries(settings))
  await tap.test(`a filled step is the plain one: ${name}`, (t) => compare(t, setting));

// Norms before the layers, means, logits of tokens, rotary positions, windows, shared layers, projections ...
interface Case {
  name: string;
  spec: SessionSpec;
  isClasses: boolean;
}
const url = new URL('../fixtures/encoder-specs.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: Case[] };
for (const { name, spec } of cases) {
  const outputs =
    spec.parameters.findLast(({ name: parameter }) => parameter.endsWith('.weight'))?.shape[0] ?? 0;
  const { relative = null } = spec.encoder.attention;
  if (spec.loss !== 'cross_entropy' || relative !== null) continue; // of other attention there are no buckets
  await tap.test(`a filled step is the plain one: ${name}`, async (t) => {
    await compare(t, { spec, labels: classes(outputs), tolerance: 1e-4 }, 2);
  });
}
