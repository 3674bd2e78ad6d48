// The losses against torch, label by label; that weights keep accumulation exact; balanced weights; what is refused.
// Expected values: scripts/reference/losses.py.
import { readFileSync } from 'node:fs';
import tap from 'tap';

import { trainingArguments, UsageError } from '../../dist/index.js';
import { Session, type LossOptions, type PackedBatch } from '../../dist/native/index.js';
import { taskOf } from '../../dist/tasks/index.js';
import { lossDivisor, lossOptions } from '../../dist/training/loss.js';
import { toyRun } from '../fixtures/run.js';
import { seededBatch } from '../fixtures/seeded.js';
import {
  float32,
  maxRelative,
  normRelative,
  OPTIONS,
  readAll,
  seededSession,
  TINY,
} from '../fixtures/session.js';
import { bertSpec, type BertShape } from '../fixtures/bert-spec.mjs';

interface Options {
  labelSmoothing?: number;
  focalGamma?: number;
  classWeights?: number[];
  posWeight?: number[];
  temperature?: number;
  alpha?: number;
}

interface Fixture {
  logits: number[][];
  classes: number[];
  hot: number[][];
  soft: { single: number[][]; multi: number[][] };
  /** Probabilities of a teacher, for the cases with a temperature. */
  taught: { single: number[][]; multi: number[][] };
  /** The rows' own labels, for those with an alpha. */
  own: { single: number[][]; multi: number[][] };
  cases: {
    problemType: 'single_label_classification' | 'multi_label_classification';
    options: Options;
    isSoft: boolean;
    loss: number;
    gradients: number[][];
  }[];
  balanced: { labels: number[]; weights: number[] };
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own script wrote it
const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/losses.json', import.meta.url), 'utf8'),
) as Fixture;

function native({ classWeights, posWeight, ...others }: Options): LossOptions {
  return {
    ...others,
    ...(classWeights && { classWeights: Float32Array.from(classWeights) }),
    ...(posWeight && { posWeight: Float32Array.from(posWeight) }),
  };
}

/** A session whose logits are the classifier's bias, whatever the text. */
async function biasSession(problemType: BertShape['problemType']): Promise<Session> {
  const session = await Session.create(bertSpec({ ...TINY, problemType }), OPTIONS);
  const shape = [TINY.numLabels, TINY.hiddenSize];
  await session.write(
    'classifier.weight',
    float32(shape, new Float32Array(TINY.numLabels * TINY.hiddenSize)),
  );
  return session;
}

/** Loss and gradient of one row of logits. */
async function ofRow(
  session: Session,
  logits: readonly number[],
  labels: PackedBatch['labels'],
  options: LossOptions & { divisor: number },
): Promise<{ loss: number; gradient: Float32Array }> {
  await session.restart();
  await session.write('classifier.bias', float32([logits.length], Float32Array.from(logits)));
  const batch = { inputIds: Int32Array.of(1, 2), cuSeqlens: Int32Array.of(0, 2), ...(labels && { labels }) };
  await session.accumulate(batch, options);
  const { totalLoss: loss } = await session.stats();
  return { loss, gradient: await session.read('classifier.bias', 'gradient') };
}

await tap.test('losses and their gradients equal those of torch', async (group) => {
  for (const { problemType, options, isSoft, loss, gradients } of fixture.cases) {
    const isSingle = problemType === 'single_label_classification';
    await group.test(`${problemType}${isSoft ? ', soft' : ''} ${JSON.stringify(options)}`, async (t) => {
      const session = await biasSession(problemType);
      const settings = native(options);
      const probabilities = options.temperature === undefined ? fixture.soft : fixture.taught;
      const soft = isSingle ? probabilities.single : probabilities.multi;
      const own = isSingle ? fixture.own.single : fixture.own.multi;
      const labels = fixture.logits.map((_, row) =>
        isSingle && !isSoft
          ? Int32Array.of(fixture.classes[row] ?? NaN)
          : Float32Array.from([
              ...((isSoft ? soft : fixture.hot)[row] ?? []),
              ...((options.alpha === undefined ? undefined : own[row]) ?? []),
            ]),
      );
      const batches = labels.map((row) => ({
        inputIds: Int32Array.of(1),
        cuSeqlens: Int32Array.of(0, 1),
        labels: row,
      }));
      const divisor = lossDivisor(taskOf(problemType, ['a', 'b', 'c']), batches, settings);
      let sum = 0;
      for (const [row, logits] of fixture.logits.entries()) {
        const found = await ofRow(session, logits, labels[row], { ...settings, divisor });
        sum += found.loss;
        const expected = gradients[row] ?? [];
        const error = Math.max(...expected.map((value, i) => Math.abs(value - (found.gradient[i] ?? NaN))));
        t.ok(error < 1e-6, `gradients of row ${row} differ by ${error.toExponential(1)}`);
      }
      t.ok(Math.abs(sum - loss) < 1e-6 * Math.max(1, loss), `${sum} is ${loss}`);
      await session.close();
    });
  }
});

