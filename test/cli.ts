// The command line as a person meets it: whole runs on toy data, and what every kind of bad input gets.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

import { BertForSequenceClassification, BertTokenizer, deviceInfo, pack } from '../dist/index.js';
import { bertune, flags, inPairs, misdescribed, renamed, tree, withHeader } from './fixtures/cli.js';
import type { Options, Outcome } from './fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from './fixtures/toy.js';

const folder = t.testdir();
const here = { cwd: folder };
const modelFixtures = fileURLToPath(new URL('fixtures/model/', import.meta.url));
makeToy(folder, { train: 60, test: 20 });

const cheap = { threads: '1', 'dataloader-num-workers': '0' };
const toyTraining = {
  ...cheap,
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'num-train-epochs': '12',
  'learning-rate': '2e-3',
  'output-dir': 'new/out',
};

function write(path: string, content: string | Uint8Array): string {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, content);
  return path;
}

function read(path: string): Buffer {
  return readFileSync(join(folder, path));
}

function json(text: string | Buffer): Record<string, number> {
  return JSON.parse(String(text)) as Record<string, number>;
}

/** Metrics without those that are times. */
function timeless(metrics: Record<string, number>): [string, number][] {
  return Object.entries(metrics).filter(([name]) => !/runtime|per_second|^epoch$/.test(name));
}

interface Prediction {
  row: number;
  place?: string;
  label: string | string[] | number;
  score: number;
  probabilities: Record<string, number>;
}

