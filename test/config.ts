// Options: the table, files, flags, names of other tools, and the command line as a person meets it.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import tap from 'tap';

import {
  evaluateCommand,
  optionsMarkdown,
  parseEvaluateOptions,
  parsePredictOptions,
  parseTrainingArguments,
  parseTrainOptions,
  predictCommand,
  readConfigFile,
  trainCommand,
  type Command,
} from '../dist/config/index.js';
import { normalizeArgs } from '../dist/config/argv.js';
import { foreignNames } from '../dist/config/foreign.js';
import { camelCase, kebabCase, snakeCase } from '../dist/config/names.js';
import { factsOf } from '../dist/config/option.js';
import { createLearningRate } from '../dist/training/learning-rate.js';
import { metricNames } from '../dist/evaluation/metrics.js';

const cli = join(import.meta.dirname, '..', 'dist', 'cli.js');
/** The least that trains. */
const job = { model: 'm', trainFile: 'a.csv', outputDir: 'out' };
const jobFlags = ['--model', 'm', '--train-file', 'a.csv', '--output-dir', 'out'];

/** Through env, since tap loads itself into every Node that a test starts, which doubles the time of its start. */
const program = ['-u', 'NODE_OPTIONS', process.execPath, cli];

function run(
  args: readonly string[],
  cwd = process.cwd(),
): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('env', [...program, ...args], {
    encoding: 'utf8',
    cwd,
  });
  return { code: status, stdout, stderr };
}

function fromFile(path: string, text: string): ReturnType<typeof parseTrainOptions> {
  return parseTrainOptions({ file: { path, text } });
}

/** What parsing throws, as text. */
function fault(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    return error instanceof Error && error.name === 'UsageError'
      ? error.message
      : `not a UsageError: ${String(error)}`;
  }
  return 'no error';
}

await tap.test('defaults are those of TrainingArguments', (t) => {
  const { options, notes } = parseTrainOptions({ values: job });
  t.same(notes, []);
  t.same(options, {
    model: 'm',
    trainFile: ['a.csv'],
    validationFile: [],
    outputDir: 'out',
    evalDelay: 0,
    evalOnStart: false,
    earlyStoppingThreshold: 0,
    saveOnlyModel: false,
    reportTo: [],
    trainSplit: 'train',
    badRows: 'stop',
    numTrainEpochs: 3,
    maxSteps: -1,
    perDeviceTrainBatchSize: 8,
    perDeviceEvalBatchSize: 8,
    autoFindBatchSize: false,
    gradientCheckpointing: false,
    gradientAccumulationSteps: 1,
    learningRate: 5e-5,
    lrSchedulerType: 'linear',
    warmupSteps: 0,
    optim: 'adamw_torch_fused',
    momentum: 0,
    weightDecay: 0,
    adamBeta1: 0.9,
    adamBeta2: 0.999,
    adamEpsilon: 1e-8,
    maxGradNorm: 1,
    labelSmoothingFactor: 0,
    trainSamplingStrategy: 'random',
    seed: 42,
    evalStrategy: 'no',
    saveStrategy: 'steps',
    saveSteps: 500,
    loadBestModelAtEnd: false,
    loggingStrategy: 'steps',
    loggingSteps: 500,
    loggingFirstStep: false,
    verbose: false,
    device: 'auto',
    dtype: 'auto',
    dataloaderNumWorkers: 1,
  });
  // The effective options are saved with the run: they must be a configuration file that means the same.
  const again = fromFile('training_options.json', JSON.stringify(options));
  t.same(again, { options, notes: [] });
  t.end();
});

