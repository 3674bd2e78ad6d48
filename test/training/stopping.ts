// How a training ends before its last step: early stopping, a callback, an interruption; and how it is resumed.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  createTokenizerPool,
  EarlyStoppingCallback,
  evaluateRows,
  InterruptedError,
  Progress,
  trainingArguments,
  type TrainerCallback,
  type TrainerState,
  type TrainingArguments,
} from '../../dist/index.js';
import { CallbackList } from '../../dist/training/callbacks.js';
import { largestDifference, scripted, timelessLog, toyRun, watched, weightsOf } from '../fixtures/run.js';

await t.test('early stopping counts as HF does', async (t) => {
  const cases: [scores: number[], options: Partial<TrainingArguments>, epochs: number][] = [
    [[1, 2, 3, 4, 5, 6, 7, 8], { earlyStoppingPatience: 1 }, 8],
    [[1, 2, 2, 9, 9, 9, 9, 9], { earlyStoppingPatience: 1 }, 3],
    [[3, 2, 1, 4, 3, 3, 9, 9], { earlyStoppingPatience: 3 }, 8],
    [[3, 2, 1, 3, 4, 4, 4, 4], { earlyStoppingPatience: 3 }, 4],
    [[1, 1.4, 1.8, 2.6, 2.7, 9, 9, 9], { earlyStoppingPatience: 2, earlyStoppingThreshold: 0.5 }, 3],
    [[1, Number.NaN, 2, Number.NaN, Number.NaN, 3, 3, 3], { earlyStoppingPatience: 2 }, 5],
    [[3, 2, 1, 2, 2, 9, 9, 9], { earlyStoppingPatience: 2, greaterIsBetter: false }, 5],
  ];
  for (const [scores, options, epochs] of cases) {
    const { trainer, close } = await toyRun(
      t.testdir(),
      { ...watched, ...options },
      { computeMetrics: scripted(scores) },
    );
    await trainer.train();
    t.equal(trainer.state.epoch, epochs, JSON.stringify([scores, options]));
    await close();
  }
});

await t.test('early stopping keeps counting after a resume, and stays stopped', async (t) => {
  const settings = { ...watched, saveStrategy: 'epoch', earlyStoppingPatience: 3 } as const;
  const first = await toyRun(t.testdir(), settings, {
    computeMetrics: scripted([5, 4]),
    callbacks: [
      {
        onEpochEnd: ({ state }): void => {
          if (state.epoch === 3) first.trainer.interrupt();
        },
      },
    ],
  });
  await t.rejects(first.trainer.train(), InterruptedError);
  await first.close();
  const folder = join(t.testdirName, 'out');
  const state: TrainerState = JSON.parse(
    readFileSync(join(folder, 'checkpoint-6/trainer_state.json'), 'utf8'),
  );
  t.match(state.stateful_callbacks['EarlyStoppingCallback'], {
    args: { early_stopping_patience: 3, early_stopping_threshold: 0 },
    attributes: { early_stopping_patience_counter: 1 },
  });
  const resume = { ...settings, resumeFromCheckpoint: true };
  const second = await toyRun(t.testdirName, resume, { computeMetrics: scripted([4, 4, 9, 9]) });
  await second.trainer.train();
  t.equal(second.trainer.state.epoch, 4, 'one bad evaluation before, two after');
  await second.close();
  const third = await toyRun(t.testdirName, resume, { computeMetrics: scripted([9, 9]) });
  await third.trainer.train();
  t.equal(third.trainer.state.epoch, 4, 'stays stopped');
  await third.close();
});

await t.test('a stop ends the epoch, and what is requested before a step is done after it', async (t) => {
  const seen: string[] = [];
  const callback: TrainerCallback = {
    onStepBegin({ state, control }) {
      if (state.global_step === 0) control.shouldEvaluate = true;
    },
    onStepEnd({ state, control }) {
      if (state.global_step === 3) control.shouldTrainingStop = true;
    },
    onEpochEnd: ({ state }) => void seen.push(`epoch ${state.global_step}`),
    onEvaluate: ({ state }) => void seen.push(`evaluate ${state.global_step}`),
    onSave: ({ state }) => void seen.push(`save ${state.global_step}`),
  };
  const { trainer, close } = await toyRun(
    t.testdir(),
    { numTrainEpochs: 2, evalStrategy: 'epoch', saveStrategy: 'epoch' },
    { callbacks: [callback] },
  );
  await trainer.train();
  await close();
  t.same(seen, ['evaluate 1', 'epoch 3', 'evaluate 3', 'save 3']);
});

