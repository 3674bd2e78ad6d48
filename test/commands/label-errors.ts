// `bertune inspect --label-errors`, the file that it writes, and the training that takes it back.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bertune, type Outcome } from '../fixtures/cli.js';
import { makeToy, toyRow } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 40, test: 10 });

/** Rows whose labels are wrong. */
const WRONG = [3, 14, 28];
const rows = Array.from({ length: 40 }, (_, row) => toyRow(row));
const other = (label: string): string => (label === 'pos' ? 'neg' : 'pos');
const given = rows.map(({ label }, row) => (WRONG.includes(row) ? other(label) : label));

function write(name: string, lines: readonly string[]): void {
  writeFileSync(join(folder, name), `${lines.join('\n')}\n`);
}

write('noisy.csv', ['text,label', ...rows.map(({ text }, row) => `${text},${given[row]}`)]);
// What a good model says: nearly sure of the right label.
const sure = (row: number): number => 0.9 + row / 1000;
write(
  'oof.jsonl',
  rows.map(({ label }, row) => {
    const probabilities = { [label]: sure(row), [other(label)]: 1 - sure(row) };
    return JSON.stringify({ row, label, score: sure(row), probabilities });
  }),
);

const inspect = (...args: string[]): Promise<Outcome> =>
  bertune(['inspect', ...args, '--label-errors'], { cwd: folder });

interface Found {
  rows: number;
  labelErrors: {
    row: number;
    place: string;
    label: string;
    suggested: string;
    score: number;
    text: string;
  }[];
}

await t.test('with predictions', async (t) => {
  const { stdout, stderr, code } = await inspect(
    'noisy.csv',
    '--out-of-fold',
    'oof.jsonl',
    '--output-file',
    'errors.csv',
  );
  t.equal(code, 0, stderr);
  const found = JSON.parse(stdout) as Found;
  t.equal(found.rows, 40);
  // The later rows are those of which the model is surer.
  t.match(
    found.labelErrors,
    WRONG.toReversed().map((row) => ({
      row,
      place: `noisy.csv line ${row + 2}`,
      text: rows[row]?.text,
      label: given[row],
      suggested: rows[row]?.label,
    })),
  );
  t.ok(found.labelErrors.every(({ row, score }) => Math.abs(score - (1 - sure(row))) < 1e-12));
  t.match(stderr, /3 rows written to errors\.csv: .* train with --label-corrections errors\.csv/);
  const [header, first] = readFileSync(join(folder, 'errors.csv'), 'utf8').split('\n');
  t.equal(header, 'row,place,text,label,suggested_label,score');
  t.match(first, `28,noisy.csv line 30,${rows[28]?.text},${given[28]},${rows[28]?.label},0.07`);

  const terminal = await bertune(['inspect', 'noisy.csv', '--label-errors', '--out-of-fold', 'oof.jsonl'], {
    cwd: folder,
    isTerminal: true,
  });
  t.match(
    terminal.stdout,
    /3 of 40 rows \(7\.5 %\) have labels that are probably wrong\nrow +label +suggested +score +text\n/,
  );
  t.match(
    terminal.stdout,
    new RegExp(
      `noisy\\.csv line 30 +${given[28]} +${rows[28]?.label} +0\\.072 +${rows[28]?.text.slice(0, 20)}`,
    ),
  );

  // In columns, in any order by row; and the file of the data itself.
  write('columns.csv', [
    'row,probability_neg,probability_pos',
    ...rows.map(({ label }, row) => `${row},${label === 'neg' ? '0.9,0.1' : '0.1,0.9'}`).toReversed(),
  ]);
  write('both.csv', [
    'text,label,neg,pos',
    ...rows.map(({ text, label }, row) => `${text},${given[row]},${label === 'neg' ? '0.9,0.1' : '0.1,0.9'}`),
  ]);
  for (const [data, file] of [
    ['noisy.csv', 'columns.csv'],
    ['both.csv', 'both.csv'],
  ] as const) {
    const again = await inspect(data, '--out-of-fold', file);
    t.same(
      (JSON.parse(again.stdout) as Found).labelErrors.map(({ row }) => row),
      WRONG,
      again.stderr,
    );
  }
});