function predictionsOf(lines: string | Buffer): Prediction[] {
  const rows = String(lines).trimEnd().split('\n');
  return rows.map((line) => JSON.parse(line) as Prediction);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A kind of task: how its rows are written, and the loss of a prediction by its definition. */
interface TaskCase<L> {
  name: string;
  extension: 'csv' | 'jsonl';
  rows: { text: string; pair?: string; label: L }[];
  labels: string[];
  loss(prediction: Prediction, label: L): number;
}

const toyRows = Array.from({ length: 80 }, (_, row) => toyRow(row));

const crossEntropy = ({ probabilities }: Prediction, label: string): number =>
  -Math.log(probabilities[label] ?? Number.NaN);

const single: TaskCase<string> = {
  name: 'single',
  extension: 'csv',
  rows: toyRows,
  labels: ['neg', 'pos'],
  loss: crossEntropy,
};

/** Whether both texts say the same: nothing that one text alone can tell. */
const pairs: TaskCase<string> = {
  name: 'pairs',
  extension: 'csv',
  rows: toyRows.map(({ text, label }, i) => {
    const other = toyRow(i * 3 + (i % 4 < 2 ? 0 : 1));
    return { text, pair: other.text, label: other.label === label ? 'same' : 'other' };
  }),
  labels: ['other', 'same'],
  loss: crossEntropy,
};

const multi: TaskCase<string[]> = {
  name: 'multi',
  extension: 'jsonl',
  rows: toyRows.map(({ text, label }) => ({
    text,
    label: [label, ...(text.includes('film') ? ['film'] : [])],
  })),
  labels: ['film', 'neg', 'pos'],
  loss: ({ probabilities }, labels) =>
    mean(Object.entries(probabilities).map(([name, p]) => -Math.log(labels.includes(name) ? p : 1 - p))),
};

const regression: TaskCase<number> = {
  name: 'regression',
  extension: 'csv',
  rows: toyRows.map(({ text, label }) => ({ text, label: (label === 'pos' ? 1 : 0) + text.length / 100 })),
  labels: ['LABEL_0'],
  loss: ({ score }, label) => (score - label) ** 2,
};

/** Writes rows as CSV with sentence1 and sentence2, or text; or as JSON Lines. */
function writeRows(path: string, { extension, rows }: TaskCase<unknown>, from: number, to: number): string {
  const named = rows.slice(from, to).map(({ text, pair, label }) => {
    return pair === undefined ? { text, label } : { sentence1: text, sentence2: pair, label };
  });
  const header = Object.keys(named[0] ?? {}).join(',');
  const lines =
    extension === 'jsonl'
      ? named.map((row) => JSON.stringify(row))
      : [header, ...named.map((row) => Object.values(row).join(','))];
  return write(`${path}.${extension}`, `${lines.join('\n')}\n`);
}

function succeeded(test: Test, what: string, { code, stderr }: Outcome): void {
  test.equal(code, 0, `${what} succeeds`);
  if (code !== 0) test.comment(stderr);
}

/** Trains, evaluates and predicts; every figure must follow from the predictions. */
async function wholeRun<L>(test: Test, task: TaskCase<L>): Promise<void> {
  const { name, labels } = task;
  const trainFile = writeRows(`data/${name}-train`, task, 0, 60);
  const testFile = writeRows(`data/${name}-test`, task, 60, 80);
  const options = { ...toyTraining, 'train-file': trainFile, 'validation-file': testFile };
  const training = await bertune(
    ['train', ...flags({ ...options, 'output-dir': name, 'save-steps': '50' })],
    here,
  );
  succeeded(test, `${name}: train`, training);
  test.same(json(training.stdout), json(read(`${name}/all_results.json`)), 'stdout holds the results alone');
  const config = JSON.parse(String(read(`${name}/config.json`))) as { id2label: Record<string, string> };
  test.same(Object.values(config.id2label), labels);

  const shared = { ...cheap, model: name, 'per-device-eval-batch-size': '7' };
  const evaluation = await bertune(['evaluate', ...flags({ ...shared, 'validation-file': testFile })], here);
  succeeded(test, `${name}: evaluate`, evaluation);
  const atTheEnd = timeless(json(read(`${name}/eval_results.json`)));
  const later = json(evaluation.stdout);
  test.same(
    timeless(later).map(([metric]) => metric),
    atTheEnd.map(([metric]) => metric),
  );
  for (const [metric, value] of atTheEnd)
    test.ok(Math.abs((later[metric] ?? Number.NaN) - value) < 1e-6, `${name}: ${metric} is ${value} again`);

  const outputFile = `${name}/predictions.jsonl`;
  const files = { 'test-file': testFile, 'output-file': outputFile };
  const prediction = await bertune(['predict', ...flags({ ...shared, ...files })], here);
  succeeded(test, `${name}: predict`, prediction);
  test.equal(prediction.stdout, '');
  const rows = predictionsOf(read(outputFile));
  test.same(
    rows.map(({ row }) => row),
    Array.from({ length: 20 }, (_, row) => row),
    'one a row, in order',
  );
  const losses = rows.map((row, i) => task.loss(row, task.rows[60 + i]?.label as L));
  const difference = Math.abs(mean(losses) - (later['eval_loss'] ?? Number.NaN));
  test.ok(difference < 1e-5, `${name}: the loss follows from the predictions (${difference})`);
  await comparedWithTransformers(test, task);
}

/** The saved folder in transformers, where a Python that has it is given. */
async function comparedWithTransformers(test: Test, { name, rows }: TaskCase<unknown>): Promise<void> {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined)
    return test.comment(`${name}: BERTUNE_PYTHON is not set, not loaded with transformers`);
  const directory = join(folder, name);
  const tokenizer = await BertTokenizer.fromPretrained(directory);
  const encodings = rows
    .slice(60, 65)
    .map(({ text, pair }) => tokenizer.encode(text, pair, { maxLength: 32 }));
  const ids = encodings.map((encoding) => Array.from(encoding.ids));
  const types = encodings.map(({ ids: of, typeIds }) => Array.from(typeIds ?? new Int32Array(of.length)));
  const script = fileURLToPath(new URL('../scripts/reference/check_saved.py', import.meta.url));
  const parts = ['--ids', JSON.stringify(ids), '--type-ids', JSON.stringify(types)];
  const output = execFileSync(python, [script, directory, ...parts], { stdio: ['ignore', 'pipe', 'ignore'] });
  const { logits, ...keys } = JSON.parse(String(output)) as { logits: number[][] } & Record<string, unknown>;
  for (const kind of ['missing_keys', 'unexpected_keys', 'mismatched_keys']) test.same(keys[kind], [], kind);
  const model = await BertForSequenceClassification.fromPretrained(directory);
  const session = await model.open({ threads: 1, dtype: 'float32', device: 'cpu' });
  const ours = await session.predict(pack(encodings));
  await model.close();
  const largest = Math.max(...logits.flat().map((value, i) => Math.abs(value - (ours[i] ?? Number.NaN))));
  test.ok(largest < 1e-5, `${name}: transformers gives the same logits (${largest})`);
}