await t.test(
  'an interrupted run and its sequel equal one that was not interrupted, bit for bit',
  async (t) => {
    const settings: Partial<TrainingArguments> = {
      numTrainEpochs: 3,
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 3,
      loggingSteps: 2,
      evalStrategy: 'steps',
      evalSteps: 4,
      saveStrategy: 'steps',
      saveSteps: 4,
      lrSchedulerType: 'reduce_lr_on_plateau',
      lrSchedulerKwargs: { patience: 0, threshold: 0.5, factor: 0.5 },
      perDeviceEvalBatchSize: 2,
    };
    const sizes = { train: 41, test: 20 };
    const whole = await toyRun(t.testdir({ whole: {}, cut: {} }) + '/whole', settings, { sizes });
    await whole.trainer.train();
    const weights = await weightsOf(whole.model);
    const log = timelessLog(whole.trainer.state);
    await whole.close();
    const rates = whole.trainer.state.log_history.flatMap((entry) => entry['learning_rate'] ?? []);
    t.ok((rates.at(-1) ?? 0) < (rates[0] ?? 0), 'the rate did change');

    const folder = `${t.testdirName}/cut`;
    // In a step, at a step with an evaluation and a checkpoint, and in the middle of an evaluation.
    const moments: ((run: { trainer: { interrupt(): void } }) => TrainerCallback)[] = [
      ({ trainer }) => ({ onStepEnd: ({ state }) => void (state.global_step === 3 && trainer.interrupt()) }),
      ({ trainer }) => ({ onStepEnd: ({ state }) => void (state.global_step === 4 && trainer.interrupt()) }),
      ({ trainer }) => ({
        onLog: ({ state, logs }) =>
          void (state.global_step === 8 && 'loss' in logs && setImmediate(() => trainer.interrupt())),
      }),
    ];
    let resumeFromCheckpoint: boolean | undefined;
    for (const moment of moments) {
      const callback: TrainerCallback = {};
      const run = await toyRun(
        folder,
        { ...settings, ...(resumeFromCheckpoint === undefined ? {} : { resumeFromCheckpoint }) },
        { sizes, callbacks: [callback] },
      );
      Object.assign(callback, moment(run));
      await t.rejects(run.trainer.train(), InterruptedError);
      await run.close();
      resumeFromCheckpoint = true;
    }
    const state = readFileSync(join(folder, 'out/checkpoint-8/bertune_state.json'), 'utf8');
    t.same(JSON.parse(state).pending, {
      shouldEvaluate: true,
      shouldSave: true,
      shouldTrainingStop: false,
    });
    const last = await toyRun(folder, { ...settings, resumeFromCheckpoint: true }, { sizes });
    await last.trainer.train();
    t.equal(largestDifference(weights, await weightsOf(last.model)), 0);
    t.same(timelessLog(last.trainer.state), log);
    await last.close();
  },
);

await t.test('interrupted when all steps are done, the training ends as it would have', async (t) => {
  const { trainer, close } = await toyRun(
    t.testdir(),
    { maxSteps: 2 },
    { callbacks: [{ onTrainEnd: () => trainer.interrupt() }] },
  );
  await trainer.train();
  trainer.interrupt();
  t.ok(((await trainer.evaluate())['eval_loss'] ?? Number.NaN) > 0);
  await close();
});

await t.test('interrupted before the first step, a run restarts from checkpoint-0', async (t) => {
  const settings = { maxSteps: 3, loggingSteps: 1, evalOnStart: true } as const;
  const whole = await toyRun(t.testdir({ whole: {}, cut: {} }) + '/whole', settings);
  await whole.trainer.train();
  const weights = await weightsOf(whole.model);
  const log = timelessLog(whole.trainer.state);
  await whole.close();

  // Before the evaluation, and when it is done.
  for (const event of ['onTrainBegin', 'onEvaluate'] as const) {
    const folder = `${t.testdirName}/cut/${event}`;
    const cut = await toyRun(folder, settings, { callbacks: [{ [event]: () => cut.trainer.interrupt() }] });
    await t.rejects(cut.trainer.train(), { name: 'InterruptedError', message: /checkpoint-0/ });
    await cut.close();
    const again = await toyRun(folder, { ...settings, resumeFromCheckpoint: true });
    await again.trainer.train();
    t.equal(largestDifference(weights, await weightsOf(again.model)), 0);
    t.same(timelessLog(again.trainer.state), log, event);
    await again.close();
  }
});

await t.test('an evaluation is cancelled between two batches', async (t) => {
  const { model, parts, tokenizer, close } = await toyRun(t.testdir(), {});
  await model.open();
  const pool = createTokenizerPool(tokenizer, { maxLength: 16, workers: 0 });
  const abort = new AbortController();
  const done: number[] = [];
  const onBatch = (rows: number): void => {
    done.push(rows);
    if (rows === 4) abort.abort(new Error('enough'));
  };
  const { evalDataset = parts.trainDataset } = parts;
  await t.rejects(
    evaluateRows(model, evalDataset, { pool, batchSize: 2, signal: abort.signal, onBatch }),
    new Error('enough'),
  );
  t.same(done, [2, 4]);
  await close();
});

