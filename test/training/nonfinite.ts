// Steps whose gradient is not finite: stop, skip and count, or fall back to the last checkpoint.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  BertForSequenceClassification,
  parseBertConfig,
  trainingArguments,
  type TrainerParts,
  type TrainingArguments,
} from '../../dist/index.js';
import { trainWith, type End } from '../fixtures/faulty-run.js';
import { largestDifference } from '../fixtures/run.js';
import { TOY_CONFIG } from '../fixtures/toy.js';

const BATCH = 8;
/** Its square is no float32. */
const TOO_LARGE = 3e38;

/** Numbers to predict, a batch of rows a step in their order; the labels of some steps are beyond all bounds. */
function regression(badSteps: readonly number[]): Partial<TrainerParts> {
  const labelOf = (row: number): number =>
    badSteps.includes(Math.floor(row / BATCH) + 1) ? TOO_LARGE : row % 3;
  return {
    model: BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), {
      numLabels: 1,
      problemType: 'regression',
    }),
    trainDataset: {
      size: 60 * BATCH,
      read: (rows) =>
        Promise.resolve(
          Array.from(rows, (row) => ({ text: row % 2 === 0 ? 'good film' : 'the bad plot was dull' })),
        ),
      labels: (rows) => Float32Array.from(rows, labelOf),
    },
    evalDataset: undefined,
  };
}

const settings = {
  trainSamplingStrategy: 'sequential',
  perDeviceTrainBatchSize: BATCH,
  lrSchedulerType: 'constant',
  learningRate: 1e-3,
} as const;

function train(
  folder: string,
  badSteps: readonly number[],
  options: Partial<TrainingArguments>,
): Promise<End> {
  return trainWith(folder, null, { ...settings, ...options }, regression(badSteps));
}

const said = ({ lines }: End): string[] => lines.filter((line) => /not finite|Falling back/.test(line));
const logged = ({ log }: End, name: string): number[] =>
  log.flatMap((entry) => entry.flatMap(([key, value]) => (key === name ? [value] : [])));

await t.test('stop: the default', async (t) => {
  const { error } = await train(t.testdir(), [3], {});
  t.match(error, {
    name: 'RunError',
    message:
      /^The gradient was not finite in 1 step up to step 3; it changed no weight\. Use a lower learningRate, .* nonfiniteGradient skip\.$/,
  });
});

await t.test('skip: as if the step had not been, and its count', async (t) => {
  const folder = t.testdir();
  const skipping = await train(folder, [3, 5], { nonfiniteGradient: 'skip', loggingSteps: 2 });
  t.equal(skipping.error, null);
  t.same(said(skipping), [
    'The gradient was not finite in 1 step up to step 4; it changed no weight',
    'The gradient was not finite in 1 step up to step 6; it changed no weight',
  ]);
  t.same(logged(skipping, 'train_skipped_steps'), [2]);
  t.ok(logged(skipping, 'loss').every(Number.isFinite), 'the loss of the others is logged');

  // Resumes from between the two; and the count is that of the whole run.
  rmSync(join(folder, 'out/checkpoint-6'), { recursive: true });
  const resumed = await train(folder, [3, 5], {
    nonfiniteGradient: 'skip',
    loggingSteps: 2,
    resumeFromCheckpoint: true,
  });
  t.equal(largestDifference(skipping.weights, resumed.weights), 0);
  t.same(resumed.log, skipping.log);

  // What a run that stopped says can be done.
  rmSync(join(folder, 'out'), { recursive: true });
  t.match((await train(folder, [3, 5], { loggingSteps: 2 })).error, { message: /up to step 4/ });
  const skippedNow = { nonfiniteGradient: 'skip', loggingSteps: 2, resumeFromCheckpoint: true } as const;
  const goneOn = await train(folder, [3, 5], skippedNow);
  t.equal(largestDifference(skipping.weights, goneOn.weights), 0);

  const hopeless = await train(
    t.testdir(),
    Array.from({ length: 30 }, (_, i) => i + 3),
    { nonfiniteGradient: 'skip', maxSteps: 40 },
  );
  t.match(hopeless.error, {
    name: 'RunError',
    message: /not finite .* up to step 12; .* for 10 steps in a row/,
  });
});

await t.test('rollback: weights and moments of the last checkpoint, and the next rows', async (t) => {
  const folder = t.testdir();
  const options = { nonfiniteGradient: 'rollback', maxSteps: 8 } as const;
  const rolled = await train(folder, [6], options);
  t.equal(rolled.error, null, String(rolled.error));
  t.same(
    said(rolled).map((line) => line.replace(/\S*\/out/, 'out')),
    [
      'The gradient was not finite in 1 step up to step 6; it changed no weight',
      'Falling back to out/checkpoint-4; the training continues with the rows after step 6',
    ],
  );
  t.same(logged(rolled, 'train_skipped_steps'), [2], 'steps 5 and 6 have no effect');

  // The same as if both had been skipped: step 7 is the fifth update, with the rows and masks of step 7.
  const skipped = await train(t.testdirName, [5, 6], {
    nonfiniteGradient: 'skip',
    maxSteps: 8,
    outputDir: join(folder, 'skipped'),
  });
  t.equal(largestDifference(rolled.weights, skipped.weights), 0);

  for (const from of [2, 4, 6]) {
    rmSync(join(folder, `out/checkpoint-8`), { recursive: true, force: true });
    const resumed = await train(folder, [6], {
      ...options,
      resumeFromCheckpoint: join(folder, `out/checkpoint-${from}`),
    });
    t.equal(largestDifference(rolled.weights, resumed.weights), 0, `the same bits from checkpoint-${from}`);
    t.same(resumed.log, rolled.log);
  }

  const tooEarly = await train(t.testdir(), [2], options);
  t.match(tooEarly.error, { message: /^The gradient was not finite at step 2, before the first checkpoint/ });
  const everyStep = Array.from({ length: 30 }, (_, i) => i + 3);
  const hopeless = await train(t.testdir(), everyStep, { ...options, maxSteps: 40 });
  t.match(hopeless.error, { name: 'RunError', message: /up to step 12; .* for 10 steps in a row/ });
  const everyOther = everyStep.map((step) => 2 * step);
  const useless = await train(t.testdir(), everyOther, { ...options, maxSteps: 40, saveSteps: 5 });
  t.equal(useless.error, null, 'each checkpoint has a step more');
  // Good steps in between, but none of them is saved: the same checkpoint again and again.
  const noHelp = Array.from({ length: 11 }, (_, i) => 26 + 2 * i);
  const never = await train(t.testdir(), noHelp, { ...options, maxSteps: 60, saveSteps: 24 });
  t.match(never.error, {
    message: /^The gradient was not finite at step 46, and .*checkpoint-24 did not help 10/,
  });
});

await t.test('options that do not go together', async (t) => {
  const args = { outputDir: 'x', nonfiniteGradient: 'rollback' } as const;
  t.throws(() => trainingArguments({ ...args, saveStrategy: 'no' }), {
    message: 'nonfiniteGradient rollback needs checkpoints to fall back to, but saveStrategy is no',
  });
  t.throws(() => trainingArguments({ ...args, saveOnlyModel: true }), { message: /saveOnlyModel is given/ });
  t.throws(() => trainingArguments({ ...args, nonfiniteGradient: 'ignore' as never }), {
    message: /stop, skip(, | or )rollback/,
  });
});
