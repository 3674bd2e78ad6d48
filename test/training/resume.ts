// Going on after the worst: processes killed at any moment, signals, damaged checkpoints, and runs that are not the same.
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  InterruptedError,
  loadDataset,
  parseBertConfig,
  Progress,
  type DataIdentity,
  type TrainingArguments,
} from '../../dist/index.js';
import { writeChecksums } from '../../dist/training/checkpoint.js';
import { flags, startBertune } from '../fixtures/cli.js';
import { largestDifference, scripted, toyRun, weightsOf } from '../fixtures/run.js';
import { outcomeOf, statefulTraining } from '../fixtures/stateful-training.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

type Started = ReturnType<typeof startBertune>;
type Ended = Awaited<Started['outcome']>;

/** Starts a training; `meanwhile` may look at it and kill it. */
async function train(
  folder: string,
  options: Record<string, string>,
  meanwhile: (kill: Started['kill'], stderr: Started['stderr']) => Promise<void> = async () => undefined,
): Promise<Ended> {
  const started = startBertune(['train', ...flags({ ...statefulTraining, ...options })], { cwd: folder });
  await meanwhile(started.kill, started.stderr);
  return started.outcome;
}

await t.test('killed at random moments, a run ends with the bits of one that was left alone', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 41, test: 20 });
  const began = performance.now();
  const whole = await train(folder, { 'output-dir': 'whole' });
  const seconds = (performance.now() - began) / 1000;
  t.equal(whole.code, 0, whole.stderr);
  const options = { 'output-dir': 'cut', 'resume-from-checkpoint': 'auto' };
  let kills = 0;
  let ended: Ended;
  do {
    ended = await train(folder, options, async (kill) => {
      if (kills >= 10) return;
      // From the loading of the model to the end; later tries get further, so that some do end.
      await sleep(1000 * seconds * (0.3 + ((kills * 0.618) % 1) * 0.5));
      kill('SIGKILL');
    });
    if (ended.signal === 'SIGKILL') kills += 1;
    else if (ended.code !== 0) break;
  } while (ended.code !== 0);
  t.equal(ended.code, 0, ended.stderr);
  t.ok(kills > 0, `${kills} kills`);
  t.same(outcomeOf(join(folder, 'cut')), outcomeOf(join(folder, 'whole')));
});

await t.test(
  'SIGTERM and SIGINT finish the step and save; a second one ends the process at once',
  async (t) => {
    const folder = t.testdir();
    makeToy(folder, { train: 400, test: 20 });
    const whole = await train(folder, { 'output-dir': 'whole', 'num-train-epochs': '1' });
    t.equal(whole.code, 0, whole.stderr);
    const options = { 'output-dir': 'cut', 'resume-from-checkpoint': 'auto', 'num-train-epochs': '1' };
    const until = async (condition: () => boolean): Promise<void> => {
      while (!condition()) await sleep(1);
    };
    for (const [signal, code, text] of [
      ['SIGTERM', 143, 'step 4/67'],
      ['SIGINT', 130, 'step 24/67'],
    ] as const) {
      const ended = await train(folder, options, async (kill, stderr) => {
        await until(() => stderr().includes(text));
        kill(signal);
      });
      t.match(ended, { code, signal: null });
      t.match(ended.stderr, `${signal}: finishing this step and saving`);
      const checkpoint = /continue with --resume-from-checkpoint (?<folder>\S+)\n$/.exec(ended.stderr)
        ?.groups?.['folder'];
      t.ok(checkpoint !== undefined && existsSync(join(folder, checkpoint, 'SHA256SUMS')), ended.stderr);
    }
    const last = await train(folder, options);
    t.equal(last.code, 0, last.stderr);
    t.same(outcomeOf(join(folder, 'cut')), outcomeOf(join(folder, 'whole')));

    // The same signal again: npm passes on what the process has had already.
    const passedOn = await train(folder, { ...options, 'output-dir': 'once' }, async (kill, stderr) => {
      await until(() => stderr().includes('step 4/67'));
      kill('SIGINT');
      kill('SIGINT');
    });
    t.match(passedOn, { code: 130, signal: null }, passedOn.stderr);

    const twice = await train(folder, { ...options, 'output-dir': 'twice' }, async (kill, stderr) => {
      await until(() => stderr().includes('step 4/67'));
      kill('SIGINT');
      kill('SIGTERM');
    });
    // Two signals at once may arrive in either order: the later one ends the process.
    t.not(twice.signal, null, JSON.stringify(twice));
  },
);