await t.test('train, evaluate and predict, for every kind of task', async (t) => {
  const runs = [
    () => wholeRun(t, single),
    () => wholeRun(t, pairs),
    () => wholeRun(t, multi),
    () => wholeRun(t, regression),
  ];
  await inPairs(runs, (run) => run());
});

await t.test('the files of the output folder', (t) => {
  const model = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];
  const results = ['all_results.json', 'eval_results.json', 'train_results.json', 'training_options.json'];
  const checkpoint = [...model, 'bertune_state.json', 'optimizer.safetensors', 'trainer_state.json'];
  const checkpoints = ['checkpoint-50', 'checkpoint-96'].flatMap((name) => [
    name,
    ...checkpoint.map((file) => join(name, file)),
  ]);
  const expected = [...model, ...results, 'trainer_state.json', 'predictions.jsonl', ...checkpoints];
  t.same(tree(join(folder, 'single')), expected.toSorted());
  t.equal(json(read('single/training_options.json'))['learningRate'], 2e-3);
  t.equal(json(read('single/trainer_state.json'))['global_step'], 96);
  t.end();
});

await t.test('a configuration file, flags over it, and bad rows that are skipped', async (t) => {
  const rows = toyRows.slice(0, 10).map(({ text, label }) => `${text},${label}`);
  const lines = ['text,label', ...rows, ',pos', ...rows, 'the film', 'the plot,'];
  write('data/bad.csv', `${lines.join('\n')}\n`);
  const { threads: _, ...toy } = toyTraining;
  const settings = {
    ...toy,
    bad_rows: 'skip',
    output_dir: 'skipping',
    num_train_epochs: 3,
    'train-file': 'data/bad.csv',
  };
  write(
    'run.yaml',
    Object.entries(settings)
      .map(([name, value]) => `${name.replaceAll('-', '_')}: ${value}\n`)
      .join(''),
  );
  const [training, prediction] = await Promise.all([
    bertune(['train', 'run.yaml', '--max-steps', '1', '--threads', '1'], here),
    bertune(
      ['predict', ...flags({ ...cheap, model: 'single', 'test-file': 'data/bad.csv', 'bad-rows': 'skip' })],
      here,
    ),
  ]);
  const faults = [
    { line: 12, column: 'text', reason: 'the text is empty' },
    { line: 23, column: null, reason: '1 field where the header has 2' },
    { line: 24, column: 'label', reason: 'the label is missing' },
  ].map((fault) => ({ file: 'data/bad.csv', ...fault }));
  succeeded(t, 'train', training);
  t.match(training.stderr, /bertune: note: .*num_train_epochs has no effect/);
  t.match(
    training.stderr,
    /\ntrain: skipped 3 bad rows:\n {2}data\/bad\.csv line 12, column "text": the text is empty\n/,
  );
  const written = String(read('skipping/bad_rows_train.jsonl')).trimEnd().split('\n');
  t.same(
    written.map((line) => JSON.parse(line) as unknown),
    faults,
    'all of them are in the output folder',
  );
  t.equal(json(training.stdout)['train_samples'], 20);

  succeeded(t, 'predict', prediction);
  const predictions = predictionsOf(prediction.stdout);
  t.equal(predictions.length, 21, 'a row without a label can be predicted');
  t.same(predictions[10], { ...predictions[10], row: 10, place: 'data/bad.csv line 13' });
});

