// What options may be and how they go together: values, contradictions, defaults that follow, options without effect.

import tap from 'tap';

import {
  parseEvaluateOptions,
  parsePredictOptions,
  parseTrainingArguments,
  parseTrainOptions,
} from '../../dist/options/index.js';
import { createLearningRate } from '../../dist/training/schedules.js';
import { metricNamesOf, taskKinds } from '../../dist/tasks/index.js';
import { fault, fromFile, job } from '../fixtures/config.js';

await tap.test('numbers, words and lists of flags are read strictly', (t) => {
  const good: [string, unknown, unknown][] = [
    ['learningRate', '1e-5', 1e-5],
    ['learningRate', '.5', 0.5],
    ['learningRate', '+2E-5', 2e-5],
    ['maxSteps', '-1', -1],
    ['maxSteps', '1e3', 1000],
    ['warmupSteps', '0.06', 0.06],
    ['warmupSteps', '500', 500],
    ['saveSteps', '0.1', 0.1],
    ['seed', '0', 0],
    ['numTrainEpochs', '0.5', 0.5],
    ['labelList', ['0', '1e3', 'true'], ['0', '1e3', 'true']],
    ['textColumn', 'true', 'true'],
    ['loggingFirstStep', 'TRUE', true],
    ['resumeFromCheckpoint', true, true],
    ['resumeFromCheckpoint', 'True', true],
    ['resumeFromCheckpoint', 'out/checkpoint-5', 'out/checkpoint-5'],
    ['resumeFromCheckpoint', 'false', undefined],
  ];
  for (const [name, text, wanted] of good) {
    const { options } = parseTrainOptions({ flags: { ...job, [name]: text } });
    t.same((options as Record<string, unknown>)[name], wanted, `${name} ${String(text)}`);
  }
  const number = 'Expected a number above 0 for --learning-rate but received';
  const size = 'Expected a whole number of at least 1 for --per-device-train-batch-size but received';
  const where = 'Expected auto, cpu, cuda or one such as cuda:1 for --device but received';
  const bad: [string, unknown, string][] = [
    ...['3x', 'NaN', 'Infinity', '', ' 1', '0x10', '1_000', '1e', '--5', '1,5'].map(
      (text): [string, unknown, string] => ['learningRate', text, `${number} ${JSON.stringify(text)}`],
    ),
    ['learningRate', '1e999', `${number} Infinity`],
    ['learningRate', '0', `${number} 0`],
    ['learningRate', '-1e-5', `${number} -0.00001`],
    ['perDeviceTrainBatchSize', '0', `${size} 0`],
    ['perDeviceTrainBatchSize', '2.5', `${size} 2.5`],
    ['perDeviceTrainBatchSize', '1e300', `${size} 1e+300`],
    ['labelList', ['a', ''], 'Expected a label or several for --label-list but received ""'],
    ['adamBeta2', '1', 'Expected a number from 0 to below 1 for --adam-beta2 but received 1'],
    [
      'warmupSteps',
      '1.5',
      'Expected a whole number of steps, or a share of all steps from 0 to below 1 for --warmup-steps but received 1.5',
    ],
    [
      'loggingSteps',
      '0',
      'Expected a whole number of steps, or a share of all steps above 0 and below 1 for --logging-steps but received 0',
    ],
    ['seed', '4294967296', 'Expected a whole number from 0 to 4294967295 for --seed but received 4294967296'],
    ['maxSeqLength', '2', 'Expected a whole number of at least 3 for --max-seq-length but received 2'],
    [
      'lrSchedulerType',
      'lineal',
      'Expected one of linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt, cosine_with_min_lr, cosine_warmup_with_min_lr, warmup_stable_decay, slanted_triangular, reduce_lr_on_plateau, greedy for --lr-scheduler-type but received "lineal"',
    ],
    ...['gpu', 'cuda:', 'cuda:x', 'cuda:1.5', 'cuda:1e1', 'cuda:-1', 'cpu:0'].map(
      (name): [string, unknown, string] => ['device', name, `${where} "${name}"`],
    ),
    ['loggingFirstStep', 'yes', 'Expected true or false for --logging-first-step but received "yes"'],
    ['model', '', 'Expected a text for --model but received ""'],
    ['trainFile', [''], 'Expected a file name or several for --train-file but received ""'],
  ];
  for (const [name, text, wanted] of bad) {
    t.equal(
      fault(() => parseTrainOptions({ flags: { ...job, [name]: text } })),
      wanted,
      `${name} ${String(text)}`,
    );
  }
  t.end();
});