const train = (...args: string[]): Promise<Outcome> =>
  bertune(
    [
      ...'train --config model/config.json --tokenizer model --train-file noisy.csv --max-steps 1'.split(' '),
      ...'--threads 1 --no-report --no-model-card --output-dir out'.split(' '),
      ...args,
    ],
    { cwd: folder },
  );

await t.test('the file given back to a training', async (t) => {
  // Row 14 is right after all, says the person, and keeps its label.
  const lines = readFileSync(join(folder, 'errors.csv'), 'utf8').trimEnd().split('\n');
  const edited = lines.map((line) =>
    line.startsWith('14,') ? line.replace(/(pos|neg),(pos|neg),/, '$1,,') : line,
  );
  write('edited.csv', edited);
  const { code, stderr } = await train('--label-corrections', 'edited.csv');
  t.equal(code, 0, stderr);
  t.match(stderr, /2 labels corrected by edited\.csv/);
  const counts = (labels: readonly string[]): number => labels.filter((label) => label === 'pos').length;
  t.not(counts(given), counts(rows.map(({ label }) => label)));

  for (const [content, message] of [
    [
      ['row,text', '3,a'],
      /bad\.csv line 2: there is no column "label"; --label-corrections takes a file of inspect --label-errors/,
    ],
    [
      [lines[0], lines[1]?.replace('28,', '40,')],
      /bad\.csv line 2: there is no row 40: the data have 40; the rows are others/,
    ],
    [
      [lines[0], lines[1]?.replace('28,', 'x,')],
      /bad\.csv line 2, column "row": expected the number of a row but found "x"/,
    ],
    [
      [lines[0], lines[1]?.replace('28,', '27,')],
      /bad\.csv line 2: row 27 \(noisy\.csv line 29\) has another text; /,
    ],
    [
      [lines[0], lines[1]?.replace(/(pos|neg),(pos|neg),/, '$2,$2,')],
      /row 28 \(noisy\.csv line 30\) has the label (pos|neg), not (pos|neg); /,
    ],
    [
      [lines[0], lines[1]?.replace(/(pos|neg),(pos|neg),/, '$1,poss,')],
      /bad\.csv line 2, column "suggested_label": the label "poss" is unknown; expected "neg", "pos"/,
    ],
    [[lines[0], lines[1], lines[1]], /bad\.csv line 3: row 28 is in bad\.csv line 2 already/],
  ] as const) {
    write('bad.csv', content.map(String));
    const run = await train('--label-corrections', 'bad.csv');
    t.equal(run.code, 2);
    t.match(run.stderr, message);
  }
});

await t.test('one command: folds, their predictions, and the rows', async (t) => {
  const learned = '--learning-rate 3e-3 --num-train-epochs 6 --threads 1 --dtype float32'.split(' ');
  const model = '--config model/config.json --tokenizer model'.split(' ');
  write('many.csv', [
    'text,label',
    ...Array.from({ length: 120 }, (_, row) => {
      const { text, label } = toyRow(row);
      return `${text},${WRONG.includes(row) ? other(label) : label}`;
    }),
  ]);
  const { stdout, stderr, code } = await inspect(
    'many.csv',
    ...model,
    ...learned,
    ...'--cross-validation 3 --max-eval-samples 5'.split(' '),
  );
  t.equal(code, 0, stderr);
  t.match(stderr, /fold 3\/3 {2}eval_loss/);
  const found = (JSON.parse(stdout) as Found).labelErrors;
  // So small a model also learns some of the wrong labels.
  t.ok(WRONG.every((row) => found.some((error) => error.row === row)) && found.length < 10, stdout);

  // The same folds as a training's, whose predictions are kept.
  const folds = 'train --train-file many.csv --cross-validation 3 --output-dir folds'.split(' ');
  const trained = await bertune([...folds, ...model, ...learned], { cwd: folder });
  t.equal(trained.code, 0, trained.stderr);
  t.match(trained.stderr, /are in folds[/\\]out_of_fold\.jsonl/);
  const again = await inspect('many.csv', '--out-of-fold', join('folds', 'out_of_fold.jsonl'));
  t.same((JSON.parse(again.stdout) as Found).labelErrors, found);
});