await t.test('help, version, a closed pipe and a full standard output', async (t) => {
  const version = await bertune(['--version'], here);
  const { version: packaged } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  t.same(version, { code: 0, stdout: `${packaged}\n`, stderr: '' });
  const help = await bertune(['--help'], here);
  t.same([help.code, help.stderr], [0, '']);
  for (const command of ['train', 'evaluate', 'predict'])
    t.match(help.stdout, new RegExp(`\\n {2}${command} `));
  const nothing = await bertune([], here);
  t.same([nothing.code, nothing.stdout], [2, ''], 'without a command the help is no result');
  t.equal(nothing.stderr, help.stdout);

  const text = toyRows.map((row) => row.text);
  write(
    'data/many.csv',
    `text\n${Array.from({ length: 40 }, () => text)
      .flat()
      .join('\n')}\n`,
  );
  const options = { ...cheap, model: 'single', 'test-file': 'data/many.csv' };
  const headed = await bertune(['predict', ...flags(options)], {
    ...here,
    wrapper: ['sh', '-c', '"$@" | head -n 1', 'sh'],
  });
  t.equal(predictionsOf(headed.stdout).length, 1);
  t.notMatch(headed.stderr, /EPIPE|at |bertune:/);
  const full = await bertune(['predict', ...flags(options)], {
    ...here,
    wrapper: ['sh', '-c', '"$@" > /dev/full', 'sh'],
  });
  t.equal(full.code, 1);
  t.equal(
    complaint(full),
    'Could not write standard output: the disk is full; free some space or choose another folder',
  );
});

/** The message that a failed command ends with, without its `bertune: `. */
function complaint({ stderr }: Outcome): string {
  return (
    (/(?:^|\n)bertune: (?!note: )(.*)\n$/s.exec(stderr) ?? [])[1] ?? `no message at the end of: ${stderr}`
  );
}

/** One bad input, and the message that it must get. Exit code 2 unless said otherwise. */
interface Bad {
  args: string[];
  message: string;
  code?: number;
}

const train = (options: Options): string[] => ['train', ...flags({ ...toyTraining, ...options })];
const evaluate = (options: Options): string[] => [
  'evaluate',
  ...flags({ ...cheap, model: 'single', 'validation-file': 'test.csv', ...options }),
];
const predict = (options: Options): string[] => [
  'predict',
  ...flags({
    ...cheap,
    model: 'single',
    'test-file': 'test.csv',
    'output-file': 'new/out.jsonl',
    ...options,
  }),
];

/** Every bad input in pairs of processes; none may leave anything behind. */
async function refuseAll(test: Test, cases: readonly Bad[]): Promise<void> {
  const before = tree(folder);
  await inPairs(cases, async ({ args, message, code = 2 }) => {
    const outcome = await bertune(args, here);
    const shown = complaint(outcome);
    test.equal(shown, message);
    test.equal(outcome.code, code, `exit code ${code}: ${shown}`);
    test.equal(outcome.stdout, '', `nothing on stdout: ${shown}`);
    test.notMatch(outcome.stderr, /^ +at /m, `no stack trace: ${shown}`);
  });
  test.same(tree(folder), before, 'nothing is left behind');
}