await tap.test('options that do not fit together', (t) => {
  const rows = { ...job, validationFile: 'b.csv' };
  const table: [Record<string, unknown>, string][] = [
    [
      { trainFile: 'a', outputDir: 'o' },
      'model is needed: a model folder or a hub id such as bert-base-uncased',
    ],
    [
      { model: 'm', trainFile: 'a' },
      'outputDir is needed: folder for the model, the checkpoints and the metrics',
    ],
    [
      { model: 'm', outputDir: 'o' },
      'trainFile is needed: a csv, tsv, jsonl, json or parquet file (or dataset, a hub dataset)',
    ],
    [
      { ...job, config: 'c.json' },
      'model and config exclude each other: the first brings weights, the second starts from random ones',
    ],
    [
      { config: 'c.json', trainFile: 'a', outputDir: 'o' },
      'config needs tokenizer: a config.json brings no vocabulary',
    ],
    [{ ...job, dataset: 'imdb' }, 'trainFile and dataset exclude each other; keep one of them'],
    [
      { model: 'm', outputDir: 'o', dataset: 'imdb', validationFile: 'b' },
      'validationFile and dataset exclude each other; choose rows with validationSplit',
    ],
    [
      { ...job, datasetConfig: 'sst2' },
      'datasetConfig needs dataset: files have no configurations or splits',
    ],
    [
      { ...job, evalStrategy: 'steps' },
      'evalStrategy steps needs validationFile or validationSplit: there are no rows to evaluate on',
    ],
    [
      { ...job, numLabels: 3, labelList: ['a', 'b'] },
      'numLabels is 3 but labelList has 2; leave numLabels out',
    ],
    [{ ...job, labelList: ['a', 'b', 'a'] }, 'labelList has "a" twice'],
    [
      { ...job, labelList: ['a', 'b'], problemType: 'regression' },
      'labelList does not go with problemType regression, which predicts numbers',
    ],
    [
      { ...job, labelSmoothingFactor: 0.1, problemType: 'regression' },
      'labelSmoothingFactor does not go with problemType regression: it smooths classes',
    ],
    [
      { ...rows, metricForBestModel: 'acuracy' },
      `Expected one of ${metricNamesOf().join(', ')} for metricForBestModel but received "acuracy" (did you mean accuracy?)`,
    ],
    [
      { ...rows, metricForBestModel: 'eval_f1', problemType: 'multi_label_classification' },
      `Expected one of ${taskKinds.multi_label_classification.metricNames.join(', ')} for metricForBestModel but received "eval_f1" (did you mean f1_macro, f1_micro, f1_weighted?)`,
    ],
    [
      { ...rows, metricForBestModel: 'accuracy', problemType: 'regression' },
      'Expected one of loss, mse, rmse, mae, r2, pearson, spearman for metricForBestModel but received "accuracy"',
    ],
    [
      { ...rows, loadBestModelAtEnd: true },
      'loadBestModelAtEnd needs a checkpoint at each evaluation, but evalStrategy is no and saveStrategy is steps; set both to epoch, or both to steps',
    ],
    [
      { ...rows, loadBestModelAtEnd: true, evalStrategy: 'epoch' },
      'loadBestModelAtEnd needs a checkpoint at each evaluation, but evalStrategy is epoch and saveStrategy is steps; set both to epoch, or both to steps',
    ],
    [
      { ...rows, loadBestModelAtEnd: true, evalStrategy: 'steps', evalSteps: 200 },
      'loadBestModelAtEnd needs an evaluation at each checkpoint, but saveSteps 500 is not a multiple of evalSteps 200',
    ],
    [
      { ...rows, loadBestModelAtEnd: true, evalStrategy: 'steps', evalSteps: 0.1 },
      'loadBestModelAtEnd needs an evaluation at each checkpoint, but saveSteps 500 is not a multiple of evalSteps 0.1',
    ],
    [
      { ...job, testFile: 'c.csv' },
      'testFile has no meaning for `bertune train`; did you mean validationFile?',
    ],
  ];
  for (const [values, wanted] of table)
    t.equal(
      fault(() => parseTrainOptions({ values })),
      wanted,
      wanted,
    );
  t.equal(
    fault(() => parseEvaluateOptions({ values: { model: 'm' } })),
    'validationFile is needed: a csv, tsv, jsonl, json or parquet file (or dataset, a hub dataset)',
  );
  t.equal(
    fault(() => parsePredictOptions({ flags: { testFile: 'f' } })),
    '--model is needed: the weights: a folder, or a Hugging Face hub id such as bert-base-uncased',
  );
  t.equal(
    fault(() => parsePredictOptions({ flags: { model: 'm', testFile: 'f', validationFile: 'g' } })),
    '--validation-file has no meaning for `bertune predict`; did you mean --test-file?',
  );
  t.same(parsePredictOptions({ flags: { model: 'm', testFile: 'f', outputFile: 'o.jsonl' } }).options, {
    model: 'm',
    maxCompressionRatio: 100,
    testFile: ['f'],
    testSplit: 'test',
    outputFile: 'o.jsonl',
    badRows: 'stop',
    perDeviceEvalBatchSize: 8,
    verbose: false,
    device: 'auto',
    dtype: 'auto',
    ddpTimeout: 600,
    dataloaderNumWorkers: 1,
    formulaGuard: true,
    json: false,
    quiet: false,
  });
  t.end();
});