const saving = { maxSteps: 6, saveStrategy: 'steps', saveSteps: 2 } as const;

await t.test('a damaged checkpoint is refused by name, and auto takes the one before', async (t) => {
  const first = await toyRun(t.testdir(), saving);
  await first.trainer.train();
  const weights = await weightsOf(first.model);
  await first.close();
  const out = join(t.testdirName, 'out');
  const newest = join(out, 'checkpoint-6');

  const attempt = async (resumeFromCheckpoint: true | string): Promise<string[]> => {
    const lines: string[] = [];
    const progress = new Progress({ write: (text) => lines.push(text) });
    const run = await toyRun(
      t.testdirName,
      { ...saving, saveStrategy: 'no', resumeFromCheckpoint },
      { progress },
    );
    try {
      await run.trainer.train();
      t.equal(largestDifference(weights, await weightsOf(run.model)), 0);
    } finally {
      await run.close();
    }
    return lines;
  };

  const bytes = readFileSync(join(newest, 'model.safetensors'));
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1; // one bit
  writeFileSync(join(newest, 'model.safetensors'), bytes);
  await t.rejects(attempt(true), {
    message: /checkpoint-6\/model\.safetensors is damaged: .*resumeFromCheckpoint auto/,
  });
  const lines = await attempt('auto');
  t.ok(
    lines.some((line) =>
      /^Skipping .*checkpoint-6, which cannot be resumed: .*model\.safetensors is damaged/.test(line),
    ),
  );
  t.ok(lines.some((line) => /^Resuming from .*checkpoint-4 at step 4 of 6/.test(line)));

  rmSync(join(out, 'checkpoint-4/optimizer.safetensors'));
  await t.rejects(attempt(join(out, 'checkpoint-4')), {
    message: /checkpoint-4\/optimizer\.safetensors is missing/,
  });
  const path = join(out, 'checkpoint-2/SHA256SUMS');
  const sums = readFileSync(path);
  writeFileSync(path, '');
  await t.rejects(attempt(join(out, 'checkpoint-2')), {
    message: /SHA256SUMS is damaged: it has no bertune_state/,
  });
  writeFileSync(path, sums);
  appendFileSync(join(out, 'checkpoint-2/SHA256SUMS'), 'nonsense\n');
  await t.rejects(attempt(join(out, 'checkpoint-2')), { message: /checkpoint-2\/SHA256SUMS is damaged/ });
  const none = await attempt('auto');
  t.equal(none.filter((line) => line.startsWith('Skipping')).length, 3);
  t.ok(none.some((line) => /no checkpoint to resume from: starting at the beginning/.test(line)));
});

/** What a run says when it resumes from the newest checkpoint with these options. */
async function linesOfResume(folder: string, options: Partial<TrainingArguments>): Promise<string[]> {
  const lines: string[] = [];
  const progress = new Progress({ write: (text) => lines.push(text.trimEnd()) });
  const run = await toyRun(folder, { resumeFromCheckpoint: true, ...options }, { progress });
  try {
    await run.trainer.train();
  } finally {
    await run.close();
  }
  return lines;
}

