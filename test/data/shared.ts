// The sets of ../shared/data against their READMEs.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import t from 'tap';

import { inferTask, labelArray } from '../../dist/data/index.js';
import { SHARED, openPaths, sum } from '../fixtures/splits.js';

const MULTI = 'multi_label_classification';

/** Row counts and labels as ../shared/data/<set>/README.md states them. */
const SETS: [
  file: string,
  size: number,
  problemType: string,
  labels: string[],
  counts: Record<string, number> | number,
][] = [
  [
    'trec/train.csv',
    5452,
    'single',
    ['ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM'],
    { ENTY: 1250, HUM: 1223, DESC: 1162, NUM: 896, LOC: 835, ABBR: 86 },
  ],
  [
    'trec/test.csv',
    500,
    'single',
    ['ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM'],
    { DESC: 138, NUM: 113, ENTY: 94, LOC: 81, HUM: 65, ABBR: 9 },
  ],
  ['sms-spam/train.csv', 4096, 'single', ['ham', 'spam'], { ham: 3598, spam: 498 }],
  ['sms-spam/test.csv', 1031, 'single', ['ham', 'spam'], { ham: 903, spam: 128 }],
  ['sst2/train.csv.gz', 6920, 'single', ['0', '1'], { 1: 3610, 0: 3310 }],
  ['sst2/train_phrases.csv.gz', 67349, 'single', ['0', '1'], { 1: 37569, 0: 29780 }],
  ['sst2/dev.csv', 872, 'single', ['0', '1'], { 1: 444, 0: 428 }],
  ['sst2/test.csv', 1821, 'single', ['0', '1'], { 0: 912, 1: 909 }],
  ['imdb-small/train.csv.gz', 4000, 'single', ['0', '1'], { 0: 2000, 1: 2000 }],
  ['imdb-small/test.csv.gz', 2000, 'single', ['0', '1'], { 0: 1000, 1: 1000 }],
  ['stsb/train.csv', 5749, 'regression', ['LABEL_0'], 2.7],
  ['stsb/dev.csv', 1500, 'regression', ['LABEL_0'], 2.36],
  ['stsb/test.csv', 1379, 'regression', ['LABEL_0'], 2.61],
];

void t.test(
  'the sets of shared/data',
  { skip: existsSync(SHARED) ? false : 'no shared/data here' },
  async (test) => {
    for (const [file, size, problemType, labels, counts] of SETS) {
      const split = await openPaths(test, [path.join(SHARED, file)]);
      const task = inferTask([split], { forTraining: true });
      const values = labelArray(split, task);
      test.same([split.size, task.labels], [size, labels], file);
      test.ok(task.problemType.startsWith(problemType), file);
      if (typeof counts === 'number') {
        test.same(split.columns, { text: 'text_a', textPair: 'text_b', label: 'label' }, file);
        test.ok(Math.abs(sum(values) / size - counts) < 0.006, `${file}: mean`);
      } else {
        const found = labels.map(
          (name, id) => [name, values.filter((value) => value === id).length] as const,
        );
        test.same(Object.fromEntries(found), counts, `${file}: rows of each label`);
      }
    }
    const emotions = readFileSync(path.join(SHARED, 'goemotions/labels.txt'), 'utf8').trim().split('\n');
    for (const [file, size, sets, manyLabelled] of [
      ['train.csv.gz', 43410, 711, 7102],
      ['dev.csv', 5426, 296, 878],
      ['test.csv', 5427, 275, 837],
    ] as const) {
      const name = path.join(SHARED, 'goemotions', file);
      test.equal(
        (await openPaths(test, [name])).labelValues.length,
        sets,
        `${file}: distinct label sets, read as one name`,
      );
      const split = await openPaths(test, [name], { problemType: MULTI });
      const task = inferTask([split], { labelList: emotions });
      const hot = labelArray(split, task);
      const perRow = Array.from({ length: split.size }, (_, row) =>
        sum(hot.subarray(row * 28, row * 28 + 28)),
      );
      test.same([split.size, task.numLabels, split.labelValues.length], [size, 28, 28], file);
      test.equal(
        perRow.filter((count) => count > 1).length,
        manyLabelled,
        `${file}: rows with several labels`,
      );
    }
  },
);