await tap.test('values that follow from others, and options without effect', (t) => {
  const rows = { ...job, validationFile: 'b.csv' };
  const resolved = (values: object): object => parseTrainOptions({ values: { ...rows, ...values } }).options;
  const epoch = { evalStrategy: 'epoch', saveStrategy: 'epoch', loadBestModelAtEnd: true };
  t.match(resolved({ evalStrategy: 'steps', loggingSteps: 50 }), { evalSteps: 50 });
  t.match(resolved(epoch), { metricForBestModel: 'loss', greaterIsBetter: false });
  t.match(resolved({ ...epoch, metricForBestModel: 'eval_accuracy' }), {
    metricForBestModel: 'accuracy',
    greaterIsBetter: true,
  });
  t.match(resolved({ ...epoch, metricForBestModel: 'mse' }), { greaterIsBetter: false }, 'unlike HF');
  t.match(resolved({ ...epoch, metricForBestModel: 'mse', greaterIsBetter: true }), {
    greaterIsBetter: true,
  });
  t.match(
    resolved({ ...epoch, evalStrategy: 'steps', saveStrategy: 'steps', evalSteps: 0.1, saveSteps: 0.3 }),
    { saveSteps: 0.3 },
    'shares that are multiples in spite of rounding',
  );
  const idle = {
    evalSteps: 5,
    saveStrategy: 'epoch',
    saveSteps: 7,
    lrSchedulerType: 'constant',
    warmupSteps: 3,
    maxSteps: 9,
    numTrainEpochs: 2,
    greaterIsBetter: true,
  };
  t.same(parseTrainOptions({ values: { ...rows, ...idle } }).notes, [
    'evalSteps has no effect: evalStrategy is no',
    'saveSteps has no effect: saveStrategy is epoch',
    'warmupSteps has no effect: lrSchedulerType is constant (constant_with_warmup has a warmup)',
    'numTrainEpochs has no effect: maxSteps is 9',
    'greaterIsBetter has no effect: metricForBestModel is not given',
  ]);
  t.end();
});