await t.test('settings that may be changed on purpose are changed with a note that names each', async (t) => {
  const settings: Partial<TrainingArguments> = {
    maxSteps: 4,
    saveStrategy: 'steps',
    saveSteps: 3,
    freeze: ['bert.embeddings'],
  };
  const first = await toyRun(t.testdir(), settings);
  await first.trainer.train();
  await first.close();
  rmSync(join(t.testdirName, 'out/checkpoint-4'), { recursive: true });
  const notes = async (changes: Partial<TrainingArguments>): Promise<string[]> => {
    const lines = await linesOfResume(t.testdirName, { ...settings, saveStrategy: 'no', ...changes });
    return lines.filter((line) => line.startsWith('note: '));
  };
  t.same(await notes({}), [], 'nothing is said where nothing differs');
  t.same(
    await notes({ loggingSteps: 1, gradientCheckpointing: true, perDeviceEvalBatchSize: 2 }),
    [],
    'nor where it decides no bit: nothing is evaluated before the end',
  );
  const cases: [changes: Partial<TrainingArguments>, told: string][] = [
    [{ learningRate: 1e-3 }, 'learningRate was 0.002 and is now 0.001'],
    [{ lrSchedulerType: 'cosine' }, 'lrSchedulerType was "linear" and is now "cosine"'],
    [{ warmupSteps: 2 }, 'warmupSteps was 0 and is now 2'],
    [{ weightDecay: 0.1 }, 'weightDecay was 0 and is now 0.1'],
    [{ adamBeta2: 0.99 }, 'adamBeta2 was 0.999 and is now 0.99'],
    [{ maxGradNorm: 0 }, 'maxGradNorm was 1 and is now 0'],
    [{ labelSmoothingFactor: 0.1 }, 'labelSmoothingFactor was 0 and is now 0.1'],
    [{ classWeights: 'balanced' }, 'classWeights was not given and is now "balanced"'],
    [{ focalGamma: 2 }, 'focalGamma was not given and is now 2'],
    [{ freeze: ['bert'] }, 'freeze was ["bert.embeddings"] and is now ["bert"]'],
    [{ freeze: ['bert.pooler'] }, 'freeze was ["bert.embeddings"] and is now ["bert.pooler"]'],
    [{ layerLrDecay: 2.6 }, 'layerLrDecay was not given and is now 2.6'],
    [{ lrFactors: { classifier: 10 } }, 'lrFactors was not given and is now {"classifier":10}'],
    [{ threads: 1 }, 'placement was "cpu, float32, 2 threads" and is now "cpu, float32, 1 thread"'],
  ];
  for (const [changes, told] of cases)
    t.same(
      await notes(changes),
      [`note: the settings are not those of the checkpoint, and so the result will differ: ${told}`],
      told,
    );
  await t.rejects(notes({ optim: 'sgd' }), { message: /settings: optim was "adamw" and is now "sgd"/ });

  // As an earlier version wrote it, which did not keep these settings.
  const path = join(t.testdirName, 'out/checkpoint-3/bertune_state.json');
  const { settings: _, ...state } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify(state));
  await writeChecksums(join(t.testdirName, 'out/checkpoint-3'));
  t.same(await notes({ learningRate: 1e-3 }), []);
});

await t.test('a finished run continues with more epochs', async (t) => {
  const settings = { loggingSteps: 1, saveStrategy: 'steps', saveSteps: 2, numTrainEpochs: 1 } as const;
  const lines: string[] = [];
  const progress = new Progress({ write: (text) => lines.push(text.trimEnd()) });
  const outcome = async (folder: string, options: Partial<TrainingArguments>) => {
    const run = await toyRun(folder, { ...settings, ...options }, { progress });
    await run.trainer.train();
    const { max_steps, num_train_epochs, log_history } = run.trainer.state;
    const rates = log_history.flatMap(({ learning_rate: rate }) => rate ?? []);
    const weights = await weightsOf(run.model);
    await run.close();
    return { max_steps, num_train_epochs, rates, weights };
  };

  const whole = await outcome(t.testdir(), { lrSchedulerType: 'constant', numTrainEpochs: 3 });
  await outcome(t.testdir(), { lrSchedulerType: 'constant' });
  const more = { numTrainEpochs: 3, resumeFromCheckpoint: true };
  const extended = await outcome(t.testdirName, { lrSchedulerType: 'constant', ...more });
  t.equal(
    largestDifference(extended.weights, whole.weights),
    0,
    'the bits of one that had them from the start',
  );
  t.same({ ...extended, weights: null }, { ...whole, weights: null });
  t.ok(lines.some((line) => line.endsWith('will differ: the number of steps was 5 and is now 15')));

  await outcome(t.testdir(), {});
  const { rates } = await outcome(t.testdirName, more);
  const linear = (step: number, total: number): number => (2e-3 * (total - step)) / total;
  const expected = Array.from({ length: 15 }, (_, step) => linear(step, step < 5 ? 5 : 15));
  t.ok(
    rates.length === 15 && rates.every((rate, step) => Math.abs(rate - (expected[step] ?? 0)) < 1e-15),
    `the longer schedule from there on: ${rates.join(', ')}`,
  );
});

