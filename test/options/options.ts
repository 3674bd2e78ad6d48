// Options: the table, its defaults, and the program as a person meets it.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import tap from 'tap';

import {
  evaluateCommand,
  optionsMarkdown,
  optionsWithRole,
  parseTrainingArguments,
  parseTrainOptions,
  predictCommand,
  trainCommand,
  type Command,
} from '../../dist/options/index.js';
import { foreignNames } from '../../dist/options/hf-arguments.js';
import { camelCase, kebabCase, snakeCase } from '../../dist/options/option.js';
import { fault, fromFile, job, jobFlags, program, run } from '../fixtures/config.js';

await tap.test('each option of a Trainer has one role at resume', (t) => {
  const [mustMatch, mayChange, irrelevant] = (['must-match', 'may-change', 'irrelevant'] as const).map(
    (role) => new Set<string>(optionsWithRole(role)),
  );
  const { options } = parseTrainingArguments({ outputDir: 'out' });
  for (const name of Object.keys(options))
    t.equal([mustMatch, mayChange, irrelevant].filter((names) => names?.has(name)).length, 1, name);
  const inOrder = [...(mustMatch ?? [])];
  t.same(inOrder, [
    'maxSeqLength',
    'labelAllTokens',
    'perDeviceTrainBatchSize',
    'gradientAccumulationSteps',
    'optim',
    'momentum',
    'neftuneNoiseAlpha',
    'trainSamplingStrategy',
    'seed',
    'dataSeed',
  ]);
  for (const name of ['learningRate', 'numTrainEpochs', 'lrFactors', 'dtype', 'threads'])
    t.ok(mayChange?.has(name), name);
  for (const name of ['outputDir', 'loggingSteps', 'saveTotalLimit', 'autoFindBatchSize'])
    t.ok(irrelevant?.has(name), name);
  t.end();
});

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
    labelAllTokens: false,
    lineByLine: false,
    textUnit: 'line',
    mlmProbability: 0.15,
    wholeWordMask: false,
    trainSplit: 'train',
    foldLabels: false,
    softLabels: false,
    badRows: 'stop',
    quoting: 'minimal',
    maxRowBytes: 16 * 2 ** 20,
    maxCompressionRatio: 100,
    numTrainEpochs: 3,
    maxSteps: -1,
    perDeviceTrainBatchSize: 8,
    perDeviceEvalBatchSize: 8,
    autoFindBatchSize: false,
    gradientCheckpointing: false,
    gradientReduceDtype: 'float32',
    ddpTimeout: 600,
    cudaGraphs: true,
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
    nonfiniteGradient: 'stop',
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
    modelCard: true,
    pushToHub: false,
    hubStrategy: 'end',
    report: true,
    reportTexts: 'on',
    live: false,
    json: false,
    quiet: false,
  });
  // The effective options are saved with the run: they must be a configuration file that means the same.
  const again = fromFile('training_options.json', JSON.stringify(options));
  t.same(again, { options, notes: [] });
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

await tap.test('the table itself', (t) => {
  const commands: Command[] = [trainCommand, evaluateCommand, predictCommand];
  const names = [...new Set(commands.flatMap((command) => Object.keys(command.options)))];
  for (const name of [...names, ...foreignNames()]) {
    t.equal(camelCase(kebabCase(name)), name, `${name} as a flag`);
    t.equal(camelCase(snakeCase(name)), name, `${name} in snake_case`);
  }
  t.same(
    names.filter((name) => foreignNames().includes(name)),
    ['pushToHub', 'hubModelId', 'hubStrategy', 'hubPrivateRepo', 'hubRevision'],
    'no name is both ours and foreign, but for what only `bertune train` does',
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
      const { help, kind, fallback } = option;
      t.notMatch(help, /\.$/, `${name}: help is a phrase`);
      if (fallback !== undefined)
        t.ok(kind.schema.safeParse(fallback).success, `${name}: the default passes the check`);
      if (kind.words)
        for (const word of kind.words) t.ok(kind.schema.safeParse(word).success, `${name}: ${word}`);
    }
  }
  t.match(optionsMarkdown(trainCommand), '| `--learning-rate X` | `5e-5` | peak learning rate |');
  t.match(
    optionsMarkdown(trainCommand),
    '| `--label-delimiter TEXT` | \\| or ; or a comma, whichever the first labels show |',
  );
  t.end();
});

await tap.test('the program: help, version, exit codes, one line', (t) => {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../..', 'package.json'), 'utf8'),
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
    [
      ['predict', '--model', 'out', 'new.csv', 'b.csv'],
      'bertune: Rows are given with --test-file: --test-file new.csv b.csv\n',
    ],
    [
      ['predict', '--model', 'out', 'x.csv', '-'],
      'bertune: Rows are given with --test-file: --test-file x.csv -\n',
    ],
    [
      ['predict', '--model', 'out', 'a great film'],
      'bertune: Texts are given with --text: --text "a great film"\n',
    ],
    [['predict', 'a', 'great', 'film'], 'bertune: Texts are given with --text: --text "a great film"\n'],
    [
      ['predict', '--model', 'out', 'it costs $5'],
      "bertune: Texts are given with --text: --text 'it costs $5'\n",
    ],
    [
      ['predict', 'long '.repeat(99)],
      `bertune: Texts are given with --text: --text "${'long '.repeat(99)}"\n`,
    ],
    [['predict', 'test', '--text', 'a'], 'bertune: The model is given with --model: --model test\n'],
    [['evaluate', 'test', 'x.csv'], 'bertune: The model is given with --model: --model test\n'],
    [
      ['evaluate', 'my rows.csv'],
      'bertune: Rows are given with --validation-file: --validation-file "my rows.csv"\n',
    ],
    [
      ['export', 'test', 'test-onnx'],
      'bertune: The folder to write is given with --output-dir: --output-dir test-onnx\n',
    ],
    [['merge', 'a', 'b'], 'bertune: The folder to write is given with --output-dir: --output-dir b\n'],
    [['push', 'test', 'me/my-model'], 'bertune: The repository is given with --repo: --repo me/my-model\n'],
    [['merge', 'test'], 'bertune: --output-dir is needed: folder for the model\n'],
    [['evaluate', 'x.csv'], 'bertune: Rows are given with --validation-file: --validation-file x.csv\n'],
    [
      ['search', '--model', 'out'],
      'bertune: A search needs a configuration file with ranges in place of some values: npm run search -- space.yaml\n',
    ],
    [['predict', '--train', 'a.csv'], 'bertune: unknown option --train (did you mean --test-file?)\n'],
    [
      ['predict', '--model', 'out', '--text', 'a', '--id-column', 'id'],
      'bertune: --id-column names columns, and --text has none; give the rows in a file, or as JSON Lines with --test-file -\n',
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
