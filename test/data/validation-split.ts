// A share of the training rows set aside for validation: sizes as scikit-learn's, strata, groups, and what is refused;
// and rows that are both trained on and evaluated on. Expected sizes from scripts/reference/hold_out.py.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { loadDataset } from '../../dist/index.js';
import {
  groupFolds,
  holdOut,
  holdOutGroups,
  stratifiedFolds,
  type HeldOut,
} from '../../dist/data/hold-out.js';
import { meanAndDeviation } from '../../dist/commands/cross-validation.js';
import { quantileStrata } from '../../dist/tasks/index.js';
import { randomNumbers } from '../../dist/util/random.js';
import { bertune, startBertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

interface Fixture {
  cases: { sizes: number[]; share: number; aside: number[] }[];
  folds: { sizes: number[]; k: number; counts: number[][] }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/hold-out.json', import.meta.url), 'utf8'),
);

/** Labels in a mixed order. */
function labelled(sizes: readonly number[]): number[] {
  const random = randomNumbers(1);
  return sizes
    .flatMap((size, label) => Array.from({ length: size }, () => ({ label, at: random() })))
    .toSorted((a, b) => a.at - b.at)
    .map(({ label }) => label);
}

function isWhole({ train, validation }: HeldOut, rows: number): boolean {
  const all = [...train, ...validation].toSorted((a, b) => a - b);
  return all.length === rows && all.every((row, i) => row === i);
}

await t.test('as many rows of each class as scikit-learn sets aside', (t) => {
  for (const { sizes, share, aside } of fixture.cases) {
    const labels = labelled(sizes);
    const found = holdOut(labels, share, randomNumbers(42));
    t.ok(isWhole(found, labels.length), 'every row is on one side');
    const counts = sizes.map(
      (_, label) => [...found.validation].filter((row) => labels[row] === label).length,
    );
    t.same(counts, aside, `${JSON.stringify(sizes)} ${share}`);
    t.same(holdOut(labels, share, randomNumbers(42)), found, 'the same seed, the same rows');
    t.not(String(holdOut(labels, share, randomNumbers(43)).validation), String(found.validation));
  }
  const rare = holdOut([0, 1, 1, 1, 1, 2, 2], 0.9, randomNumbers(0));
  t.same(
    new Set([...rare.train].map((row) => [0, 1, 1, 1, 1, 2, 2][row])),
    new Set([0, 1, 2]),
    'no class is lost',
  );
  t.same(holdOut([0, 1, 2], 0.5, randomNumbers(0)).validation.length, 0, 'classes of one row stay');
  t.end();
});

await t.test('groups stay together and strata keep their shares', (t) => {
  const random = randomNumbers(5);
  const groups = Array.from({ length: 2000 }, () => Math.floor(random() * 150));
  const labels = groups.map((group) => (random() < (group % 5) / 5 ? 1 : 0));
  const found = holdOutGroups(labels, groups, 0.2, randomNumbers(42));
  t.ok(isWhole(found, 2000));
  const aside = new Set([...found.validation].map((row) => groups[row]));
  t.ok(
    [...found.train].every((row) => !aside.has(groups[row])),
    'no group is on both sides',
  );
  t.ok(Math.abs(found.validation.length - 400) <= 20, `${found.validation.length} rows`);
  const share = (rows: Uint32Array): number =>
    [...rows].filter((row) => labels[row] === 1).length / rows.length;
  t.ok(Math.abs(share(found.train) - share(found.validation)) < 0.02);
  t.end();
});

await t.test('folds are those of scikit-learn’s StratifiedKFold', (t) => {
  for (const { sizes, k, counts } of fixture.folds) {
    // In the order of the labels: scikit-learn numbers the classes as they first occur.
    const labels = sizes.flatMap((size, label) => Array.from({ length: size }, () => label));
    const folds = stratifiedFolds(labels, k, randomNumbers(42));
    t.same(
      folds.map(({ validation }) =>
        sizes.map((_, label) => [...validation].filter((row) => labels[row] === label).length),
      ),
      counts,
      `${JSON.stringify(sizes)} in ${k}`,
    );
    t.ok(folds.every((fold) => isWhole(fold, labels.length)));
    const all = folds.flatMap(({ validation }) => [...validation]).toSorted((a, b) => a - b);
    t.ok(all.length === labels.length && all.every((row, i) => row === i), 'every row is validated once');
  }
  const random = randomNumbers(5);
  const groups = Array.from({ length: 1000 }, () => Math.floor(random() * 90));
  const labels = groups.map((group) => group % 3);
  const folds = groupFolds(labels, groups, 5, randomNumbers(1));
  const homes = new Map<number, Set<number>>();
  folds.forEach(({ validation }, fold) =>
    validation.forEach((row) =>
      homes.set(groups[row] ?? -1, (homes.get(groups[row] ?? -1) ?? new Set()).add(fold)),
    ),
  );
  t.ok(
    [...homes.values()].every((home) => home.size === 1),
    'no group is in two folds',
  );
  for (const { validation } of folds)
    for (const label of [0, 1, 2]) {
      const share = [...validation].filter((row) => labels[row] === label).length / validation.length;
      t.ok(Math.abs(share - labels.filter((one) => one === label).length / 1000) < 0.05, `${share}`);
    }
  t.end();
});

await t.test('groups fill all parts where no stratum is in two of them', (t) => {
  // scikit-learn's GroupKFold: 12 rows each.
  const groups = Array.from({ length: 60 }, (_, row) => Math.floor(row / 6));
  for (const strata of [
    groups,
    groups.map((group) => group >> 1),
    groups.map((group) => Math.max(group, 2)),
  ]) {
    const folds = groupFolds(strata, groups, 5, randomNumbers(1));
    t.same(
      folds.map(({ validation }) => validation.length),
      [12, 12, 12, 12, 12],
    );
    for (const share of [0.1, 0.2, 0.5, 0.7])
      t.equal(holdOutGroups(strata, groups, share, randomNumbers(1)).validation.length, 60 * share);
  }
  // Of groups that are larger than what is wanted the nearest, but never all rows.
  for (const [sizes, share, aside] of [
    [[5, 5, 5, 5], 0.2, 5],
    [[5, 5, 5], 0.9, 10],
    [[1, 1, 1, 1, 1, 1], 0.1, 1],
    [[9], 0.5, 0],
  ] as const) {
    const own = sizes.flatMap((size, group) => Array.from({ length: size }, () => group));
    t.equal(
      holdOutGroups(own, own, share, randomNumbers(1)).validation.length,
      aside,
      `${sizes.join()} ${share}`,
    );
  }
  t.end();
});

await t.test('numbers are stratified by their rank', (t) => {
  const random = randomNumbers(9);
  const values = Array.from({ length: 1000 }, () => random() ** 3 * 5);
  const strata = quantileStrata(values);
  for (let bin = 0; bin < 10; bin++) t.equal(strata.filter((stratum) => stratum === bin).length, 100);
  const highest = Math.max(...values.filter((_, row) => strata[row] === 3));
  t.ok(values.every((value, row) => (strata[row] ?? 0) <= 3 || value >= highest));
  t.same(new Set(quantileStrata([7])), new Set([0]));
  t.end();
});

await t.test('loadDataset sets rows aside', async (t) => {
  const folder = t.testdir();
  const { train } = makeToy(folder, { train: 60, test: 20 });
  const whole = await loadDataset({ train });
  const data = await loadDataset({ train }, { validationSplit: 0.25 });
  t.same([data.train.size, data.validation.size], [45, 15]);
  const texts = async (part: typeof data.train): Promise<[string, number][]> => {
    const rows = Array.from({ length: part.size }, (_, row) => row);
    const { examples, labels } = await part.read(rows);
    t.same(labels, part.labels(rows), 'with the rows, and alone');
    return examples.map(({ text }, i): [string, number] => [text, labels[i] ?? -1]);
  };
  const sorted = (pairs: [string, number][]): string[] => pairs.map(String).toSorted();
  t.same(
    sorted([...(await texts(data.train)), ...(await texts(data.validation))]),
    sorted(await texts(whole.train)),
    'texts keep their labels',
  );
  t.match(data.validation.place(0), /train\.csv line \d+$/);
  const [shown] = await data.validation.preview(1);
  t.equal(shown?.text, (await texts(data.validation))[0]?.[0]);
  await t.rejects(data.validation.read([15]), { message: 'Expected a row from 0 to 14 but received 15' });
  const first = await loadDataset({ train }, { validationSplit: 0.25, maxSamples: { validation: 4 } });
  t.same([first.train.size, first.validation.size], [45, 4], 'as run_classification.py: the first of them');
  t.same(await texts(first.validation), (await texts(data.validation)).slice(0, 4));
  for (const [fold, { validation }] of first.folds(3).entries()) {
    const all = data.folds(3)[fold]?.validation;
    t.same([all?.size, validation.size], [20, 4]);
    t.same(await texts(validation), all && (await texts(all)).slice(0, 4), 'of a fold too');
  }
  await Promise.all([data.close(), whole.close(), first.close()]);
  for (const share of [0, 1, -0.1, Number.NaN])
    await t.rejects(loadDataset({ train }, { validationSplit: share }), {
      message: `Expected a number above 0 and below 1 for validationSplit but received ${share}`,
    });

  writeFileSync(
    join(folder, 'many.jsonl'),
    [['a'], ['a', 'b'], ['b'], ['c']]
      .flatMap((labels) =>
        Array.from(
          { length: 8 },
          (_, i) => `${JSON.stringify({ text: `text ${i} ${labels.join()}`, labels })}\n`,
        ),
      )
      .join(''),
  );
  const many = await loadDataset({ train: join(folder, 'many.jsonl') }, { validationSplit: 0.25 });
  const rows = Array.from({ length: 8 }, (_, row) => row);
  const hot = many.validation.labels(rows);
  const combinations = rows.map((row) => hot.slice(row * 3, row * 3 + 3).join(''));
  t.same(
    combinations.toSorted(),
    ['001', '001', '010', '010', '100', '100', '110', '110'],
    'combinations of labels',
  );
  await many.close();
});

const run = {
  config: 'model/config.json',
  tokenizer: 'model',
  train_file: 'train.csv',
  output_dir: 'out',
  max_steps: 2,
  save_strategy: 'no',
  threads: 1,
};

await t.test('from the command line', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 60, test: 20 });
  const lines = readFileSync(join(folder, 'train.csv'), 'utf8').trimEnd().split('\n');
  const grouped = lines.map((line, i) => `${line},${i === 0 ? 'author' : `a${i % 11}`}`);
  writeFileSync(join(folder, 'grouped.csv'), `${grouped.join('\n')}\n`);
  const train = (options: object): ReturnType<typeof bertune> => {
    writeFileSync(join(folder, 'run.json'), JSON.stringify({ ...run, ...options }));
    return bertune(['train', 'run.json'], { cwd: folder });
  };
  const shared = await train({ validation_split: 0.2, eval_strategy: 'epoch' });
  t.equal(shared.code, 0, shared.stderr);
  t.match(shared.stderr, 'Set aside for validation: 12 of these rows; 48 to train on');
  t.equal((JSON.parse(shared.stdout) as { eval_samples: number }).eval_samples, 12);
  const few = await train({ validation_split: 0.2, max_eval_samples: 5, max_steps: 1 });
  t.match(
    few.stderr,
    'Set aside for validation: 12 of these rows, the first 5 to evaluate on; 48 to train on',
  );
  t.equal((JSON.parse(few.stdout) as { eval_samples: number }).eval_samples, 5);
  const byGroup = await train({
    train_file: 'grouped.csv',
    validation_split: 0.25,
    validation_group_column: 'author',
  });
  t.equal(byGroup.code, 0, byGroup.stderr);
  t.match(
    byGroup.stderr,
    /Set aside for validation: 1[2-8] of these rows/,
    'about a quarter in whole authors',
  );

  const rows = readFileSync(join(folder, 'test.csv'), 'utf8').trimEnd().split('\n');
  writeFileSync(join(folder, 'overlap.csv'), `${[...rows, lines[5], lines[9]].join('\n')}\n`);
  const overlap = await train({ validation_file: 'overlap.csv' });
  const known = new Set(lines.slice(1).map((line) => line.split(',')[0]));
  const expected = [...rows.slice(1), lines[5], lines[9]].filter((line) =>
    known.has(line?.split(',')[0]),
  ).length;
  t.ok(expected >= 2);
  t.match(
    overlap.stderr,
    new RegExp(
      `note: ${expected} of 22 validation rows \\(${((100 * expected) / 22).toFixed(1)} %\\) are also training rows, e\\.g\\. overlap\\.csv line \\d+ and train\\.csv line \\d+`,
    ),
  );

  for (const [options, message] of [
    [
      { validation_split: 0.2, validation_file: 'test.csv' },
      /validation_file and a share as validation_split exclude each other/,
    ],
    [
      { validation_split: 1.5 },
      /Expected a split's name, or a share of the training rows above 0 and below 1 for validation_split but received 1\.5/,
    ],
    [{ validation_split: '0' }, /Expected a split's name, or a share/],
    [{ validation_split: 'dev' }, /validation_split needs --dataset: files have no configurations or splits/],
    [
      { validation_group_column: 'author' },
      /validation_group_column needs a share as --validation-split, such as 0\.1/,
    ],
    [
      { validation_split: 0.2, validation_group_column: 'autor' },
      /train\.csv has no column "autor"; it has the columns "text", "label"; --validation-group-column names another/,
    ],
    [
      { validation_split: 0.001, train_file: 'one.csv' },
      /leaves 3 to train on and 0 to validate with; use another share/,
    ],
  ] as const) {
    writeFileSync(join(folder, 'one.csv'), 'text,label\nthe film,a\nthe plot,b\nthe actor,c\n');
    const { code, stderr } = await train(options);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
  const evaluation = await bertune(
    ['evaluate', '--model', 'out', '--validation-file', 'test.csv', '--validation-split', '0.1'],
    { cwd: folder },
  );
  t.match(evaluation.stderr, '--validation-split takes the name of a split here');
});

