// The configurations of the tasks of docs/measurements.md, and scripts/accuracy.mjs, which makes that table.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import tap from 'tap';

import { BertForSequenceClassification, BertTokenizer, parseBertConfig } from '../../dist/index.js';
import { capture } from '../../scripts/setup/process.mjs';
import { bertune } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'scripts', 'accuracy.mjs');

/** Toy rows from `first` on, as a table: columns by name. */
function table(first: number, columns: (row: number) => Record<string, string>): Record<string, string>[] {
  return Array.from({ length: 12 }, (_, i) => columns(first + i));
}

const csv = (rows: Record<string, string>[]): string =>
  [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))]
    .map((row) => row.join(','))
    .join('\n');

const jsonl = (rows: Record<string, string>[]): string => rows.map((row) => JSON.stringify(row)).join('\n');

const PARQUET_WRITER = fileURLToPath(new URL('../fixtures/write-parquet.mjs', import.meta.url));

/** Writes the rows in the format that the file's extension names. */
async function write(path: string, rows: Record<string, string>[]): Promise<void> {
  if (path.endsWith('.parquet')) {
    const env = { ...process.env, NODE_OPTIONS: '' };
    await capture(process.execPath, [PARQUET_WRITER, path, JSON.stringify(rows)], { env });
    return;
  }
  const content = (path.endsWith('.jsonl') ? jsonl : csv)(rows);
  await writeFile(path, path.endsWith('.gz') ? gzipSync(content) : content);
}

const pairs = (row: number): Record<string, string> => ({
  text_a: toyRow(row).text,
  text_b: toyRow(row + 1).text,
  label: ((row % 11) / 2).toFixed(1),
});
const several = (row: number): Record<string, string> => ({
  text: toyRow(row).text,
  labels: row % 3 === 0 ? 'joy|pride' : (['anger', 'joy'][row % 2] ?? ''),
  id: `row${row}`,
});

/** The files that each configuration expects in the folder it is started in, and a metric of its kind of problem. */
const TASKS = {
  trec: { files: ['train.csv', 'test.csv'], columns: toyRow, metric: 'accuracy' },
  'sms-spam': { files: ['train.jsonl', 'test.jsonl'], columns: toyRow, metric: 'f1_macro' },
  sst2: { files: ['train.parquet', 'test.parquet'], columns: toyRow, metric: 'accuracy' },
  stsb: { files: ['train.csv', 'test.csv'], columns: pairs, metric: 'pearson' },
  goemotions: {
    files: ['train.csv.gz', 'test.csv'],
    columns: several,
    metric: 'label_ranking_average_precision',
  },
  'imdb-small': { files: ['train.csv.gz', 'test.csv.gz'], columns: toyRow, metric: 'accuracy' },
};

await tap.test('every configuration runs unchanged on the files it names', async (t) => {
  const folder = t.testdir();
  const { model } = makeToy(folder, { train: 1, test: 1 });
  const config = parseBertConfig({ ...TOY_CONFIG, max_position_embeddings: 128 }, 'toy');
  const random = BertForSequenceClassification.fromConfig(config);
  const saved = join(folder, 'saved');
  await mkdir(saved);
  await random.savePretrained(saved);
  await (await BertTokenizer.fromPretrained(model)).savePretrained(saved);
  await random.close();
  for (const [task, { files, columns, metric }] of Object.entries(TASKS)) {
    const cwd = join(folder, task);
    await mkdir(cwd);
    for (const [i, name] of files.entries()) await write(join(cwd, name), table(100 * i, columns));
    const outcome = await bertune(['train', join(root, 'configs', `${task}.json`), '--model', saved], {
      cwd,
    });
    if (!t.match(outcome, { code: 0 }, `${task} is trained`)) continue;
    const results = JSON.parse(outcome.stdout) as Record<string, unknown>;
    t.type(results[`eval_${metric}`], 'number', `${task} has ${metric}`);
  }
});

/** Runs the script with a results file in which every run is finished. */
async function accuracy(
  folder: string,
  changes: Record<string, string>,
  python = 'python',
): ReturnType<typeof capture> {
  const results = join(folder, 'results.jsonl');
  const given = { model: folder, data: folder, results, tasks: 'stsb,trec', ...changes };
  const args = Object.entries(given).map(([name, value]) => `--${name}=${value}`);
  return capture(process.execPath, [script, ...args], {
    env: { ...process.env, NODE_OPTIONS: '', BERTUNE_PYTHON: python },
  });
}

await tap.test(
  'scripts/accuracy.mjs does not repeat what is in the results, and makes the table',
  async (t) => {
    const lines = ['stsb', 'trec'].flatMap((task) =>
      [3, 1, 2].flatMap((seed) =>
        ['HF', 'bertune'].map((side) => {
          const value = (side === 'HF' ? 0.8 : 0.81) + seed / 1000;
          return JSON.stringify({
            task,
            side,
            seed,
            dtype: 'float32',
            device: 'cpu',
            metrics: { pearson: value, accuracy: 1 },
          });
        }),
      ),
    );
    const folder = t.testdir({ stsb: {}, trec: {}, 'results.jsonl': `${lines.join('\n')}\n` });
    t.match(await accuracy(folder, {}), {
      code: 0,
      stdout: `| task | metric | bertune | HF |
| --- | --- | --- | --- |
| stsb | Pearson's r | 81.2 (81.1, 81.2, 81.3) | 80.2 (80.1, 80.2, 80.3) |
| trec | accuracy | 100.0 (100.0, 100.0, 100.0) | 100.0 (100.0, 100.0, 100.0) |
`,
      stderr: '',
    });
    const seed = await accuracy(folder, { seeds: '1,4' }, 'no-such-python');
    t.not(seed.code, 0, 'a seed that is not there is trained');
    t.match(seed.stderr, /^\nstsb, seed 4, bertune, float32, cpu failed: /, 'and a run that fails is named');
  },
);

await tap.test('scripts/accuracy.mjs refuses wrong options in one line', async (t) => {
  const folder = t.testdir({ stsb: {}, trec: {} });
  const wrong: [changes: Record<string, string>, message: string][] = [
    [{ tasks: 'stbs' }, 'There is no configs/stbs.json for the task "stbs" of --tasks'],
    [{ tasks: 'sst2' }, `--data ${folder} has no folder sst2 with the files that configs/sst2.json names`],
    [{ seeds: '1,x' }, 'Expected integers of at least 0, separated by commas, for --seeds but received "x"'],
    [{ dtype: 'float16' }, 'Expected float32 or bfloat16 for --dtype but received "float16"'],
    [{ device: 'gpu' }, 'Expected cpu or cuda for --device but received "gpu"'],
    [{ model: join(folder, 'none') }, `--model ${join(folder, 'none')} does not exist`],
    [
      { results: join(folder, 'none', 'x') },
      `The folder of --results ${join(folder, 'none', 'x')} does not exist`,
    ],
  ];
  for (const [changes, message] of wrong)
    t.match(await accuracy(folder, changes), { code: 2, stderr: `\n${message}\n`, stdout: '' }, message);
  const unnamed = await accuracy(folder, {}, '');
  t.match(unnamed, { code: 2, stderr: '\nBERTUNE_PYTHON does not name a Python that has transformers\n' });
  const unknown = await accuracy(folder, { epochs: '3' });
  t.match(unknown, { code: 2, stderr: /^\nUnknown option '--epochs'/ });
});