await t.test('options that need evaluations are refused without them', (t) => {
  for (const options of [{ earlyStoppingPatience: 2 }, { saveStrategy: 'best' as const }])
    t.throws(() => trainingArguments({ outputDir: 'o', ...options }), {
      message: /needs evaluations to compare; set evalStrategy to epoch or steps$/,
    });
  t.equal(new EarlyStoppingCallback().saveState().args !== undefined, true);
  t.end();
});

await t.test('an invalid saved state is refused in one line that names the file', (t) => {
  const callback = new EarlyStoppingCallback({ patience: 2 });
  const list = new CallbackList([callback]);
  const states: [state: unknown, fault: RegExp][] = [
    [null, /its content: /],
    [{ attributes: { best_metric: 1 } }, /attributes.early_stopping_patience_counter: /],
    [
      { attributes: { early_stopping_patience_counter: -1, best_metric: null } },
      /attributes.early_stopping_patience_counter: /,
    ],
  ];
  for (const [state, fault] of states) {
    const restore = (): void => list.restore({ EarlyStoppingCallback: state }, 'trainer_state.json');
    t.throws(restore, { name: 'UsageError', message: fault });
    t.throws(restore, {
      message:
        /^trainer_state.json is damaged: the state of EarlyStoppingCallback: .* Resume from an earlier/,
    });
  }
  t.doesNotThrow(() => list.restore({ EarlyStoppingCallback: callback.saveState() }, 'trainer_state.json'));
  t.doesNotThrow(() => list.restore({}, 'trainer_state.json'));
  t.end();
});

// transformers 5.18: an evaluation after a step that ends the training breaks the loop, and the epoch ends behind it.
await t.test('early stopping on steps ends the epoch, and what is due with it is done', async (t) => {
  const seen: string[] = [];
  const note = (name: string) => (event: { state: TrainerState }) => {
    seen.push(`${name} ${event.state.global_step}`);
  };
  const { trainer, close } = await toyRun(
    t.testdir(),
    {
      ...watched,
      evalStrategy: 'steps',
      evalSteps: 1,
      loggingStrategy: 'epoch',
      saveStrategy: 'epoch',
      earlyStoppingPatience: 1,
      perDeviceTrainBatchSize: 8, // 5 steps an epoch
    },
    {
      computeMetrics: scripted([1, 2, 1]),
      callbacks: [
        {
          onStepEnd: note('step'),
          onEvaluate: note('evaluate'),
          onEpochEnd: note('epoch'),
          onLog: ({ state, logs }) => void ('loss' in logs && seen.push(`log ${state.global_step}`)),
          onSave: note('save'),
        },
      ],
    },
  );
  await trainer.train();
  await close();
  t.same(seen.slice(-6), ['evaluate 2', 'step 3', 'evaluate 3', 'epoch 3', 'log 3', 'save 3']);
  t.same(readdirSync(join(t.testdirName, 'out')), ['checkpoint-3']);
});

await t.test('a stop when a checkpoint has been written ends the epoch too', async (t) => {
  const seen: string[] = [];
  const { trainer, close } = await toyRun(
    t.testdir(),
    { numTrainEpochs: 2, evalStrategy: 'epoch', saveStrategy: 'steps', saveSteps: 2 },
    {
      callbacks: [
        {
          onSave: ({ control, state }): void => {
            control.shouldTrainingStop = true;
            seen.push(`save ${state.global_step}`);
          },
          onEpochEnd: ({ state }) => void seen.push(`epoch ${state.global_step}`),
          onEvaluate: ({ state }) => void seen.push(`evaluate ${state.global_step}`),
        },
      ],
    },
  );
  await trainer.train();
  await close();
  t.same(seen, ['save 2', 'epoch 2', 'evaluate 2']);
});

