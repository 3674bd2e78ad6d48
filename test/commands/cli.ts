// The command line as a person meets it: whole runs on toy data.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

import { BertForSequenceClassification, BertTokenizer, pack } from '../../dist/index.js';
import { bertune, flags, inPairs, startBertune, tree } from '../fixtures/cli.js';
import { TOY_CONFIG, toyRow } from '../fixtures/toy.js';
import { cheap, json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write, read } = workspace(folder);

/** Metrics without those that are times, and without what only `bertune evaluate` says of each class. */
function timeless(metrics: Record<string, number>): [string, number][] {
  return Object.entries(metrics).filter(
    ([name]) => !/runtime|per_second|^epoch$|per_class|confusion_matrix/.test(name),
  );
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
  epochs: number;
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
  epochs: 12,
  extension: 'csv',
  rows: toyRows,
  labels: ['neg', 'pos'],
  loss: crossEntropy,
};

/** Whether both texts say the same: nothing that one text alone can tell. */
const pairs: TaskCase<string> = {
  name: 'pairs',
  epochs: 2,
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
  epochs: 2,
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
  epochs: 2,
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

/** Trains, evaluates and predicts; every figure must follow from the predictions. */
async function wholeRun<L>(test: Test, task: TaskCase<L>): Promise<void> {
  const { name, labels } = task;
  const trainFile = writeRows(`data/${name}-train`, task, 0, 60);
  const testFile = writeRows(`data/${name}-test`, task, 60, 80);
  const files = { 'train-file': trainFile, 'validation-file': testFile, 'output-dir': name };
  const length = { 'num-train-epochs': String(task.epochs), 'save-steps': '50' };
  const training = await bertune(['train', ...flags({ ...toyTraining, ...files, ...length })], here);
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
  for (const [metric, value] of atTheEnd) {
    // Batches of another size round otherwise; a correlation divides that by the small spread of such predictions.
    const tolerance = /pearson|spearman/.test(metric) ? 1e-5 : 1e-6;
    const found = later[metric] ?? Number.NaN;
    test.ok(Math.abs(found - value) < tolerance, `${name}: ${metric} is ${value} again (${found})`);
  }

  const outputFile = `${name}/predictions.jsonl`;
  const unlabelled = { 'test-file': testFile, 'output-file': outputFile };
  const prediction = await bertune(['predict', ...flags({ ...shared, ...unlabelled })], here);
  succeeded(test, `${name}: predict`, prediction);
  test.equal(prediction.stdout, '');
  const rows = predictionsOf(read(outputFile));
  test.same(
    rows.map(({ row }) => row),
    Array.from({ length: 20 }, (_, row) => row),
    'one a row, in order',
  );
  const losses = rows.map((row, i) => task.loss(row, (task.rows[60 + i] as { label: L }).label));
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
  const script = fileURLToPath(new URL('../../scripts/reference/check_saved.py', import.meta.url));
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
  const own = ['bertune_reading.json', 'config.json', 'model.safetensors'];
  const model = [...own, 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];
  const results = ['all_results.json', 'eval_results.json', 'train_results.json', 'training_options.json'];
  const checkpoint = [
    ...model,
    'SHA256SUMS',
    'bertune_state.json',
    'optimizer.safetensors',
    'trainer_state.json',
  ];
  const checkpoints = ['checkpoint-50', 'checkpoint-96'].flatMap((name) => [
    name,
    ...checkpoint.map((file) => join(name, file)),
  ]);
  const others = ['README.md', 'report.html', 'report.json', 'trainer_state.json', 'predictions.jsonl'];
  const expected = [...model, ...results, ...others, ...checkpoints];
  t.same(tree(join(folder, 'single')), expected.toSorted());
  t.equal(json(read('single/training_options.json'))['learningRate'], 2e-3);
  t.equal(json(read('single/trainer_state.json'))['global_step'], 96);
  t.end();
});

