// The command line as a person meets it: whole runs on toy data, and what every kind of bad input gets.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

import { BertForSequenceClassification, BertTokenizer, pack } from '../dist/index.js';
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