await tap.test('a file in JSON or YAML, in three cases, and flags over it', (t) => {
  const wanted = {
    model: 'm',
    trainFile: ['a.csv', 'b.csv'],
    learningRate: 2e-5,
    loadBestModelAtEnd: false,
    seed: 7,
  };
  const files: [string, string][] = [
    [
      'a.json',
      '{\n\t"model": "m", "trainFile": ["a.csv", "b.csv"],\n\t"outputDir": "o", "learningRate": 2e-5, "loadBestModelAtEnd": false, "seed": 7, "evalSteps": null}',
    ],
    [
      'b.json',
      '\ufeff{"model": "m", "train_file": ["a.csv", "b.csv"], "output_dir": "o", "learning_rate": 0.00002, "load_best_model_at_end": false, "seed": 7,} # comment',
    ],
    [
      'c.yaml',
      'model: m\ntrain-file:\n  - a.csv\n  - b.csv\noutput-dir: o\nlearning-rate: 2e-5\nload-best-model-at-end: false\nseed: 7\n',
    ],
    [
      'd.yml',
      '# comment\nMODEL: m\ntrain_file: [a.csv, b.csv]\noutputDir: o\nlearning_rate: 2.0E-5\nload_best_model_at_end: False\nseed: 7\n',
    ],
  ];
  for (const [path, text] of files) t.match(fromFile(path, text).options, wanted, path);

  const file = {
    path: 'e.yaml',
    text: 'model: m\ntrain_file: [a.csv]\noutput_dir: o\nlearning_rate: 2e-5\nseed: 7\n',
  };
  const flags = { learningRate: '1e-4', trainFile: ['z.csv'], seed: '8', loadBestModelAtEnd: 'False' };
  const over = parseTrainOptions({
    file,
    values: { seed: 9, weightDecay: 0.01 },
    flags,
  }).options;
  t.match(over, {
    model: 'm',
    learningRate: 1e-4,
    trainFile: ['z.csv'],
    seed: 8,
    weightDecay: 0.01,
    outputDir: 'o',
  });
  t.same(
    fromFile('l.yaml', 'model: m\ntrain_file: a.csv\noutput_dir: o\nlabel_list: [0, 1]').options.labelList,
    ['0', '1'],
  );
  t.end();
});

await tap.test('what is wrong with a file is said with file, line and column', (t) => {
  const rest = '"trainFile": "a.csv", "outputDir": "o"';
  const table: [string, string, string][] = [
    [
      'x.json',
      `{"model": "m", ${rest},\n  "learning_rat": 1}`,
      'x.json:2:3: unknown option learning_rat (did you mean learning_rate?)',
    ],
    [
      'x.json',
      `{"model": "m", ${rest},\n  "leraningRate": 1}`,
      'x.json:2:3: unknown option leraningRate (did you mean learningRate?)',
    ],
    [
      'x.yaml',
      'model: m\ntrain-file: a\noutput-dir: o\nper-device-train-batchsize: 3',
      'x.yaml:4:1: unknown option per-device-train-batchsize (did you mean per-device-train-batch-size?)',
    ],
    [
      'x.json',
      `{"model": "m", ${rest},\n  "learning_rate": "5e-5"}`,
      'x.json:2:20: Expected a number above 0 for learning_rate but received "5e-5"',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nlearning_rate: .nan',
      'x.yaml:4:16: Expected a number above 0 for learning_rate but received NaN',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nlearning_rate: .inf',
      'x.yaml:4:16: Expected a number above 0 for learning_rate but received Infinity',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "maxSteps": 1.5}`,
      'x.json:1:68: Expected a whole number of at least 1, or -1 for maxSteps but received 1.5',
    ],
    [
      'x.json',
      `{"model": {"name": "m"}, ${rest}}`,
      'x.json:1:11: Expected a text for model but received an object',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "trainFile": "b"}`,
      'x.json:1:56: not valid JSON: Map keys must be unique',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "output_dir": "p"}`,
      'x.json:1:56: outputDir and output_dir set the same option; keep one of them',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}\n  "seed": 1}`,
      'x.json:2:3: not valid JSON: Missing , between flow map items',
    ],
    [
      'x.json',
      `{"seed": 1\n  "model": "m", ${rest}}`,
      'x.json:1:10: not valid JSON: Expected a quoted text, a number, true, false or null but found 1 "model"',
    ],
    [
      'x.json',
      `{// the model\n"model": "m"}`,
      'x.json:1:2: not valid JSON: Expected a quoted text, a number, true, false or null but found // the model "model"; a comment starts with #',
    ],
    [
      'x.json',
      '{"model": m}',
      'x.json:1:11: not valid JSON: Expected a quoted text, a number, true, false or null but found m',
    ],
    [
      'x.json',
      '["model"]',
      'x.json:1:1: Expected an object of options, such as {"model": "bert-base-uncased"}',
    ],
    ['x.yaml', '', 'x.yaml:1:1: Expected an object of options, such as {"model": "bert-base-uncased"}'],
    [
      'x.yaml',
      'model: m: n',
      'x.yaml:1:8: not valid YAML: Nested mappings are not allowed in compact mappings',
    ],
    [
      'x.yaml',
      'model: !!js/function m',
      'x.yaml:1:8: not valid YAML: Unresolved tag: tag:yaml.org,2002:js/function',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\neval_strategy: epoch',
      'x.yaml:4:1: eval_strategy epoch needs --validation-file or --validation-split: there are no rows to evaluate on',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nwarmup_ratio: 10',
      'x.yaml:4:15: Expected a number from 0 to below 1 for warmup_ratio but received 10',
    ],
  ];
  for (const [path, text, wanted] of table)
    t.equal(
      fault(() => fromFile(path, text)),
      wanted,
      text,
    );
  const two = fault(() => fromFile('x.json', `{"model": "m", ${rest},\n"sed": 1,\n"maxSteps": 0}`));
  t.equal(
    two,
    '2 problems with the options:\n  x.json:2:1: unknown option sed (did you mean seed?)\n  x.json:3:13: Expected a whole number of at least 1, or -1 for maxSteps but received 0',
  );
  t.end();
});

