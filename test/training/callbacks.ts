// What a Trainer does between its steps: when it logs, evaluates and saves, what callbacks see and may ask for, and
// metrics of the caller's own.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  EarlyStoppingCallback,
  trainingArguments,
  UsageError,
  type TrainerCallback,
  type TrainerEvent,
  type TrainingArguments,
} from '../../dist/index.js';
import { dueAfterEpoch, dueAfterStep, planRun } from '../../dist/training/plan.js';
import { scripted, toyRun, watched } from '../fixtures/run.js';

/** The steps of a run of 40 rows in batches of 8, 2 epochs, after which something is due. */
function due(options: Partial<TrainingArguments>): Record<'log' | 'evaluate' | 'save', number[]> {
  const args = trainingArguments({ outputDir: 'o', numTrainEpochs: 2, ...options });
  const plan = planRun(args, 40);
  const steps = Array.from({ length: plan.totalSteps }, (_, i) => i + 1);
  const at = (flag: 'shouldLog' | 'shouldEvaluate' | 'shouldSave'): number[] =>
    steps.filter((step) => {
      const epoch = step / plan.stepsPerEpoch;
      const isDueAtEnd = Number.isInteger(epoch) && dueAfterEpoch(epoch, args)[flag];
      return isDueAtEnd || dueAfterStep(step, args, plan)[flag];
    });
  return { log: at('shouldLog'), evaluate: at('shouldEvaluate'), save: at('shouldSave') };
}

// HF's DefaultFlowCallback: with `steps`, the last step is evaluated and saved in any case.

await t.test('what is due after which step', (t) => {
  t.same(due({ loggingSteps: 3, saveSteps: 4 }), { log: [3, 6, 9], evaluate: [], save: [4, 8, 10] });
  t.same(due({ loggingFirstStep: true, loggingSteps: 5 }).log, [1, 5, 10]);
  t.same(due({ evalStrategy: 'steps', evalSteps: 4, evalDelay: 5 }).evaluate, [8, 10]);
  t.same(due({ evalStrategy: 'steps', evalSteps: 4, evalDelay: 11 }).evaluate, []);
  t.same(due({ evalStrategy: 'epoch', evalDelay: 1.5 }).evaluate, [10]);
  t.same(due({ evalStrategy: 'epoch', saveStrategy: 'epoch', loggingStrategy: 'epoch' }), {
    log: [5, 10],
    evaluate: [5, 10],
    save: [5, 10],
  });
  t.same(due({ saveStrategy: 'best', evalStrategy: 'epoch' }).save, [], 'the evaluation decides');
  t.same(due({ saveStrategy: 'no', loggingStrategy: 'no' }), { log: [], evaluate: [], save: [] });
  t.end();
});

await t.test('callbacks are called in HF’s order', async (t) => {
  const seen: string[] = [];
  const note =
    (name: string) =>
    ({ state }: TrainerEvent): void =>
      void seen.push(`${name} ${state.global_step}`);
  const callback: TrainerCallback = {
    onTrainBegin: note('train-begin'),
    onEpochBegin: note('epoch-begin'),
    onStepBegin: note('step-begin'),
    onStepEnd: note('step-end'),
    onEpochEnd: note('epoch-end'),
    onEvaluate: note('evaluate'),
    onSave: note('save'),
    onLog: ({ state, logs }) =>
      void seen.push(`log ${Object.keys(logs)[0]?.split('_')[0]} ${state.global_step}`),
    onTrainEnd: note('train-end'),
  };
  const { trainer, close } = await toyRun(
    t.testdir(),
    {
      numTrainEpochs: 2,
      perDeviceTrainBatchSize: 20,
      evalStrategy: 'epoch',
      saveStrategy: 'epoch',
      loggingStrategy: 'epoch',
      evalOnStart: true,
    },
    { callbacks: [callback] },
  );
  await trainer.train();
  await close();
  const epoch = (first: number): string[] => [
    `epoch-begin ${first}`,
    `step-begin ${first}`,
    `step-end ${first + 1}`,
    `step-begin ${first + 1}`,
    `step-end ${first + 2}`,
    `epoch-end ${first + 2}`,
    `log loss ${first + 2}`,
    `log eval ${first + 2}`,
    `evaluate ${first + 2}`,
    `save ${first + 2}`,
  ];
  t.same(seen, [
    'train-begin 0',
    'log eval 0',
    'evaluate 0',
    ...epoch(0),
    ...epoch(2),
    'log train 4',
    'train-end 4',
  ]);
});

// transformers 5.18 Trainer._run_epoch: epoch + (step + 1) / steps_in_epoch, where both count batches.
await t.test('the epoch counts batches, of which the last step may have fewer', async (t) => {
  const { trainer, close } = await toyRun(
    t.testdir(),
    { numTrainEpochs: 2, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, loggingSteps: 1 },
    { sizes: { train: 20, test: 20 } },
  );
  await trainer.train();
  await close();
  t.same(
    trainer.state.log_history.map(({ epoch }) => epoch),
    [0.4, 0.8, 1, 1.4, 1.8, 2, 2],
  );
});