await t.test('validation files and a share of the training rows exclude each other', async (t) => {
  const folder = t.testdir();
  const { train, test } = makeToy(folder, { train: 20, test: 10 });
  await t.rejects(loadDataset({ train, validation: test }, { validationSplit: 0.25 }), {
    name: 'UsageError',
    message: 'validation files and validationSplit exclude each other; keep one of them',
  });
  for (const files of [
    { train, test },
    { train, validation: [] },
  ]) {
    const data = await loadDataset(files, { validationSplit: 0.25 });
    t.equal(data.validation.size, 5);
    await data.close();
  }
});

await t.test('cross-validation that is stopped keeps its folds', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 30, test: 20 });
  const options = { ...run, cross_validation: 6, num_train_epochs: 4 };
  writeFileSync(join(folder, 'run.json'), JSON.stringify(options));
  const whole = await bertune(['train', 'run.json', '--output-dir', 'whole'], { cwd: folder });
  t.equal(whole.code, 0, whole.stderr);
  const { kill, stderr, outcome } = startBertune(['train', 'run.json'], { cwd: folder });
  while (!stderr().includes('fold 1/6')) await sleep(1);
  kill('SIGTERM');
  const ended = await outcome;
  t.equal(ended.code, 143, ended.stderr);
  t.match(
    ended.stderr,
    /^bertune: stopped by SIGTERM; \d folds? of 6 (is|are) in out\/folds\.jsonl: the same command continues with fold \d$/m,
  );
  t.same(readdirSync(join(folder, 'out')), ['folds.jsonl'], 'no lock, no half a fold');
  const other = await bertune(['train', 'run.json', '--seed', '7'], { cwd: folder });
  t.equal(other.code, 2);
  t.match(
    other.stderr,
    /folds\.jsonl is of another cross-validation: seed was \d+ and is now 7\. Use another/,
  );
  const continued = await bertune(['train', 'run.json'], { cwd: folder });
  t.equal(continued.code, 0, continued.stderr);
  t.match(continued.stderr, /^Continuing with fold \d, as out\/folds\.jsonl has the others$/m);
  t.notMatch(continued.stderr, /^fold 1\/6/m);
  t.equal(continued.stdout, whole.stdout, 'as if it had not been stopped');
  t.same(readdirSync(join(folder, 'out')), ['cross_validation.json', 'out_of_fold.jsonl']);
  const predictions = (run: string): string => readFileSync(join(folder, run, 'out_of_fold.jsonl'), 'utf8');
  t.equal(predictions('out'), predictions('whole'), 'also of the folds that were done before');
  const rows = predictions('out')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { row: number }).row);
  t.same(
    rows,
    Array.from({ length: 30 }, (_, row) => row),
  );
});