await t.test('what decides the best model is logged where there are evaluations', async (t) => {
  const best = { metricForBestModel: 'loss', greaterIsBetter: false } as const; // as loadBestModelAtEnd has it
  const settings = { ...saving, ...best, maxSteps: 4, evalStrategy: 'steps', evalSteps: 2 } as const;
  const first = await toyRun(t.testdir(), settings);
  await first.trainer.train();
  await first.close();
  const resumeFromCheckpoint = join(t.testdirName, 'out/checkpoint-2');
  const notes = async (changes: Partial<TrainingArguments>): Promise<string[]> => {
    const lines = await linesOfResume(t.testdirName, { ...settings, resumeFromCheckpoint, ...changes });
    return lines
      .filter((line) => line.startsWith('note: '))
      .map((line) => line.split(': ').slice(2).join(': '));
  };
  t.same(await notes({}), []);
  t.same(await notes({ perDeviceEvalBatchSize: 2 }), ['perDeviceEvalBatchSize was 8 and is now 2']);
  t.same(await notes({ loadBestModelAtEnd: true }), ['loadBestModelAtEnd was false and is now true']);
  t.same(await notes({ saveStrategy: 'best' }), ['saveStrategy was "steps" and is now "best"']);
  t.same(await notes({ saveSteps: 1 }), ['saveSteps was 2 and is now 1']);
  t.match(await notes({ evalStrategy: 'no', saveSteps: 4 }), [
    /^evalStrategy was "steps" [^;]*; evalSteps [^;]*$/,
  ]);
});

await t.test('a best that was never saved is not the bar for those that are', async (t) => {
  const settings = { ...saving, maxSteps: 5, saveSteps: 2, evalStrategy: 'steps', evalSteps: 1 } as const;
  const best = { metricForBestModel: 'score', greaterIsBetter: true } as const;
  const first = await toyRun(
    t.testdir(),
    { ...settings, ...best },
    { computeMetrics: scripted([1, 2, 9, 4, 5]) },
  );
  await first.trainer.train();
  t.match(first.trainer.state, {
    best_global_step: 3,
    best_metric: 9,
    best_model_checkpoint: /checkpoint-2$/,
  });
  await first.close();
  // Of those that were saved, 2 with 2 and 4 with 4, the latter is the best, until step 6.
  const resumeFromCheckpoint = join(t.testdirName, 'out/checkpoint-4');
  const resume = {
    ...settings,
    ...best,
    maxSteps: 6,
    loadBestModelAtEnd: true,
    resumeFromCheckpoint,
  } as const;
  for (const [score, step] of [
    [3, 4],
    [6, 6],
  ] as const) {
    const second = await toyRun(t.testdirName, resume, { computeMetrics: scripted([8, score]) });
    await second.trainer.train();
    const { best_global_step: at, best_model_checkpoint: folder } = second.trainer.state;
    t.same([at, basename(folder ?? '')], [step, `checkpoint-${step}`]);
    await second.close();
  }
});