await tap.test('losses stay finite at the ends of the range', async (t) => {
  const ends = [
    [0, 0, 0],
    [1e4, -1e4, 0],
    [-1e4, 1e4, 1e4],
    [200, 0, -200],
    [17, 0, 0],
  ];
  for (const focalGamma of [0, 0.01, 0.5, 1, 5]) {
    for (const problemType of ['single_label_classification', 'multi_label_classification'] as const) {
      const session = await biasSession(problemType);
      for (const logits of ends) {
        const labels =
          problemType === 'single_label_classification'
            ? [0, 1, 2].map((label) => Int32Array.of(label))
            : [Float32Array.of(0, 0, 0), Float32Array.of(1, 1, 1), Float32Array.of(1, 0, 1)];
        for (const label of labels) {
          const { loss, gradient } = await ofRow(session, logits, label, { divisor: 1, focalGamma });
          t.ok(
            Number.isFinite(loss) && loss >= 0 && gradient.every(Number.isFinite),
            `${problemType}, gamma ${focalGamma}, logits ${logits.join()}, label ${label.join()}: ${loss}, ${gradient.join()}`,
          );
        }
      }
      await session.close();
    }
  }
});

await tap.test('weights and focal loss do not depend on how a step is cut', async (t) => {
  const lengths = [9, 1, 30, 4, 17, 2];
  const labels = [0, 2, 1, -100, 1, 2];
  const settings = native({ classWeights: [0.3, 4, 1.1], focalGamma: 1.5 });
  const outcome = async (cuts: number[]): Promise<{ loss: number; gradients: Map<string, Float32Array> }> => {
    const session = await seededSession(TINY, 0.3);
    const whole = seededBatch({ name: 'weights', lengths, pairs: false, vocabSize: TINY.vocabSize });
    const batches = cuts.map((rows, i) => {
      const first = cuts.slice(0, i).reduce((sum, n) => sum + n, 0);
      const start = whole.cuSeqlens[first] ?? 0;
      return {
        inputIds: whole.inputIds.slice(start, whole.cuSeqlens[first + rows]),
        cuSeqlens: whole.cuSeqlens.slice(first, first + rows + 1).map((offset) => offset - start),
        labels: Int32Array.from(labels.slice(first, first + rows)),
      };
    });
    const divisor = lossDivisor(taskOf('single_label_classification', ['a', 'b', 'c']), batches, settings);
    for (const batch of batches) await session.accumulate(batch, { ...settings, divisor });
    const { loss } = await session.stats();
    const gradients = await readAll(session, 'gradient');
    await session.close();
    return { loss, gradients };
  };
  const whole = await outcome([6]);
  for (const cuts of [
    [3, 3],
    [1, 2, 3],
    [1, 1, 1, 1, 1, 1],
  ]) {
    const parts = await outcome(cuts);
    t.ok(Math.abs(parts.loss / whole.loss - 1) < 1e-6, `loss in parts of ${cuts.join()}`);
    for (const name of ['classifier.weight', 'bert.embeddings.word_embeddings.weight']) {
      const error = normRelative(parts.gradients.get(name) ?? [], whole.gradients.get(name) ?? []);
      t.ok(error < 3e-6, `${name} in parts of ${cuts.join()} differs by ${error.toExponential(1)}`);
    }
  }
});