await tap.test('a file that cannot be read', async (t) => {
  const dir = t.testdir({
    'latin1.yaml': Buffer.from([0x61, 0x3a, 0xe9]),
    'folder.json': {},
    'bom.json': '\ufeff{}',
  });
  const read = async (name: string): Promise<string> => {
    try {
      return `text ${JSON.stringify((await readConfigFile(join(dir, name))).text)}`;
    } catch (error) {
      return String(error).replaceAll(`${dir}/`, '');
    }
  };
  t.equal(
    await read('none.json'),
    'UsageError: Cannot read the configuration file none.json: there is no such file or folder',
  );
  t.equal(
    await read('folder.json'),
    'UsageError: Cannot read the configuration file folder.json: it is a folder, not a file; name a file in it',
  );
  t.equal(
    await read('latin1.yaml'),
    'UsageError: Cannot read the configuration file latin1.yaml: it is not UTF-8 text',
  );
  t.equal(
    await read('a.csv'),
    'UsageError: Expected a configuration file (.json, .yaml or .yml) but received a.csv; data is given with --train-file',
  );
  t.equal(await read('bom.json'), 'text "{}"');
});

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
    ['device', 'gpu', 'Expected one of auto, cpu, cuda for --device but received "gpu"'],
    ['loggingFirstStep', 'yes', 'Expected true or false for --logging-first-step but received "yes"'],
    ['model', '', 'Expected a text for --model but received ""'],
    ['trainFile', [''], 'Expected a file name or several for --train-file but received an array of length 1'],
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
      `Expected one of ${[...new Set(Object.values(metricNames).flat())].join(', ')} for metricForBestModel but received "acuracy" (did you mean accuracy?)`,
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
    [{ ...job, testFile: 'c.csv' }, 'testFile has no meaning for `bertune train`'],
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
    '--validation-file has no meaning for `bertune predict`',
  );
  t.same(parsePredictOptions({ flags: { model: 'm', testFile: 'f', outputFile: 'o.jsonl' } }).options, {
    model: 'm',
    testFile: ['f'],
    testSplit: 'test',
    outputFile: 'o.jsonl',
    badRows: 'stop',
    perDeviceEvalBatchSize: 8,
    verbose: false,
    device: 'auto',
    dtype: 'auto',
    dataloaderNumWorkers: 1,
  });
  t.end();
});

await tap.test('the arguments of a Trainer in a script', (t) => {
  const { options, notes } = parseTrainingArguments({
    outputDir: 'o',
    warmup_steps: 500,
    evaluationStrategy: 'epoch',
  });
  t.match(options, { outputDir: 'o', warmupSteps: 500, evalStrategy: 'epoch', learningRate: 5e-5 });
  t.same(notes, ['evaluationStrategy is called evalStrategy here']);
  const table: [Record<string, unknown>, string][] = [
    [{}, 'outputDir is needed: folder for the model, the checkpoints and the metrics'],
    [{ outputDir: 'o', learninRate: 1 }, 'unknown option learninRate (did you mean learningRate?)'],
    [{ outputDir: 'o', zzzzzz: 1 }, 'unknown option zzzzzz'],
    [{ outputDir: 'o', learningRate: '1' }, 'Expected a number above 0 for learningRate but received "1"'],
    [{ outputDir: 'o', model: 'm' }, 'model has no meaning for a Trainer'],
  ];
  for (const [values, wanted] of table)
    t.equal(
      fault(() => parseTrainingArguments(values)),
      wanted,
      wanted,
    );
  t.end();
});