await t.test('interrupted in the evaluation that ends it, a training ends where it would have', async (t) => {
  const settings = {
    ...watched,
    perDeviceTrainBatchSize: 8,
    evalStrategy: 'steps',
    evalSteps: 2,
    saveStrategy: 'epoch',
    loggingStrategy: 'epoch',
    earlyStoppingPatience: 1,
    perDeviceEvalBatchSize: 2,
  } as const;
  const scores = [2, 3, 1];
  const whole = await toyRun(t.testdir({ whole: {}, cut: {} }) + '/whole', settings, {
    computeMetrics: scripted(scores),
  });
  await whole.trainer.train();
  await whole.close();
  t.equal(whole.trainer.state.global_step, 6);

  const folder = `${t.testdirName}/cut`;
  const first = await toyRun(folder, settings, {
    computeMetrics: scripted(scores),
    callbacks: [
      {
        onStepEnd: ({ state }): void => {
          if (state.global_step === 6) setImmediate(() => first.trainer.interrupt());
        },
      },
    ],
  });
  await t.rejects(first.trainer.train(), InterruptedError);
  await first.close();
  t.same(readdirSync(join(folder, 'out')).toSorted(), ['checkpoint-5', 'checkpoint-6']);
  const again = await toyRun(
    folder,
    { ...settings, resumeFromCheckpoint: true },
    { computeMetrics: scripted([1]) },
  );
  await again.trainer.train();
  await again.close();
  t.same(timelessLog(again.trainer.state), timelessLog(whole.trainer.state));
});

await t.test('a stop that a callback requested outlasts an interruption of its step', async (t) => {
  const settings = { maxSteps: 6, evalStrategy: 'steps', evalSteps: 2 } as const;
  const stop: TrainerCallback = {
    onStepEnd: ({ state, control }) => void (state.global_step === 2 && (control.shouldTrainingStop = true)),
  };
  const first = await toyRun(t.testdir(), settings, {
    callbacks: [stop, { onEpochEnd: () => first.trainer.interrupt() }],
  });
  await t.rejects(first.trainer.train(), InterruptedError);
  await first.close();
  const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true });
  await again.trainer.train();
  t.equal(again.trainer.state.global_step, 2);
  await again.close();
});

await t.test('a Trainer trains once', async (t) => {
  const { trainer, parts, close } = await toyRun(
    t.testdir(),
    { maxSteps: 4 },
    { callbacks: [{ onStepEnd: ({ state }) => void (state.global_step === 2 && trainer.interrupt()) }] },
  );
  await t.rejects(trainer.train(), InterruptedError);
  await t.rejects(trainer.train(), {
    name: 'UsageError',
    message: /^A Trainer trains once.* Create another one: with resumeFromCheckpoint to resume this run/,
  });
  // Another one continues with the same model.
  const next = await toyRun(
    t.testdirName,
    { maxSteps: 4, resumeFromCheckpoint: true },
    { model: parts.model },
  );
  await t.rejects(next.trainer.train(), { message: /the weights that the training starts from changed/ });
  await next.close();
  await close();
});

await t.test('without the best checkpoint, which is loaded at the end, nothing is resumed', async (t) => {
  const settings = {
    ...watched,
    numTrainEpochs: 3,
    saveStrategy: 'epoch',
    loadBestModelAtEnd: true,
  } as const;
  const first = await toyRun(t.testdir(), settings, { computeMetrics: scripted([1, 3, 2]) });
  await first.trainer.train();
  await first.close();
  const out = join(t.testdirName, 'out');
  const resumed = async (options: Partial<TrainingArguments>, score: number) => {
    const lines: string[] = [];
    const progress = new Progress({ write: (text: string) => lines.push(...text.split('\n')) > 0 });
    const run = await toyRun(
      t.testdirName,
      { ...settings, ...options },
      { computeMetrics: scripted([score, score]), progress },
    );
    try {
      await run.trainer.train();
      return { lines, state: run.trainer.state };
    } finally {
      await run.close();
    }
  };
  writeFileSync(join(out, 'checkpoint-4/model.safetensors'), 'not what it was');
  await t.rejects(resumed({ resumeFromCheckpoint: true }, 0), {
    name: 'UsageError',
    message:
      /checkpoint-6 needs the best checkpoint so far, .*checkpoint-4, which is to be loaded at the end; but .*model\.safetensors is damaged/,
  });
  rmSync(join(out, 'checkpoint-4'), { recursive: true });
  await t.rejects(resumed({ resumeFromCheckpoint: true }, 0), {
    message: /checkpoint-4, which is to be loaded at the end; but .*SHA256SUMS is missing/,
  });
  await t.resolves(resumed({ resumeFromCheckpoint: true, loadBestModelAtEnd: false }, 0));
  // `auto` goes back to the checkpoint before, and finds the best again.
  const { lines, state } = await resumed({ resumeFromCheckpoint: 'auto' }, 3);
  t.match(
    lines.find((line) => line.startsWith('Skipping')),
    /checkpoint-6, which cannot be resumed: .*the best checkpoint so far/,
  );
  t.match(
    lines.find((line) => line.startsWith('Resuming')),
    /checkpoint-2 at step 2 of 6/,
  );
  t.match([state.best_metric, state.best_model_checkpoint], [3, /checkpoint-4$/]);
});