await t.test('a best model by one metric is not compared with those by another', async (t) => {
  const best = { metricForBestModel: 'accuracy', greaterIsBetter: true } as const;
  const plain = { ...saving, ...best, maxSteps: 4, evalStrategy: 'steps', evalSteps: 2 } as const;
  const settings = { ...plain, loadBestModelAtEnd: true } as const;
  const first = await toyRun(t.testdir(), settings);
  await first.trainer.train();
  await first.close();
  const resume = { ...settings, resumeFromCheckpoint: join(t.testdirName, 'out/checkpoint-2') };
  for (const [changes, now] of [
    [{ metricForBestModel: 'loss', greaterIsBetter: false }, 'the smallest eval_loss'],
    [{ greaterIsBetter: false }, 'the smallest eval_accuracy'],
    [{ metricForBestModel: 'f1_macro' }, 'the greatest eval_f1_macro'],
  ] as const) {
    const changed = await toyRun(t.testdirName, { ...resume, ...changes });
    await t.rejects(changed.trainer.train(), {
      name: 'UsageError',
      message: new RegExp(
        `checkpoint-2 is of a run whose best model had the greatest eval_accuracy, which cannot be compared with ${now}: `,
      ),
    });
    await changed.close();
  }
  // The same, said in other words.
  const same = await toyRun(
    t.testdirName,
    { ...resume, metricForBestModel: 'eval_accuracy' },
    { computeMetrics: () => ({}) },
  );
  await same.trainer.train();
  await same.close();
  // Where nothing was decided by it, another metric starts over.
  const folder = join(t.testdirName, 'plain');
  const unread = await toyRun(folder, plain);
  await unread.trainer.train();
  await unread.close();
  const loss = { metricForBestModel: 'loss', greaterIsBetter: false, loadBestModelAtEnd: true } as const;
  const resumeFromCheckpoint = join(folder, 'out/checkpoint-2');
  const other = await toyRun(folder, { ...plain, ...loss, resumeFromCheckpoint });
  await other.trainer.train();
  const { best_metric: value, best_global_step: at, log_history: history } = other.trainer.state;
  t.same([at, value], [4, history.findLast((entry) => 'eval_loss' in entry)?.['eval_loss']]);
  await other.close();
});