await tap.test('values that follow from others, and options without effect', (t) => {
  const rows = { ...job, validationFile: 'b.csv' };
  const settled = (values: object): object => parseTrainOptions({ values: { ...rows, ...values } }).options;
  const epoch = { evalStrategy: 'epoch', saveStrategy: 'epoch', loadBestModelAtEnd: true };
  t.match(settled({ evalStrategy: 'steps', loggingSteps: 50 }), { evalSteps: 50 });
  t.match(settled(epoch), { metricForBestModel: 'loss', greaterIsBetter: false });
  t.match(settled({ ...epoch, metricForBestModel: 'eval_accuracy' }), {
    metricForBestModel: 'accuracy',
    greaterIsBetter: true,
  });
  t.match(settled({ ...epoch, metricForBestModel: 'mse' }), { greaterIsBetter: false }, 'unlike HF');
  t.match(settled({ ...epoch, metricForBestModel: 'mse', greaterIsBetter: true }), { greaterIsBetter: true });
  t.match(
    settled({ ...epoch, evalStrategy: 'steps', saveStrategy: 'steps', evalSteps: 0.1, saveSteps: 0.3 }),
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

await tap.test("a flag that names another job takes the place of the file's", (t) => {
  const imdb = {
    path: 'imdb.json',
    text: '{"model": "bert-base-uncased", "dataset": "imdb", "validationSplit": "test", "outputDir": "o"}',
  };
  const own = parseTrainOptions({ file: imdb, flags: { trainFile: ['a.csv'] } });
  t.match(own.options, { trainFile: ['a.csv'], dataset: undefined });
  t.same(own.notes, [
    'imdb.json:1:32: dataset is left out, since --train-file replaces it',
    'imdb.json:1:51: validationSplit is left out, since --train-file replaces it',
  ]);
  const small = { path: 'q.yaml', text: 'config: c.json\ntokenizer: t\ntrain_file: a\noutput_dir: o' };
  t.match(parseTrainOptions({ file: small, flags: { model: 'm' } }).options, {
    model: 'm',
    config: undefined,
    tokenizer: undefined,
  });
  t.match(parseTrainOptions({ file: small, flags: { dataset: 'imdb' } }).options, {
    dataset: 'imdb',
    trainFile: [],
    config: 'c.json',
  });
  t.end();
});

await tap.test('names of transformers 4, run_classification.py and run_glue.py', (t) => {
  const flags = {
    modelNameOrPath: 'bert-base-uncased',
    datasetName: 'glue',
    datasetConfigName: 'sst2',
    textColumnNames: 'sentence',
    labelColumnName: 'label',
    maxSeqLength: '128',
    padToMaxLength: 'False',
    doTrain: true,
    doEval: true,
    perGpuTrainBatchSize: '32',
    learningRate: '2e-5',
    evaluationStrategy: 'epoch',
    warmupRatio: '0.1',
    groupByLength: true,
    useCpu: true,
    bf16: true,
    outputDir: 'o',
    overwriteOutputDir: true,
    saveSafetensors: 'True',
    fp16: 'False',
    optim: 'adamw_torch',
    reportTo: 'none',
    loggingDir: './logs',
    deepspeed: '',
    validationSplitName: 'validation',
  };
  const { options, notes } = parseTrainOptions({ flags });
  t.match(options, {
    model: 'bert-base-uncased',
    dataset: 'glue',
    datasetConfig: 'sst2',
    textColumn: 'sentence',
    labelColumn: 'label',
    maxSeqLength: 128,
    perDeviceTrainBatchSize: 32,
    learningRate: 2e-5,
    evalStrategy: 'epoch',
    warmupSteps: 0.1,
    trainSamplingStrategy: 'group_by_length',
    device: 'cpu',
    dtype: 'bfloat16',
    validationSplit: 'validation',
  });
  t.same(notes, [
    '--text-column-names is called --text-column here',
    '--pad-to-max-length has no effect: nothing is ever padded, batches are packed',
    '--do-eval has no effect: validation rows are evaluated whenever they are given',
    '--per-gpu-train-batch-size is called --per-device-train-batch-size here',
    '--evaluation-strategy is called --eval-strategy here',
    '--warmup-ratio is called --warmup-steps here',
    '--group-by-length is written --train-sampling-strategy group_by_length here',
    '--use-cpu is written --device cpu here',
    '--bf16 is written --dtype bfloat16 here',
    '--overwrite-output-dir has no effect: the output folder may exist, and a run goes on only with --resume-from-checkpoint',
    '--logging-dir has no effect: the log is written to trainer_state.json in the output folder',
  ]);
  const refused: [Record<string, unknown>, string][] = [
    [{ fp16: 'True' }, '--fp16: float16 is not supported; use --dtype bfloat16, or --dtype float32'],
    [
      { doTrain: 'false' },
      '--do-train: `bertune train` trains; `bertune evaluate` evaluates without training',
    ],
    [{ saveSafetensors: 'false' }, '--save-safetensors: weights are always saved as safetensors'],
    [
      { optim: 'adafactor' },
      'Expected one of adamw_torch_fused, adamw_torch, adam, sgd, adagrad for --optim but received "adafactor"',
    ],
    [{ deepspeed: 'zero.json' }, '--deepspeed is not supported: bertune runs in one process on one device'],
    [
      { taskName: 'mrpc' },
      '--task-name is not supported: use --dataset nyu-mll/glue --dataset-config <task> instead',
    ],
    [
      { textColumnNames: 'title,body' },
      '--text-column-names: columns are not joined; give one as --text-column, and a second text as --text-pair-column',
    ],
    [{ warmupRatio: '1' }, 'Expected a number from 0 to below 1 for --warmup-ratio but received 1'],
    [
      { warmupRatio: '0.1', warmupSteps: '5' },
      '--warmup-ratio and --warmup-steps set the same option; keep one of them',
    ],
    [{ noCuda: 'maybe' }, 'Expected true or false for --no-cuda but received "maybe"'],
    [{ tf32: 'high' }, 'Expected true or false for --tf32 but received "high"'],
  ];
  for (const [more, wanted] of refused)
    t.equal(
      fault(() => parseTrainOptions({ flags: { ...job, ...more } })),
      wanted,
      wanted,
    );
  // A dump of TrainingArguments with its defaults asks for nothing, and so passes.
  const dump =
    '{"model": "m", "train_file": "a", "output_dir": "o", "fp16": false, "fsdp": [], "fsdp_config": {}, "report_to": [], "lr_scheduler_kwargs": {}, "neftune_noise_alpha": null, "push_to_hub": false, "use_cpu": false, "tf32": null}';
  t.same(fromFile('dump.json', dump).notes, []);
  t.equal(fromFile('dump.json', dump).options.tf32, undefined, 'as LibTorch has it');
  for (const tf32 of [true, false]) {
    const file = JSON.stringify({ model: 'm', trainFile: 'a', outputDir: 'o', tf32 });
    t.equal(fromFile('tf32.json', file).options.tf32, tf32);
    t.equal(parseTrainOptions({ flags: { ...job, tf32: String(tf32) } }).options.tf32, tf32);
  }
  t.equal(
    fromFile('b.json', '{"model": "m", "train_file": "a", "output_dir": "o", "bf16": false}').options.dtype,
    'float32',
  );
  t.end();
});

await tap.test('the table itself', (t) => {
  const commands: Command[] = [trainCommand, evaluateCommand, predictCommand];
  const names = [...new Set(commands.flatMap((command) => Object.keys(command.options)))];
  for (const name of [...names, ...foreignNames()]) {
    t.equal(camelCase(kebabCase(name)), name, `${name} as a flag`);
    t.equal(camelCase(snakeCase(name)), name, `${name} in snake_case`);
  }
  t.same(
    names.filter((name) => foreignNames().includes(name)),
    [],
    'no name is both ours and foreign',
  );
  for (const command of commands) {
    const markdown = optionsMarkdown(command);
    const shown = [...markdown.matchAll(/^\| `--([a-z0-9-]+)/gm)].map(([, flag = '']) => camelCase(flag));
    t.same(
      shown.toSorted(),
      Object.keys(command.options).toSorted(),
      `the table of ${command.name} has every option once`,
    );
    for (const [name, option] of Object.entries(command.options)) {
      const { help, kind, fallback } = factsOf(option);
      t.notMatch(help, /\.$/, `${name}: help is a phrase`);
      if (fallback !== undefined)
        t.ok(option.safeParse(fallback).success, `${name}: the default passes the check`);
      if (kind.words) for (const word of kind.words) t.ok(option.safeParse(word).success, `${name}: ${word}`);
    }
  }
  t.match(optionsMarkdown(trainCommand), '| `--learning-rate X` | `5e-5` | peak learning rate |');
  t.match(optionsMarkdown(trainCommand), '| `--label-delimiter TEXT` | \\| |');
  t.end();
});

function normal(...args: string[]): string[] {
  return normalizeArgs(args, trainCommand);
}

await tap.test('spellings of the command line', (t) => {
  t.same(normal('run.json', '--learning_rate=1e-5', '--trainFile', 'a', 'b', '--model_name_or_path', 'm'), [
    'run.json',
    '--learning-rate=1e-5',
    '--train-file',
    'a',
    'b',
    '--model',
    'm',
  ]);
  t.same(normal('--verbose', 'run.json'), ['--verbose=true', 'run.json'], 'a switch does not take the file');
  t.same(
    normal('--verbose', 'False', '--no-verbose', '--no_load_best_model_at_end', 'false', '--fp16', 'TRUE'),
    ['--verbose=false', '--verbose=false', '--load-best-model-at-end=true', '--fp16=true'],
  );
  t.same(normal('--no_cuda', '--noCuda', 'false'), ['--use-cpu=true', '--use-cpu=false']);
  t.same(normal('--resume-from-checkpoint', '--max-steps', '-1'), [
    '--resume-from-checkpoint',
    '--max-steps',
    '-1',
  ]);
  t.same(normal('--help', '-h'), ['--help', '-h']);
  t.equal(
    fault(() => normal('--model', '--train-file', 'a')),
    '--model needs a value',
  );
  t.equal(
    fault(() => normal('--max-steps')),
    '--max-steps needs a value',
  );
  t.equal(
    fault(() => normal('--no-model')),
    'unknown option --no-model (did you mean --model?)',
  );
  t.end();
});

await tap.test('the program: help, version, exit codes, one line', (t) => {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8'),
  );
  t.same(run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  const help = run(['train', '--help']);
  t.equal(help.code, 0);
  const headings = ['Model:', 'Data:', 'Training:', 'Evaluation:', 'Saving and logging:', 'Device:'];
  t.same(
    help.stdout.split('\n').filter((line) => headings.includes(line)),
    headings,
    'the groups in their order',
  );
  for (const name of Object.keys(trainCommand.options)) t.match(help.stdout, `--${kebabCase(name)} `);
  t.notMatch(help.stdout, '--evaluation-strategy', 'names of other tools are not advertised');
  t.match(run(['evaluate', '--help']).stdout, '--validation-file');

  const table: [string[], string][] = [
    [
      ['train', '--leraning-rate', '3'],
      'bertune: unknown option --leraning-rate (did you mean --learning-rate?)\n',
    ],
    [
      ['train', ...jobFlags, '--learning-rate', 'NaN'],
      'bertune: Expected a number above 0 for --learning-rate but received "NaN"\n',
    ],
    [
      ['train', ...jobFlags, '--per_device_train_batch_size', '0'],
      'bertune: Expected a whole number of at least 1 for --per-device-train-batch-size but received 0\n',
    ],
    [
      ['train', 'a.json', 'b.json'],
      "bertune: too many arguments for 'train'. Expected 1 argument but got 2.\n",
    ],
    [['trian'], "bertune: unknown command 'trian' (Did you mean train?)\n"],
  ];
  for (const [args, stderr] of table) t.same(run(args), { code: 2, stdout: '', stderr }, args.join(' '));
  const bare = run([]);
  t.equal(bare.code, 2);
  t.match(bare.stderr, 'Usage: bertune');
  t.match(run(['train', '--nope', '--verbose']).stderr, /\n\s+at /, 'a stack with --verbose');
  t.end();
});

await tap.test('a configuration file through the program, paths relative to the working folder', (t) => {
  const dir = t.testdir({ sub: { 'run.yaml': 'model: m\ntrain_file: a.csv\noutput_dir: o\nseed: x\n' } });
  t.same(run(['train', 'sub/run.yaml'], dir), {
    code: 2,
    stdout: '',
    stderr:
      'bertune: sub/run.yaml:4:7: Expected a whole number from 0 to 4294967295 for seed but received "x"\n',
  });
  const missing = run(
    ['train', 'sub/run.yaml', '--seed', '1', '--model', join(dir, 'nowhere'), '--evaluation_strategy', 'no'],
    dir,
  );
  t.match(missing.stderr, /^bertune: note: --evaluation-strategy is called --eval-strategy here\n/);
  t.not(missing.code, 0);
  t.end();
});

await tap.test('a reader that goes away is no failure', async (t) => {
  const child = spawn('env', [...program, 'train', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  t.equal(stderr, '');
  t.equal(code, 0);
  const shell = execFileSync('sh', ['-c', '"$@" train --help | head -1', 'sh', 'env', ...program], {
    encoding: 'utf8',
  });
  t.equal(shell, 'Usage: bertune train [config] [options]\n');
});