await t.test('what a fold has to report is shown with its name', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 20, test: 10 });
  const options = { ...run, cross_validation: 2, learning_rate: 1e30, nonfinite_gradient: 'skip' };
  writeFileSync(join(folder, 'run.json'), JSON.stringify({ ...options, logging_steps: 1 }));
  const { stderr } = await bertune(['train', 'run.json'], { cwd: folder });
  for (const fold of [1, 2])
    t.match(stderr, new RegExp(`^fold ${fold}: The gradient was not finite in \\d+ steps? up to`, 'm'));
});

await t.test('cross-validation from the command line', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 30, test: 20 });
  const train = (options: object): ReturnType<typeof bertune> => {
    writeFileSync(join(folder, 'run.json'), JSON.stringify({ ...run, ...options }));
    return bertune(['train', 'run.json'], { cwd: folder });
  };
  const { code, stdout, stderr } = await train({ cross_validation: 3 });
  t.equal(code, 0, stderr);
  interface Result {
    folds: Record<string, number>[];
    mean: Record<string, number>;
    deviation: Record<string, number>;
  }
  const result = JSON.parse(stdout) as Result;
  t.same(JSON.parse(readFileSync(join(folder, 'out/cross_validation.json'), 'utf8')), result);
  t.equal(result.folds.length, 3);
  const losses = result.folds.map((fold) => fold['eval_loss'] ?? Number.NaN);
  t.equal(new Set(losses).size, 3, 'each fold has a model and rows of its own');
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / 3;
  t.ok(Math.abs((result.mean['eval_loss'] ?? 0) - mean) < 1e-12);
  t.match(stderr, /^fold 3\/3 {2}eval_loss/m);
  t.same(
    readdirSync(join(folder, 'out')),
    ['cross_validation.json', 'out_of_fold.jsonl'],
    'no model is saved',
  );
  const again = await train({ cross_validation: 3 });
  t.same(JSON.parse(again.stdout), result, 'the same seed, the same folds');
  // 2, 4, 9: mean 5, squares 9 + 1 + 16, divided by 2
  t.same(meanAndDeviation([{ a: 2 }, { a: 4 }, { a: 9 }]), {
    mean: { a: 5 },
    deviation: { a: Math.sqrt(13) },
  });

  writeFileSync(join(folder, 'one.csv'), `text,label\n${'the film,a\n'.repeat(9)}the plot,b\n`);
  const lines = readFileSync(join(folder, 'train.csv'), 'utf8').trimEnd().split('\n');
  const [head = '', ...rows] = lines;
  const twice = rows.flatMap((row, i) => [`${row},g${i % 2}`, `${row},g${i % 2}`]);
  writeFileSync(join(folder, 'twice.csv'), `${[`${head},g`, ...twice, 'unread'].join('\n')}\n`);
  const repeated = await train({
    cross_validation: 2,
    train_file: 'twice.csv',
    bad_rows: 'skip',
    max_steps: 1,
  });
  t.match(
    repeated.stderr,
    /note: \d+ of 30 validation rows \([\d.]+ %\) are also training rows, e\.g\. twice\.csv/,
  );
  t.ok(readdirSync(join(folder, 'out')).includes('bad_rows_train.jsonl'));
  const one = await train({ cross_validation: 2, train_file: 'one.csv', max_steps: 1 });
  t.match(one.stderr, /note: eval_roc_auc has no mean: the rows of fold [12] do not define it/);

  for (const [options, message] of [
    [
      { cross_validation: 3, train_file: 'twice.csv', bad_rows: 'skip', validation_group_column: 'g' },
      /The rows are of 2 groups, too few for 3 folds: rows of a group stay together/,
    ],
    [{ cross_validation: 3, freeze: ['nothing.*'] }, /nothing\.\*/],
    [{ cross_validation: 1 }, /Expected a whole number of at least 2 for cross_validation but received 1/],
    [
      { cross_validation: 31 },
      /Expected a whole number of folds from 2 to 30, the rows for folds but received 31/,
    ],
    [
      { cross_validation: 3, validation_file: 'test.csv' },
      /cross_validation and validation_file exclude each other/,
    ],
    [
      { cross_validation: 3, validation_split: 0.1 },
      /cross_validation and validation_split exclude each other/,
    ],
    [
      { cross_validation: 3, resume_from_checkpoint: true },
      /cross_validation and resume_from_checkpoint exclude/,
    ],
    [
      {
        cross_validation: 3,
        load_best_model_at_end: true,
        eval_strategy: 'steps',
        eval_steps: 1,
        save_strategy: 'steps',
        save_steps: 1,
      },
      /cross_validation and load_best_model_at_end exclude each other: folds save nothing/,
    ],
  ] as const) {
    const refused = await train(options);
    t.equal(refused.code, 2, refused.stderr);
    t.match(refused.stderr, message);
    t.notOk(existsSync(join(folder, 'out/folds.jsonl')), 'nothing is written');
  }
});