await tap.test('the arguments of a schedule', (t) => {
  const flags = (type: string, kwargs?: string): Parameters<typeof parseTrainOptions>[0] => ({
    flags: { ...job, lrSchedulerType: type, ...(kwargs !== undefined && { lrSchedulerKwargs: kwargs }) },
  });
  const good: [string, string, object][] = [
    ['cosine', '{"num_cycles": 2}', { numCycles: 2 }],
    ['cosine', '{"numCycles": 0.5}', { numCycles: 0.5 }],
    ['linear', '{}', {}],
    ['polynomial', '{"lr_end": 0, "power": null}', { lrEnd: 0 }],
    [
      'warmup_stable_decay',
      '{"num_decay_steps": 5, "decay_type": "1-sqrt"}',
      { numDecaySteps: 5, decayType: '1-sqrt' },
    ],
    ['slanted_triangular', '{"cut_frac": 0.2, "ratio": 16}', { cutFrac: 0.2, ratio: 16 }],
  ];
  for (const [type, kwargs, wanted] of good) {
    const { options, notes } = parseTrainOptions(flags(type, kwargs));
    t.same(options.lrSchedulerKwargs, wanted, `${type} ${kwargs}`);
    // The effective options are saved with the run.
    t.same(fromFile('training_options.json', JSON.stringify(options)), { options, notes });
  }
  const yaml = `model: m\ntrain_file: a\noutput_dir: o\nlr_scheduler_type: polynomial\nlr_scheduler_kwargs:\n`;
  t.same(fromFile('a.yaml', `${yaml}  lr_end: 1e-6\n  power: 2\n`).options.lrSchedulerKwargs, {
    lrEnd: 1e-6,
    power: 2,
  });
  t.equal(
    fault(() => fromFile('a.yaml', `${yaml}  lrEnd: 1e-6\n  pwer: 2\n`)),
    'a.yaml:6:3: unknown pwer in lr_scheduler_kwargs (did you mean power?)',
  );

  const bad: [string, string | undefined, string][] = [
    [
      'cosine',
      'num_cycles=2',
      'Expected a JSON object such as {"num_cycles": 2} for --lr-scheduler-kwargs but received "num_cycles=2"',
    ],
    [
      'cosine',
      '[1]',
      'Expected a JSON object such as {"num_cycles": 2} for --lr-scheduler-kwargs but received an array of length 1',
    ],
    [
      'cosine',
      '{"num_cycles": "2"}',
      'Expected a number above 0 for num_cycles in --lr-scheduler-kwargs but received "2"',
    ],
    ['cosine', '{"numCycle": 2}', 'unknown numCycle in --lr-scheduler-kwargs (did you mean numCycles?)'],
    [
      'cosine',
      '{"patience_in_epochs": 2}',
      'unknown patience_in_epochs in --lr-scheduler-kwargs; no schedule takes it',
    ],
    [
      'cosine',
      '{"num_cycles": 2, "numCycles": 3}',
      'num_cycles and numCycles in --lr-scheduler-kwargs set the same argument; keep one of them',
    ],
    [
      'cosine',
      '{"power": 2}',
      '--lr-scheduler-type cosine takes no power in --lr-scheduler-kwargs; it takes num_cycles',
    ],
    [
      'linear',
      '{"power": 2}',
      '--lr-scheduler-type linear takes no power in --lr-scheduler-kwargs; it takes no arguments',
    ],
    [
      'warmup_stable_decay',
      undefined,
      '--lr-scheduler-type warmup_stable_decay needs --lr-scheduler-kwargs with num_decay_steps, the steps of the decay at the end',
    ],
    [
      'warmup_stable_decay',
      '{"num_decay_steps": 0.1}',
      'Expected a whole number of at least 0 for num_decay_steps in --lr-scheduler-kwargs but received 0.1',
    ],
    [
      'warmup_stable_decay',
      '{"num_decay_steps": 5, "warmup_type": "sine"}',
      'Expected one of linear, cosine, 1-sqrt for warmup_type in --lr-scheduler-kwargs but received "sine"',
    ],
    [
      'cosine_with_min_lr',
      '{"min_lr": 1e-6, "min_lr_rate": 0.1}',
      'min_lr and min_lr_rate in --lr-scheduler-kwargs exclude each other; keep one of them',
    ],
    [
      'cosine_warmup_with_min_lr',
      '{}',
      '--lr-scheduler-type cosine_warmup_with_min_lr needs --lr-scheduler-kwargs with min_lr, the lowest learning rate, or min_lr_rate, its share of the peak',
    ],
    [
      'cosine_with_min_lr',
      '{"min_lr": 1}',
      'min_lr in --lr-scheduler-kwargs is 1, which must be below --learning-rate 0.00005',
    ],
    [
      'polynomial',
      '{"lr_end": 1}',
      'lr_end in --lr-scheduler-kwargs is 1, which must be below --learning-rate 0.00005',
    ],
  ];
  for (const [type, kwargs, wanted] of bad)
    t.equal(
      fault(() => parseTrainOptions(flags(type, kwargs))),
      wanted,
      wanted,
    );
  t.equal(
    fault(() =>
      parseTrainingArguments({ outputDir: 'o', lrSchedulerType: 'polynomial', learningRate: 1e-8 }),
    ),
    'lrEnd in lrSchedulerKwargs is 1e-7, which must be below learningRate 1e-8',
    "HF's default",
  );
  const args = {
    outputDir: 'o',
    lrSchedulerType: 'slanted_triangular',
    warmupSteps: 3,
    lrSchedulerKwargs: { ratio: 4 },
  };
  const { options, notes } = parseTrainingArguments(args);
  t.same(notes, [
    'warmupSteps has no effect: lrSchedulerType is slanted_triangular (cutFrac in lrSchedulerKwargs is its warmup)',
  ]);
  t.equal(createLearningRate(options, 30).at(30), options.learningRate / 4);
  t.end();
});