await t.test('bad data', async (t) => {
  write('data/empty.csv', '');
  write('data/header.csv', 'text,label\n');
  mkdirSync(join(folder, 'data/folder.csv'));
  write('data/unlabelled.csv', 'text,when\na film,monday\nthe plot,tuesday\n');
  write('data/semicolons.csv', 'text;label\na film;pos\nthe plot;neg\n');
  write('data/one-class.csv', 'text,label\na film,pos\nthe plot,pos\n');
  write('data/neutral.csv', 'text,label\na film,pos\nthe plot,neutral\na scene,neg\n');
  write('data/numbers.csv', 'text,label\n1,pos\n2,neg\n3.5,pos\n');
  write('data/untitled.csv', 'caption,wording\na,b\nc,d\n');
  write('data/latin.csv', Buffer.from('text,label\na caf\xe9,pos\nthe plot,neg\n', 'latin1'));
  write('data/notes.txt', 'a film');
  const trainFile = (file: string, message: string): Bad => ({
    args: train({ 'train-file': file }),
    message,
  });
  const neutral = `data have 1 bad row:
  data/neutral.csv line 3, column "label": the label "neutral" is unknown; expected "neg", "pos"
Correct it, or leave it out with --bad-rows skip`;
  const columns = 'it has the columns "text", "label"; --text-column names another';
  await refuseAll(t, [
    trainFile('trian.csv', 'trian.csv does not exist; did you mean train.csv?'),
    trainFile('data/*.tsv', 'No file matches data/*.tsv'),
    trainFile('data/empty.csv', 'data/empty.csv is empty; give a file that holds rows'),
    trainFile(
      'data/header.csv',
      'data/header.csv: no rows, only a header or an empty list; give a file that holds rows',
    ),
    trainFile(
      'data/folder.csv',
      'data/folder.csv is a folder; name the files in it, e.g. data/folder.csv/*.csv',
    ),
    trainFile(
      'data/notes.txt',
      'data/notes.txt is of an unknown format; the name must end in one of .csv, .tsv, .jsonl, .ndjson, .json ' +
        '(each also with .gz or .zst) and .parquet',
    ),
    trainFile(
      'data/unlabelled.csv',
      'data/unlabelled.csv has no column with a usual name for the label; it has the columns "text", "when"; ' +
        'name it with --label-column',
    ),
    trainFile(
      'data/semicolons.csv',
      'data/semicolons.csv has no column with a usual name for the label; it has the column "text;label"; ' +
        'fields are separated by a comma in .csv and a tab in .tsv, here it seems to be ";"',
    ),
    trainFile(
      'data/one-class.csv',
      'The train data hold only one class, "pos" (column "label"); training needs at least two',
    ),
    trainFile(
      'data/numbers.csv',
      'The column "text" of data/numbers.csv holds only numbers; is it the text? --text-column names another',
    ),
    trainFile(
      'data/latin.csv',
      'The train data have 1 bad row:\n  data/latin.csv line 2: not valid UTF-8\n' +
        'Correct it, or leave it out with --bad-rows skip',
    ),
    {
      args: train({
        config: undefined,
        tokenizer: undefined,
        model: 'single',
        'train-file': 'data/neutral.csv',
      }),
      message: `The train ${neutral}`,
    },
    { args: evaluate({ 'validation-file': 'data/neutral.csv' }), message: `The validation ${neutral}` },
    { args: predict({ 'text-column': 'review' }), message: `test.csv has no column "review"; ${columns}` },
    {
      args: predict({ 'test-file': 'data/untitled.csv' }),
      message:
        'data/untitled.csv has no column with a usual name for the text; it has the columns "caption", "wording"; ' +
        'name it with --text-column',
    },
  ]);
});

await t.test('bad options', async (t) => {
  const positions = '--max-seq-length is 33 but the model has 32 positions; use at most 32';
  const below = 'a file is in the way; choose another path or move it';
  await refuseAll(t, [
    {
      args: train({ 'learning-rate': 'NaN' }),
      message: 'Expected a number above 0 for --learning-rate but received "NaN"',
    },
    {
      args: train({ 'per-device-train-batch-size': '0' }),
      message: 'Expected a whole number of at least 1 for --per-device-train-batch-size but received 0',
    },
    {
      args: train({ 'learning-rat': '1' }),
      message: 'unknown option --learning-rat; did you mean --learning-rate?',
    },
    { args: train({ 'max-seq-length': '33' }), message: positions },
    { args: evaluate({ 'max-seq-length': '33' }), message: positions },
    { args: predict({ 'max-seq-length': '33' }), message: positions },
    {
      args: train({ 'num-labels': '3' }),
      message:
        '--num-labels is 3 but the data have 2 labels (neg, pos); leave --num-labels out, or name all labels with ' +
        '--label-list',
    },
    { args: train({ 'output-dir': 'train.csv' }), message: `Could not write train.csv: ${below}` },
    { args: train({ 'output-dir': 'train.csv/out' }), message: `Could not write train.csv/out: ${below}` },
    { args: evaluate({ 'output-dir': 'train.csv/out' }), message: `Could not write train.csv/out: ${below}` },
    { args: predict({ 'output-file': 'train.csv/out' }), message: `Could not write train.csv: ${below}` },
    { args: predict({ 'output-file': 'data' }), message: 'data is a folder; name the file to write' },
    {
      args: predict({ 'output-file': '/dev/full' }),
      message: 'Could not write /dev/full: the disk is full; free some space or choose another folder',
      code: 1,
    },
  ]);
});