await t.test('a callback requests a log, an evaluation, a checkpoint and the end', async (t) => {
  const callback: TrainerCallback = {
    onStepEnd({ state, control }) {
      if (state.global_step === 2) control.shouldLog = control.shouldEvaluate = control.shouldSave = true;
      if (state.global_step === 3) control.shouldTrainingStop = true;
    },
  };
  const { trainer, close } = await toyRun(
    t.testdir(),
    { maxSteps: 9, loggingSteps: 100 },
    { callbacks: [callback] },
  );
  const metrics = await trainer.train();
  t.equal(trainer.state.global_step, 3);
  t.same(
    trainer.state.log_history.map((entry) => [entry['step'], Object.keys(entry)[0]]),
    [
      [2, 'loss'],
      [2, 'eval_loss'],
      [3, 'train_loss'],
    ],
  );
  t.ok(metrics.train_loss !== undefined && metrics.train_loss > 0);
  t.same(readdirSync(join(t.testdirName, 'out')), ['checkpoint-2']);
  await close();

  const failing: TrainerCallback = { onStepEnd: () => Promise.reject(new Error('my own mistake')) };
  const other = await toyRun(t.testdir(), { maxSteps: 2 }, { callbacks: [failing] });
  await t.rejects(other.trainer.train(), { message: 'my own mistake' });
  await other.close();
});

await t.test('the save strategy best writes what was the best so far', async (t) => {
  const scores = [1, 3, 2, 4, 4, 3, 2, 1];
  const { trainer, close } = await toyRun(
    t.testdir(),
    { ...watched, saveStrategy: 'best', loadBestModelAtEnd: true },
    { computeMetrics: scripted(scores) },
  );
  await trainer.train();
  await close();
  t.same(readdirSync(join(t.testdirName, 'out')).toSorted(), [
    'checkpoint-2',
    'checkpoint-4',
    'checkpoint-8',
  ]);
  t.equal(trainer.state.best_metric, 4);
  t.equal(trainer.state.best_global_step, 8);
  t.match(trainer.state.best_model_checkpoint, /checkpoint-8$/);
});

await t.test('checkpoints without the optimizer are for use, not for a resume', async (t) => {
  const run = await toyRun(t.testdir(), { maxSteps: 2, saveStrategy: 'steps', saveOnlyModel: true });
  await run.trainer.train();
  await run.close();
  const folder = join(t.testdirName, 'out', 'checkpoint-2');
  t.ok(existsSync(join(folder, 'model.safetensors')) && existsSync(join(folder, 'trainer_state.json')));
  t.notOk(existsSync(join(folder, 'optimizer.safetensors')));
  const again = await toyRun(t.testdirName, { maxSteps: 2, resumeFromCheckpoint: true });
  await t.rejects(again.trainer.train(), { message: /was saved with saveOnlyModel/ });
  await again.close();
});

await t.test('computeMetrics gets every logit and label, in order', async (t) => {
  let called = 0;
  const { trainer, model, data, close } = await toyRun(
    t.testdir(),
    { perDeviceEvalBatchSize: 6 },
    {
      computeMetrics: ({ logits, labels, rows, numLabels }) => {
        called += 1;
        t.same([rows, numLabels, logits.length, labels.length], [20, 2, 40, 20]);
        const hits = Array.from(labels).filter(
          (label, i) => label === ((logits[2 * i + 1] ?? 0) > (logits[2 * i] ?? 0) ? 1 : 0),
        );
        return Promise.resolve({ my_accuracy: hits.length / rows, eval_loss: -1 });
      },
    },
  );
  const metrics = await trainer.evaluate();
  t.equal(metrics['eval_my_accuracy'], metrics['eval_accuracy']);
  t.equal(metrics['eval_loss'], -1, 'the caller’s own wins');
  t.equal(called, 1);
  t.equal(model.task.numLabels, data.task.numLabels);
  await close();

  for (const [wrong, message] of [
    [{ f1: 'high' }, 'Expected a number for f1 of computeMetrics but received "high"'],
    [null, 'Expected an object of numbers for the result of computeMetrics but received null'],
  ] as const) {
    const run = await toyRun(t.testdir(), {}, { computeMetrics: () => wrong as unknown as { f1: number } });
    await t.rejects(run.trainer.evaluate(), new UsageError(message));
    await run.close();
  }
});

await t.test('metricForBestModel is one of ours where there is no computeMetrics', async (t) => {
  await t.rejects(toyRun(t.testdir(), { ...watched, metricForBestModel: 'recall_of_a' }), {
    message: /^Expected one of loss, accuracy.* for metricForBestModel but received "recall_of_a"$/,
  });
  const run = await toyRun(t.testdir(), watched, { computeMetrics: () => ({ other: 1 }) });
  await t.rejects(run.trainer.train(), { message: /'eval_score' is not among the metrics: eval_loss/ });
  await run.close();
});

await t.test('states of callbacks are not lost or mixed up', async (t) => {
  const saveState = (): number => 1;
  await t.rejects(toyRun(t.testdir(), {}, { callbacks: [{ saveState }] }), {
    message: 'A callback with saveState needs a name, under which its state is saved',
  });
  const two = [new EarlyStoppingCallback(), new EarlyStoppingCallback({ patience: 3 })];
  await t.rejects(toyRun(t.testdir(), {}, { callbacks: two }), {
    message: 'Two callbacks are called EarlyStoppingCallback: their states would be mixed up',
  });
});

await t.test('another schedule begins at its own beginning', async (t) => {
  const settings = {
    maxSteps: 4,
    saveStrategy: 'steps',
    saveSteps: 2,
    evalStrategy: 'steps',
    evalSteps: 2,
  } as const;
  const first = await toyRun(t.testdir(), settings);
  await first.trainer.train();
  await first.close();
  const folder = join(t.testdirName, 'out');
  const { trainer, close } = await toyRun(t.testdirName, {
    ...settings,
    lrSchedulerType: 'reduce_lr_on_plateau',
    loggingSteps: 1,
    resumeFromCheckpoint: join(folder, 'checkpoint-2'),
  });
  await trainer.train();
  t.equal(trainer.state.log_history.findLast((entry) => 'learning_rate' in entry)?.['learning_rate'], 2e-3);
  await close();
});