await tap.test('what a training pushes', (t) => {
  const problem = (flags: object): string => fault(() => parseTrainOptions({ flags: { ...job, ...flags } }));
  const push = { pushToHub: true };
  t.equal(
    problem({ hubModelId: 'me/m' }),
    '--hub-model-id needs --push-to-hub: without it nothing is pushed',
  );
  t.equal(
    problem({ ...push, crossValidation: '3' }),
    '--push-to-hub and --cross-validation exclude each other: folds save no model',
  );
  t.equal(
    problem({ ...push, hubStrategy: 'checkpoint', saveStrategy: 'no' }),
    '--hub-strategy checkpoint pushes checkpoints, but with --save-strategy no there are none',
  );
  t.equal(
    problem({ ...push, hubStrategy: 'all_checkpoints' }),
    'Expected one of end, every_save, checkpoint for --hub-strategy but received "all_checkpoints"',
  );
  for (const hubModelId of ['a b', 'a/b/c', '/a', '../a'])
    t.equal(
      problem({ ...push, hubModelId }),
      `Expected organization/name, or a name for --hub-model-id but received "${hubModelId}"`,
    );
  const ofHf =
    '{"model":"m","train_file":"a","output_dir":"o","push_to_hub":true,"hub_model_id":"me/m","hub_strategy":"every_save","hub_private_repo":true,"hub_revision":null}';
  t.match(fromFile('hf.json', ofHf).options, {
    pushToHub: true,
    hubModelId: 'me/m',
    hubStrategy: 'every_save',
    hubPrivateRepo: true,
  });
  const inScript = (values: object): string =>
    fault(() => parseTrainingArguments({ outputDir: 'o', ...values }));
  t.match(inScript({ pushToHub: true }), 'pushToHub: only `bertune train` pushes by itself');
  t.same(parseTrainingArguments({ outputDir: 'o', pushToHub: false }).notes, []);
  t.end();
});
