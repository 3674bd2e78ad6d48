// `bertune inspect`: labels, duplicates, contradictions, lengths and the estimate, on rows whose answers are known.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { describeLengths, tokensUpTo } from '../../dist/inspection/dataset.js';
import { bertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

interface Inspection {
  rows: number;
  badRows: number;
  columns: object[];
  labels: object;
  duplicates: object;
  lengths?: { total: number; mean: number; quantiles: object; cutAt: object };
  training?: { steps: number; tokensPerSecond: number; seconds: number };
}

const folder = t.testdir();
makeToy(folder, { train: 60, test: 20 });

const inspect = (...args: string[]): ReturnType<typeof bertune> =>
  bertune(['inspect', ...args], { cwd: folder });

async function found(...args: string[]): Promise<Inspection> {
  const { stdout } = await inspect(...args, '--json');
  return JSON.parse(stdout) as Inspection;
}

function write(name: string, lines: readonly string[]): string {
  writeFileSync(join(folder, name), `${lines.join('\n')}\n`);
  return name;
}

await t.test('what is in a file of classes', async (t) => {
  const file = write('a.csv', [
    'text,label',
    'the film,pos',
    'the plot,neg',
    ',neg',
    'the film,pos',
    'the plot,pos',
    'good film,pos',
    'the film,pos',
  ]);
  const { lengths: _, columns, ...rest } = await found(file);
  t.same(columns, [
    {
      name: 'text',
      kind: 'texts',
      missing: 1,
      different: 3,
      values: { 'the film': 3, 'the plot': 2, 'good film': 1 },
      characters: { shortest: 8, mean: 49 / 6, longest: 9 },
      use: 'text',
    },
    {
      name: 'label',
      kind: 'texts',
      missing: 0,
      different: 2,
      values: { pos: 5, neg: 2 },
      characters: { shortest: 3, mean: 3, longest: 3 },
      use: 'label',
    },
  ]);
  t.same(rest, {
    rows: 6,
    badRows: 1,
    labels: { kind: 'counts', counts: { neg: 1, pos: 5 }, withoutLabel: 0 },
    duplicates: {
      duplicates: 3,
      contradictions: { texts: 1, rows: 2 },
      example: { first: 'a.csv line 3', second: 'a.csv line 6' },
    },
  });
  const { stdout, code } = await inspect(file);
  t.equal(code, 0);
  t.equal(
    stdout,
    [
      '6 usable rows, 1 bad row',
      'Columns:',
      '  "text": the text, texts of 8 to 9 characters (mean 8.167), 3 different ("the film", "the plot", "good film"), missing in 1',
      '  "label": the label, texts of 3 to 3 characters (mean 3), 2 different (pos, neg)',
      'Labels:',
      '  pos: 5 (83.3 %)',
      '  neg: 1 (16.7 %)',
      '3 rows repeat an earlier text',
      '1 text has different labels in 2 rows, e.g. a.csv line 3 and a.csv line 6',
      'Lengths in tokens: give --model or --tokenizer',
      'Steps and time: give --model',
      '',
    ].join('\n'),
  );
});

await t.test('quotes that are characters', async (t) => {
  const file = write('quotes.tsv', ['text\tlabel', '"Stop\tx', '" go\ty']);
  const { rows, columns } = await found(file, '--quoting', 'none');
  t.equal(rows, 2);
  t.match(columns, [{ values: { '"Stop': 1, '" go': 1 } }, {}]);
});

await t.test('labels in several columns', async (t) => {
  const file = write('hot.csv', ['text,toxic,threat', 'a,1,0', 'b,1,1', 'c,0,0']);
  const { labels, columns } = await found(file, '--label-column', 'toxic', 'threat');
  t.same(labels, { kind: 'counts', counts: { toxic: 2, threat: 1 }, withoutLabel: 1 });
  t.match(columns, [{ use: 'text' }, { use: 'label' }, { use: 'label' }]);
});

await t.test('all columns, whatever they hold', async (t) => {
  const rows = Array.from({ length: 12_000 }, (_, i) => ({
    text: `${'the film '.repeat(20)}${i}`,
    label: i % 3,
    id: i,
    score: i % 2 === 0 ? i / 4 : null,
    seen: i % 4 === 0,
    tags: ['a', i % 2],
    ...(i > 5 && { late: i === 6 ? '7' : 'x' }),
    empty: '',
  }));
  const file = write(
    'columns.jsonl',
    rows.map((row) => JSON.stringify(row)),
  );
  const { columns } = await found(file);
  t.match(columns, [
    { name: 'text', kind: 'texts', different: null, missing: 0, use: 'text' },
    { name: 'label', kind: 'integers', values: { 0: 4000, 1: 4000, 2: 4000 }, use: 'label' },
    { name: 'id', kind: 'integers', different: null, range: { lowest: 0, highest: 11_999 } },
    { name: 'score', kind: 'numbers', different: 6000, missing: 6000, range: { lowest: 0, highest: 2999.5 } },
    { name: 'seen', kind: 'booleans', values: { false: 9000, true: 3000 } },
    { name: 'tags', kind: 'lists', values: { '["a",0]': 6000, '["a",1]': 6000 } },
    { name: 'empty', kind: 'nothing', missing: 12_000, different: 0 },
    { name: 'late', kind: 'texts', missing: 6, values: { x: 11_993, 7: 1 } },
  ]);
  t.notOk('values' in (columns[0] ?? {}), 'long texts are not listed');

  // Also where the text and the label are not found, since they are then to be named.
  const odd = write('odd.csv', ['a,b,c', '1,x,film plot', '2,y,the actor']);
  const { code, stderr, stdout } = await inspect(odd);
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /"a": integers from 1 to 2, 2 different \(1, 2\)\n.*"b": texts/);
  t.match(
    stderr,
    /has no columns with usual names for the label and text.*name them with --label-column and --text-column/,
  );
});