await t.test('what cannot be compared', async (t) => {
  const [line = '', ...others] = readFileSync(join(folder, 'oof.jsonl'), 'utf8').trimEnd().split('\n');
  write('short.jsonl', others);
  write('twice.jsonl', [line, line]);
  write('sum.jsonl', [line.replace('"pos":0.9', '"pos":0.4')]);
  write('high.jsonl', [line.replace('"pos":0.9', '"pos":1.9')]);
  write('lacks.jsonl', ['{"row":0,"label":"pos"}']);
  write('beyond.jsonl', [line.replace('"row":0', '"row":40')]);
  write('broken.jsonl', ['{"row":']);
  write('stars.csv', ['text,label', 'the film,1.5', 'the plot,2.5']);
  write('soft.csv', ['text,neg,pos', 'the film,0.5,0.5', 'the plot,0.1,0.9']);
  const withFile = (file: string): string[] => ['noisy.csv', '--out-of-fold', file];
  for (const [args, message] of [
    [withFile('short.jsonl'), /short\.jsonl has no probabilities of row 0 \(noisy\.csv line 2\)/],
    [withFile('twice.jsonl'), /twice\.jsonl line 2: row 0 is there twice/],
    [withFile('sum.jsonl'), /sum\.jsonl line 1: the probabilities add up to 0\.5, which should be 1/],
    [
      withFile('high.jsonl'),
      /high\.jsonl line 1: expected a probability from 0 to 1 of "pos" but found 1\.9/,
    ],
    [
      withFile('lacks.jsonl'),
      /lacks\.jsonl line 1: there are no probabilities of neg, pos: give them as probability_neg, probability_pos/,
    ],
    [
      withFile('beyond.jsonl'),
      /beyond\.jsonl line 1: there is no row 40; the data have 40, with numbers from 0/,
    ],
    [withFile('broken.jsonl'), /broken\.jsonl line 1: /],
    [withFile('nowhere.jsonl'), /nowhere\.jsonl does not exist/],
    [['noisy.csv'], /--label-errors needs --model, .* or predictions as --out-of-fold/],
    [
      ['stars.csv', '--out-of-fold', 'oof.jsonl'],
      /--label-errors compares the classes of texts .* regression has none/,
    ],
    [
      'soft.csv --soft-labels --label-column neg pos --out-of-fold oof.jsonl'.split(' '),
      /--label-errors needs labels that are classes, not probabilities/,
    ],
    [[...withFile('oof.jsonl'), '--output-file', 'a.txt'], /a\.txt has an ending that names no format/],
    [
      [...withFile('oof.jsonl'), '--output-file', 'noisy.csv'],
      /--output-file noisy\.csv is .*a file with the rows/,
    ],
    [
      [...withFile('oof.jsonl'), '--cross-validation', '3'],
      /--out-of-fold and --cross-validation exclude each other/,
    ],
  ] as const) {
    const { code, stderr } = await inspect(...args);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
  // Of the first rows alone.
  const first = rows
    .slice(0, 10)
    .map(({ label }, row) => ({ row, neg: Number(label === 'neg'), pos: Number(label === 'pos') }));
  write(
    'first.jsonl',
    first.map((row) => JSON.stringify(row)),
  );
  const few = await inspect(...withFile('first.jsonl'), '--max-train-samples', '10');
  t.match(JSON.parse(few.stdout), { rows: 10, labelErrors: [{ row: 3, score: 0 }] });
  for (const option of [
    ['--out-of-fold', 'oof.jsonl'],
    ['--cross-validation', '3'],
    ['--output-file', 'a.csv'],
  ]) {
    const { code, stderr } = await bertune(['inspect', 'noisy.csv', ...option], { cwd: folder });
    t.equal(code, 2);
    t.match(stderr, `${option[0]} needs --label-errors`);
  }
});