await t.test('a configuration file, flags over it, and bad rows that are skipped', async (t) => {
  const rows = toyRows.slice(0, 10).map(({ text, label }) => `${text},${label}`);
  const lines = ['text,label', ...rows, ',pos', ...rows, 'the film', 'the plot,', '"the end'];
  write('data/bad.csv', `${lines.join('\n')}\n`);
  const { threads: _, ...toy } = toyTraining;
  const settings = { ...toy, 'train-file': 'data/bad.csv', 'output-dir': 'skipping', 'bad-rows': 'skip' };
  const yaml = Object.entries(settings).map(([name, value]) => `${name.replaceAll('-', '_')}: ${value}\n`);
  write('run.yaml', yaml.join(''));
  const toPredict = { ...cheap, model: 'single', 'test-file': 'data/bad.csv', 'bad-rows': 'skip' };
  const [training, prediction] = await Promise.all([
    bertune(['train', 'run.yaml', '--max-steps', '1', '--threads', '1'], here),
    bertune(['predict', ...flags(toPredict)], here),
  ]);
  succeeded(t, 'train', training);
  t.match(training.stderr, /^note: .*num_train_epochs has no effect/m);
  const listed = 'data/bad.csv line 12, column "text": the text is empty';
  t.match(training.stderr, `\ntrain: skipped 4 bad rows:\n  ${listed}\n`);
  const written = String(read('skipping/bad_rows_train.jsonl')).trimEnd().split('\n');
  const faults = [
    { line: 12, column: 'text', reason: 'the text is empty' },
    { line: 23, column: null, reason: '1 field where the header has 2' },
    { line: 24, column: 'label', reason: 'the label is missing' },
    {
      line: 25,
      column: null,
      reason: 'a quoted field is never closed (with --quoting none, quotes are characters)',
    },
  ].map((fault) => ({ file: 'data/bad.csv', ...fault }));
  t.same(
    written.map((line) => JSON.parse(line) as unknown),
    faults,
  );
  t.equal(json(training.stdout)['train_samples'], 20);

  succeeded(t, 'predict', prediction);
  const predictions = predictionsOf(prediction.stdout);
  t.equal(predictions.length, 21, 'a row without a label can be predicted');
  t.match(predictions[10], { row: 10, place: 'data/bad.csv line 13' }, 'numbers alone would mislead');
});

await t.test('labels of a config alone do not bind: its weights are random', async (t) => {
  const shape = { ...TOY_CONFIG, id2label: { 0: 'ham', 1: 'spam' }, label2id: { ham: 0, spam: 1 } };
  write('labelled.json', JSON.stringify(shape));
  const options = { ...toyTraining, config: 'labelled.json', 'output-dir': 'other', 'max-steps': '1' };
  succeeded(t, 'train', await bertune(['train', ...flags(options)], here));
  t.match(JSON.parse(String(read('other/config.json'))), { id2label: { 0: 'neg', 1: 'pos' } });
});

await t.test('LibTorch is loaded where it is needed only', async (t) => {
  // When the process ends it logs whether the addon is among its libraries.
  const atEnd = `process.report.excludeNetwork = true;
    process.on('exit', () => console.error(process.report.getReport().sharedObjects.some((path) => path.endsWith('bertune.node'))))`;
  const cases: [args: readonly string[], isLoaded: boolean][] = [
    [['--version'], false],
    [['--help'], false],
    [['train', '--help'], false],
    [['train', '--learning-rate', 'much'], false],
    [['inspect', 'data/single-train.csv'], false],
    [['predict', ...flags({ ...cheap, model: 'single', text: 'a' })], true],
  ];
  await inPairs(cases, async ([args, isLoaded]) => {
    const hook = `data:text/javascript,${encodeURIComponent(atEnd)}`;
    const env = { NODE_OPTIONS: `--import=${hook}` };
    const { stderr } = await startBertune(args, { ...here, env }).outcome;
    t.equal(stderr.trimEnd().split('\n').at(-1), String(isLoaded), args.join(' '));
  });
});

await t.test('help, version, and a reader that goes away', async (t) => {
  const text = toyRows.map((row) => row.text).join('\n');
  write('data/many.csv', `text\n${`${text}\n`.repeat(20)}`); // more than a pipe holds
  const toHead = { ...here, wrapper: ['sh', '-c', '"$@" | head -n 1', 'sh'] };
  const [version, help, nothing, headed] = await Promise.all([
    bertune(['--version'], here),
    bertune(['--help'], here),
    bertune([], here),
    bertune(['predict', ...flags({ ...cheap, model: 'single', 'test-file': 'data/many.csv' })], toHead),
  ]);
  const { version: packaged } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  t.same(version, { code: 0, signal: null, stdout: `${packaged}\n`, stderr: '' });
  t.same([help.code, help.stderr], [0, '']);
  for (const name of ['train', 'evaluate', 'predict']) t.match(help.stdout, new RegExp(`^ {2}${name} `, 'm'));
  t.same([nothing.code, nothing.stdout, nothing.stderr], [2, '', help.stdout], 'not asked for, so no result');
  t.equal(predictionsOf(headed.stdout).length, 1);
  t.notMatch(headed.stderr, /EPIPE|^ +at |bertune:/m);
});