await tap.test('balanced weights are those of scikit-learn, and neg / pos', (t) => {
  const { labels, weights } = fixture.balanced;
  const args = (options: object): Parameters<typeof lossOptions>[0] =>
    trainingArguments({ outputDir: 'out', ...options });
  const names = ['a', 'b', 'c'];
  const single = taskOf('single_label_classification', names);
  const rowsOf = (all: number[]): Parameters<typeof lossOptions>[2] => ({
    size: all.length,
    labels: (rows) => Int32Array.from(rows, (row) => all[row] ?? NaN),
  });
  const balanced = lossOptions(args({ classWeights: 'balanced' }), single, rowsOf(labels));
  t.ok(maxRelative(balanced.classWeights ?? [], weights) < 1e-7);
  t.throws(() => lossOptions(args({ classWeights: 'balanced' }), single, rowsOf([0, 1, 1])), {
    name: 'UsageError',
    message: /classWeights cannot be balanced: the label "c" has no training row/,
  });

  const multi = taskOf('multi_label_classification', names);
  const hotRows = (hot: number[][]): Parameters<typeof lossOptions>[2] => ({
    size: hot.length,
    labels: (rows) => Float32Array.from(Array.from(rows).flatMap((row) => hot[row] ?? [])),
  });
  const { posWeight } = lossOptions(args({ posWeight: 'balanced' }), multi, hotRows(fixture.hot));
  t.ok(maxRelative(posWeight ?? [], [3 / 2, 2 / 3, 2 / 3]) < 1e-7);
  const always = [
    [1, 0, 1],
    [1, 1, 0],
  ];
  t.throws(() => lossOptions(args({ posWeight: 'balanced' }), multi, hotRows(always)), {
    message: /the label "a" is in every training row/,
  });
  t.end();
});

await tap.test('a loss is refused what it does not know', async (t) => {
  const values = Float32Array.of(1, 2, 3);
  const refusals: [BertShape['problemType'], LossOptions, RegExp][] = [
    ['regression', { focalGamma: 2 }, /focalGamma does not go with mean_squared_error/],
    ['regression', { classWeights: values }, /classWeights does not go with mean_squared_error/],
    [
      'multi_label_classification',
      { classWeights: values },
      /classWeights does not go with binary_cross_entropy/,
    ],
    ['single_label_classification', { posWeight: values }, /posWeight does not go with cross_entropy/],
    ['single_label_classification', { focalGamma: 2, labelSmoothing: 0.1 }, /exclude each other/],
    ['single_label_classification', { classWeights: values.slice(1) }, /Expected 3 values for classWeights/],
    ['single_label_classification', { focalGamma: -1 }, /focalGamma/],
    [
      'single_label_classification',
      { temperature: 2 },
      /temperature needs probabilities as labels, not class ids/,
    ],
    ['multi_label_classification', { temperature: 0 }, /from 0\.01 to 1000 for temperature/],
    ['multi_label_classification', { temperature: 2, focalGamma: 2 }, /temperature and focalGamma exclude/],
    [
      'multi_label_classification',
      { temperature: 2, labelSmoothing: 0.1 },
      /temperature and labelSmoothing exclude/,
    ],
    ['regression', { temperature: 2 }, /temperature does not go with mean_squared_error/],
    ['regression', { alpha: 0.5 }, /alpha does not go with mean_squared_error/],
    ['multi_label_classification', { alpha: 2 }, /from 0 to 1 for alpha/],
    [
      'multi_label_classification',
      { alpha: 0.5 },
      /alpha needs a Float32Array with the probabilities and the labels/,
    ],
    [
      'single_label_classification',
      { alpha: 0.5 },
      /alpha needs a Float32Array with the probabilities and the labels/,
    ],
    ['multi_label_classification', { alpha: 0.5, focalGamma: 2 }, /alpha and focalGamma exclude/],
  ];
  for (const [problemType, options, message] of refusals) {
    const session = await Session.create(bertSpec({ ...TINY, problemType }), OPTIONS);
    const labels = problemType === 'single_label_classification' ? Int32Array.of(0) : new Float32Array(3);
    const batch = { inputIds: Int32Array.of(1), cuSeqlens: Int32Array.of(0, 1), labels };
    await t.rejects(session.accumulate(batch, { divisor: 1, ...options }), { name: 'UsageError', message });
    await session.close();
  }
});