await t.test(
  'a folder that nothing can be made in does not hang the run',
  { skip: !existsSync('/proc/self') },
  async (t) => {
    const outcome = await bertune(train({ 'output-dir': '/proc/bertune/out' }), here);
    t.equal(outcome.code, 2);
    t.equal(
      complaint(outcome),
      'Could not write /proc/bertune/out: no folder can be made there; choose another path',
    );
  },
);

await t.test('--device cuda without a device', { skip: deviceInfo().cuda && 'there is one' }, async (t) => {
  const outcome = await bertune(train({ device: 'cuda' }), here);
  t.equal(outcome.code, 2);
  t.match(complaint(outcome), /^--device cuda cannot be used: .+\. Use --device cpu, or auto\.$/);
});

await t.test('the stack is shown with --verbose', async (t) => {
  const outcome = await bertune(train({ 'train-file': 'trian.csv', verbose: true }), here);
  t.equal(outcome.code, 2);
  t.match(outcome.stderr, /\nbertune: trian\.csv does not exist.*\n.*UsageError: trian\.csv[^\n]*\n +at /);
});

await t.test('bad models', async (t) => {
  const weights = join(folder, 'single/model.safetensors');
  const bytes = readFileSync(weights);
  const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
  const header = bytes.subarray(8, bytes.length - data.length);
  const bias = 'classifier.bias'; // the smallest tensor: 2 numbers, 8 bytes
  const isNotUsable = (name: string, fault: string): string =>
    `${name}/model.safetensors is not a usable safetensors file: ${fault}; download or save it again`;
  /** A copy of the trained model with other weights, as a case that predicts. */
  const model = (name: string, content: Buffer, fault: string): Bad => {
    cpSync(join(folder, 'single'), join(folder, name), {
      recursive: true,
      filter: (path) => !/checkpoint-/.test(path),
    });
    write(`${name}/model.safetensors`, content);
    return { args: predict({ model: name }), message: isNotUsable(name, fault) };
  };
  write('roberta.json', JSON.stringify({ ...TOY_CONFIG, model_type: 'roberta' }));
  write('broken.json', '{"model_type": "bert",');
  write('larger/vocab.txt', `${String(read('model/vocab.txt'))}another\n`);
  write('bare/config.json', JSON.stringify(TOY_CONFIG));
  const last = 'bert.pooler.dense.weight';
  const end = data.length;
  await refuseAll(t, [
    model(
      'lying-header',
      withHeader(header, data, 1e6),
      `it claims a header of 1000000 bytes but has only ${bytes.length - 8} after the length (cut short?)`,
    ),
    model(
      'huge-header',
      withHeader(header, data, 1e10),
      'it claims a header of 10000000000 bytes, over the 100 MB limit',
    ),
    model('empty', Buffer.alloc(0), 'it has only 0 bytes'),
    model('not-utf8', withHeader(Buffer.from('{"\xff\xfe":1}', 'latin1'), data), 'its header is not UTF-8'),
    model(
      'overlapping',
      misdescribed(weights, bias, ({ data_offsets: [a, b] }) => ({ data_offsets: [a - 4, b - 4] })),
      '',
    ),
    model(
      'negative',
      misdescribed(weights, bias, () => ({ data_offsets: [-8, 0] })),
      `data_offsets of tensor "${bias}" is not a pair of whole numbers from 0`,
    ),
    model(
      'past-the-end',
      misdescribed(weights, last, ({ data_offsets: [a, b] }) => ({
        shape: [33, 32],
        data_offsets: [a, b + 128],
      })),
      `tensor "${last}" ends at byte ${end + 128} of the data, which has only ${end} (cut short?)`,
    ),
    model(
      'wrong-dtype',
      misdescribed(weights, bias, () => ({ dtype: 'F64' })),
      `tensor "${bias}": F64 [2] takes 16 bytes but its offsets span 8`,
    ),
    model('cut-in-half', bytes.subarray(0, bytes.length / 2), ''),
    {
      ...model('missing-tensor', renamed(weights, 'bert.encoder.layer.1.output.dense.bias', 'other'), ''),
      message: 'missing-tensor lacks ...',
    },
    {
      args: train({ config: 'roberta.json' }),
      message:
        'roberta.json describes a "roberta" model; bertune supports BERT encoders (model_type "bert") with absolute positions',
    },
    { args: train({ config: 'broken.json' }), message: 'broken.json is not valid JSON: ' },
    { args: train({ config: 'model' }), message: 'Could not read model: it is a folder, not a file' },
    {
      args: train({ config: undefined, model: 'train.csv' }),
      message: '"train.csv" is a file: give the folder of a model, or a hub id',
    },
    {
      args: train({ config: undefined, model: 'model' }),
      message:
        'model has no model.safetensors and no model.safetensors.index.json; give a model folder that holds its weights',
    },
    {
      args: train({ tokenizer: 'bare' }),
      message: 'No tokenizer.json and no vocab.txt in bare: name a folder or model that has one',
    },
    {
      args: train({ tokenizer: 'larger' }),
      message: "The tokenizer has 26 tokens but the model's vocabulary only 25: they do not belong together",
    },
    { args: train({ config: undefined, model: 'nowhere' }), message: 'HF_HUB_OFFLINE', code: 1 },
    {
      args: evaluate({ model: join(modelFixtures, 'base') }),
      message: `${join(modelFixtures, 'base')} is not a trained classifier: it lacks classifier.weight, classifier.bias. Train it first.`,
    },
  ]);
});