await t.test(
  'a run whose data, labels, tokenizer or model changed is refused, and the difference named',
  async (t) => {
    const first = await toyRun(t.testdir(), saving);
    await first.trainer.train();
    await first.close();
    const folder = t.testdirName;
    const resume = { ...saving, resumeFromCheckpoint: true };
    const refusal = async (changes: Parameters<typeof toyRun>[2]): Promise<string> => {
      const run = await toyRun(folder, resume, changes);
      const error = await run.trainer.train().then(
        () => new Error('it was not refused'),
        (reason: unknown) => reason as Error,
      );
      await run.close();
      return error.message;
    };
    const model = (change: object): BertForSequenceClassification =>
      BertForSequenceClassification.fromConfig(parseBertConfig({ ...TOY_CONFIG, ...change }, 'toy'), {
        labels: ['neg', 'pos'],
        problemType: 'single_label_classification',
      });
    t.match(
      await refusal({ model: model({ attention_probs_dropout_prob: 0.2 }) }),
      /settings: attentionProbsDropoutProb was 0\.1 and is now 0\.2\. Use/,
    );
    const other = model({});
    const session = await other.open({ threads: 2, dtype: 'float32' });
    const bias = new Uint8Array(new Float32Array([0.5, 0]).buffer);
    await session.write('classifier.bias', { dtype: 'F32', shape: [2], data: bias });
    t.match(
      await refusal({ model: other }),
      /settings: the weights that the training starts from changed\. Use/,
    );

    const { trainDataset, close } = await toyRun(folder, saving).then(({ parts, close }) => ({
      ...parts,
      close,
    }));
    const { size, labels, task } = trainDataset;
    const data = await trainDataset.identity?.();
    t.match(data?.files, /^sha256:[0-9a-f]{64}$/);
    const renamed = {
      size,
      labels,
      ...(task === undefined ? {} : { task }),
      read: trainDataset.read.bind(trainDataset),
      identity: () => Promise.resolve({ files: data?.files ?? '', columns: { text: 'body' } }),
    };
    t.match(
      await refusal({ trainDataset: renamed }),
      /settings: the columns was .* and is now \{"text":"body"\}\. Use/,
    );
    const quoted = Promise.resolve({ files: '', columns: {}, ...data, quoting: 'none' });
    t.match(
      await refusal({ trainDataset: { ...renamed, identity: () => quoted } }),
      /settings: quoting was "minimal" and is now "none"\. Use/,
    );
    const skipping = Promise.resolve({ files: '', columns: {}, ...data, skipped: 'sha256:0' });
    t.match(
      await refusal({ trainDataset: { ...renamed, identity: () => skipping } }),
      /settings: the skipped training rows changed\. Use/,
    );
    // How labels are read, by name.
    t.match(data?.labels, { kind: 'string', labelFormat: undefined });
    for (const [change, message] of [
      [{ labelFormat: 'multi_hot' }, 'labelFormat was not given and is now "multi_hot"'],
      [{ labelDelimiter: ';' }, 'labelDelimiter was not given and is now ";"'],
      [{ foldLabels: true }, 'foldLabels was false and is now true'],
      [{ naLabels: ['n/a'] }, 'naLabels was not given and is now ["n/a"]'],
      [{ kind: 'probabilities' }, 'the kind of the labels was "string" and is now "probabilities"'],
    ] as const) {
      const changed = { files: '', columns: {}, ...data, labels: { ...data?.labels, ...change } };
      const identity = (): Promise<DataIdentity> => Promise.resolve(changed);
      t.match(await refusal({ trainDataset: { ...renamed, identity } }), `settings: ${message}. Use`);
    }
    await close();

    t.match(
      await refusal({ sizes: { train: 41, test: 20 } }),
      /settings: the training data changed; the number of training rows was 40 and is now 41/,
    );

    const evaluating = { ...saving, evalStrategy: 'steps', evalSteps: 2 } as const;
    const begin = await toyRun(folder, { ...evaluating, resumeFromCheckpoint: true });
    await begin.trainer.train(); // rows to evaluate on may come to a run that had none
    await begin.close();
    const evaluated = await toyRun(folder, evaluating);
    await evaluated.trainer.train();
    await evaluated.close();
    const fewer = await toyRun(
      folder,
      { ...evaluating, resumeFromCheckpoint: true },
      { sizes: { train: 40, test: 19 } },
    );
    await t.rejects(fewer.trainer.train(), {
      message:
        /settings: the evaluation data changed; the number of rows to evaluate on was 20 and is now 19\. Use/,
    });
    await fewer.close();
  },
);

await t.test(
  'other rows of the same evaluation files, and texts cut at their other end, are refused',
  async (t) => {
    const settings = { ...saving, evalStrategy: 'steps', evalSteps: 2, evalOnStart: true } as const;
    const first = await toyRun(t.testdir(), settings, {
      callbacks: [{ onEvaluate: () => first.trainer.interrupt() }], // checkpoint-0 will do
    });
    await t.rejects(first.trainer.train(), InterruptedError);
    await first.close();
    const refusal = async (parts: Parameters<typeof toyRun>[2]): Promise<unknown> => {
      const run = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true }, parts);
      const error = await run.trainer.train().catch((reason: unknown) => reason);
      await run.close();
      return error;
    };
    const test = join(t.testdirName, 'same.csv'); // the toy's own is written again for each run
    copyFileSync(join(t.testdirName, 'test.csv'), test);
    const fewer = await loadDataset({ test }, { maxSamples: { test: 10 } });
    t.match(await refusal({ evalDataset: fewer.test }), {
      message: /settings: the number of rows to evaluate on was 20 and is now 10\. Use/,
    });
    await fewer.close();

    const { tokenizerJson, tokenizerConfig } = first.tokenizer.spec;
    const left = BertTokenizer.fromSpec({
      tokenizerJson,
      tokenizerConfig: { ...tokenizerConfig, truncation_side: 'left' },
    });
    t.match(await refusal({ tokenizer: left }), {
      message: /settings: truncationSide was "right" and is now "left"\. Use/,
    });
  },
);