await tap.test('options of the loss that do not fit', async (t) => {
  const refusals: [Parameters<typeof toyRun>[1], RegExp][] = [
    [{ classWeights: [1, 2, 3] }, /classWeights has 3 values but there are 2 labels: neg, pos/],
    [{ posWeight: 'balanced' }, /posWeight does not go with problemType single_label_classification/],
  ];
  for (const [options, message] of refusals)
    await t.rejects(toyRun(t.testdir(), options), { name: 'UsageError', message });
  const soft = {
    size: 1,
    read: () => Promise.resolve([{ text: 'a good film' }]),
    labels: () => Float32Array.of(0.25, 0.75),
  };
  await t.rejects(toyRun(t.testdir(), { focalGamma: 2 }, { trainDataset: soft }), {
    name: 'UsageError',
    message: 'focalGamma needs class ids as labels; leave it out where labels are probabilities',
  });
  await t.rejects(toyRun(t.testdir(), { distillationTemperature: 2 }), {
    name: 'UsageError',
    message:
      /^distillationTemperature needs the probabilities of a teacher as labels, and the training rows have classes/,
  });
  await t.rejects(toyRun(t.testdir(), { distillationAlpha: 0.5 }, { trainDataset: soft }), {
    name: 'UsageError',
    message: /^distillationAlpha needs the rows' own labels beside those of the teacher; .* hardLabelColumn/,
  });
  const wrong: [object, RegExp][] = [
    [{ distillationTemperature: 0 }, /Expected a number from 0\.01 to 1000 for distillationTemperature/],
    [
      { distillationTemperature: 2, labelSmoothingFactor: 0.1 },
      /distillationTemperature and labelSmoothingFactor exclude each other: the answers of a teacher/,
    ],
    [
      { distillationTemperature: 2, focalGamma: 2 },
      /distillationTemperature and focalGamma exclude each other: a focal loss has no softened form/,
    ],
    [{ distillationAlpha: 1.5 }, /Expected a number from 0 to 1 for distillationAlpha/],
    [
      { distillationAlpha: 0.5, labelSmoothingFactor: 0.1 },
      /distillationAlpha and labelSmoothingFactor exclude each other/,
    ],
    [{ distillationAlpha: 0.5, focalGamma: 2 }, /distillationAlpha and focalGamma exclude each other/],
    [{ classWeights: [1, 0] }, /Expected balanced, or a number above 0 for each label for classWeights/],
    [{ classWeights: [1, NaN] }, /classWeights/],
    [{ classWeights: [1, -2] }, /classWeights/],
    [{ classWeights: 'balance' }, /classWeights/],
    [{ focalGamma: -1 }, /focalGamma/],
    [{ focalGamma: 2, labelSmoothingFactor: 0.1 }, /focalGamma and labelSmoothingFactor exclude each other/],
    [{ classWeights: [1], posWeight: [1] }, /posWeight and classWeights exclude each other/],
  ];
  for (const [options, message] of wrong)
    t.throws(() => trainingArguments({ outputDir: 'out', ...options }), { name: UsageError.name, message });
});

await tap.test('a run with balanced weights learns', async (t) => {
  const run = await toyRun(t.testdir(), {
    numTrainEpochs: 10,
    classWeights: 'balanced',
    focalGamma: 1,
    loggingSteps: 1,
  });
  await run.trainer.train();
  const losses = run.trainer.state.log_history.flatMap(({ loss }) => loss ?? []);
  t.ok((losses.at(-1) ?? 1) < 0.8 * (losses[0] ?? 0), losses.join(' '));
  // A focal loss of gamma 1 of an undecided model is about half of log 2.
  t.ok((losses[0] ?? 0) > 0.2 && (losses[0] ?? 1) < 0.5, `${losses[0]}`);
  await run.close();
});