await t.test('several labels a row, and numbers', async (t) => {
  const many = write(
    'many.jsonl',
    [['a'], ['a', 'b'], []].map((labels, i) => JSON.stringify({ text: `text ${i}`, labels })),
  );
  t.match(await found(many), { labels: { kind: 'counts', counts: { a: 2, b: 1 }, withoutLabel: 1 } });
  const numbers = write('numbers.csv', ['text,label', 'the film,0.5', 'the plot,2', 'the actor,3.5']);
  t.match(await found(numbers), { labels: { kind: 'numbers', lowest: 0.5, mean: 2, highest: 3.5 } });
});

await t.test('lengths and the estimate', async (t) => {
  // One token a word, and [CLS] and [SEP].
  const file = write('b.csv', [
    'text,label',
    ...Array.from(
      { length: 10 },
      (_, i) => `${Array.from({ length: i + 1 }, () => 'film').join(' ')},${i % 2}`,
    ),
  ]);
  const { lengths } = await found(file, '--tokenizer', 'model');
  t.same(lengths, {
    total: 75,
    mean: 7.5,
    quantiles: { min: 3, median: 7, p90: 11, p95: 12, p99: 12, max: 12 },
    cutAt: { 64: 0, 128: 0, 256: 0, 512: 0 },
  });
  const cut = await inspect(file, '--tokenizer', 'model', '--max-seq-length', '10');
  t.match(
    cut.stdout,
    'Cut by --max-seq-length: 20.0 % at 10, 0.0 % at 64, 0.0 % at 128',
    'the one given too',
  );
  const { training } = await found(file, '--config', 'model/config.json', '--tokenizer', 'model');
  t.equal(training, undefined, 'an estimate needs --model');

  const sizes = Uint16Array.of(600, 10, 100, 300);
  t.same(describeLengths(sizes).cutAt, { 64: 0.75, 128: 0.5, 256: 0.5, 512: 0.25 });
  t.equal(tokensUpTo(sizes, 128), 366);
});

await t.test('with a model, steps and time', async (t) => {
  const job =
    'train --config model/config.json --tokenizer model --train-file train.csv --output-dir out --max-steps 1';
  const trained = await bertune(job.split(' '), { cwd: folder });
  t.equal(trained.code, 0, trained.stderr);
  const options =
    '--model out --num-train-epochs 2 --per-device-train-batch-size 7 --gradient-accumulation-steps 2 --threads 1';
  const { training, lengths } = await found('train.csv', ...options.split(' '));
  t.equal(training?.steps, 10, '60 rows in 9 batches, 5 steps an epoch');
  const { tokensPerSecond = 0, seconds = 0 } = training ?? {};
  t.ok(tokensPerSecond > 100);
  t.ok(Math.abs((2 * (lengths?.total ?? 0)) / tokensPerSecond - seconds) < 1e-9);
});

await t.test('what cannot be inspected', async (t) => {
  for (const [args, message] of [
    [[], /--train-file is needed/],
    [['nothing.csv'], /nothing\.csv does not exist/],
    [['train.csv', '--model', 'nowhere/at/all'], /nowhere/],
    [['train.csv', '--label-column', 'lable'], /has no column "lable".*did you mean "label"/],
    [['train.csv', '--weight-decay', '3'], /--weight-decay/],
    [['train.csv', '--per-device-train-batch-size', '0'], /Expected a whole number of at least 1/],
  ] as const) {
    const { code, stderr } = await inspect(...args);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
});