await t.test('a model folder that was moved, or is named by another path, is the same model', async (t) => {
  const folder = t.testdir();
  const saved = await toyRun(folder, {});
  const start = join(folder, 'start');
  await saved.model.savePretrained(start);
  const { task } = saved.data;
  await saved.close();
  // Keys that loading warns of, with the path of the file in the warning.
  const config = join(start, 'config.json');
  const json = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...json, auto_map: { AutoModel: 'code.Model' }, my_key: folder }));
  const run = async (path: string, options: Partial<TrainingArguments>): Promise<void> => {
    const model = await BertForSequenceClassification.fromPretrained(path, task);
    const { trainer, close } = await toyRun(folder, { ...saving, ...options }, { model });
    await trainer.train();
    await close();
  };
  await run(start, { maxSteps: 2 });
  const state = readFileSync(join(folder, 'out/checkpoint-2/bertune_state.json'), 'utf8');
  t.notMatch(state, folder, 'no path is in what a resume compares');
  renameSync(start, join(folder, 'moved'));
  await t.resolves(run(join(folder, 'moved'), { resumeFromCheckpoint: true }));
  const relativePath = relative(process.cwd(), join(folder, 'moved'));
  await t.resolves(run(relativePath, { resumeFromCheckpoint: join(folder, 'out/checkpoint-4') }));
});

await t.test('only a run that is to save checkpoints hashes its weights, once', async (t) => {
  let reads = 0;
  const counting = async (options: Partial<TrainingArguments>): Promise<void> => {
    const run = await toyRun(t.testdir(), { maxSteps: 4, ...options });
    const session = await run.model.open({ threads: 2, dtype: 'float32' });
    const read = session.read.bind(session);
    session.read = (...args) => ((reads += 1), read(...args));
    reads = 0;
    await run.trainer.train();
    const { length } = session.tensors();
    await run.close();
    reads /= length;
  };
  await counting({ evalStrategy: 'epoch' });
  t.equal(reads, 0, 'neither a fold nor a trial of a search');
  await counting({ saveStrategy: 'steps', saveSteps: 1, saveOnlyModel: true });
  t.equal(reads, 1 + 4, 'once before the first step, and once for each of four checkpoints');
});

await t.test('a run that was not to save is resumed where it was interrupted, with its base', async (t) => {
  const lora = { rank: 2, baseName: 'base' };
  const { model: plain, data, close } = await toyRun(t.testdir(), {});
  await plain.savePretrained(join(t.testdirName, 'base'));
  const { task } = data;
  await close();
  const adapted = (base = 'base'): Promise<BertForSequenceClassification> =>
    BertForSequenceClassification.fromPretrained(join(t.testdirName, base), { ...task, lora });
  const first = await toyRun(
    t.testdirName,
    { maxSteps: 4 },
    {
      model: await adapted(),
      callbacks: [{ onStepEnd: ({ state }) => void (state.global_step === 2 && first.trainer.interrupt()) }],
    },
  );
  await t.rejects(first.trainer.train(), InterruptedError);
  await first.close();
  const resume = { maxSteps: 4, resumeFromCheckpoint: true } as const;
  const again = await toyRun(t.testdirName, resume, { model: await adapted() });
  await again.trainer.train();
  const weights = await weightsOf(again.model);
  await again.close();
  const whole = await toyRun(t.testdirName, { maxSteps: 4 }, { model: await adapted() });
  await whole.trainer.train();
  t.equal(largestDifference(weights, await weightsOf(whole.model)), 0);
  await whole.close();

  const other = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), task);
  await other.open({ seed: 7 });
  await other.savePretrained(join(t.testdirName, 'other'));
  await other.close();
  const wrong = await toyRun(t.testdirName, resume, { model: await adapted('other') });
  await t.rejects(wrong.trainer.train(), { message: /settings: the weights of the base changed\. Use/ });
  await wrong.close();
});