await t.test('bad checkpoints to resume from', async (t) => {
  const resumed = (from: string, message: string, other: Options = {}): Bad => ({
    args: train({ 'save-steps': '50', 'resume-from-checkpoint': from, ...other }),
    message,
  });
  /** A copy of the checkpoint with one file replaced. */
  const copy = (name: string, files: Record<string, Uint8Array | string>): string => {
    cpSync(join(folder, 'single/checkpoint-50'), join(folder, name), { recursive: true });
    for (const [file, content] of Object.entries(files)) write(join(name, file), content);
    return name;
  };
  const half = (file: string): Record<string, Uint8Array> => {
    const bytes = read(join('single/checkpoint-50', file));
    return { [file]: bytes.subarray(0, bytes.length / 2) };
  };
  const foreign = (file: string): Uint8Array => readFileSync(join(modelFixtures, 'float32', file));
  await refuseAll(t, [
    {
      args: train({ 'resume-from-checkpoint': true }),
      message: 'new/out has no checkpoint-N folder to resume from; leave --resume-from-checkpoint out',
    },
    resumed('nowhere', 'There is no checkpoint folder nowhere to resume from'),
    resumed(
      'single',
      'single is not a checkpoint of bertune: it has no bertune_state.json. Name a checkpoint-N folder, or start anew from its weights with --model single',
    ),
    resumed(
      'single/checkpoint-50',
      'single/checkpoint-50 cannot be resumed with these settings: seed was 42 and is now 7; dataSeed was 42 and is now 7. Use the settings of the first run, or start anew from its model with --model.',
      { seed: '7' },
    ),
    resumed(
      copy('foreign', {
        'config.json': foreign('config.json'),
        'model.safetensors': foreign('model.safetensors'),
      }),
      '',
    ),
    resumed(copy('foreign-moments', { 'optimizer.safetensors': foreign('model.safetensors') }), ''),
    resumed(copy('half-model', half('model.safetensors')), ''),
    resumed(copy('half-moments', half('optimizer.safetensors')), ''),
    resumed(copy('half-state', half('bertune_state.json')), ''),
  ]);
});
