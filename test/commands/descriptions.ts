// What is printed of data before anything is done with them.
import path from 'node:path';
import t, { type Test } from 'tap';

import { openData, type DataOptions } from '../../dist/commands/data.js';
import { reportLabelsOtherThan } from '../../dist/commands/notes.js';
import { loadDataset } from '../../dist/index.js';
import { Progress } from '../../dist/terminal/progress.js';
import { listed } from '../../dist/util/text.js';
import { folderOf } from '../fixtures/splits.js';

class Lines extends Progress {
  readonly lines: string[] = [];

  override line(text: string): void {
    this.lines.push(text);
  }
}

async function described(test: Test, content: string, options: DataOptions = {}): Promise<string[]> {
  const progress = new Lines();
  const folder = folderOf(test, { 'a.csv': content, 'b.csv': 'text,label\ntext 1,y\ntext 9,y\n' });
  const inFolder = (files: readonly string[] | undefined): string[] | undefined =>
    files?.map((file) => path.join(folder, file));
  const validationFile = inFolder(options.validationFile);
  const given = { ...options, trainFile: inFolder(['a.csv']), validationFile };
  const data = await openData(given, 'train', progress);
  await data.close();
  return progress.lines.map((line) => line.replaceAll(`${folder}${path.sep}`, ''));
}

void t.test('labels with commas and blanks in them', async (t) => {
  const several = 'text,labels\none,"a, b;c"\ntwo,\nthree,"""d"" e"\n';
  const lines = await described(t, several, { problemType: 'multi_label_classification' });
  t.same(lines.slice(1, 4), ['  ["a, b", "c"]: one', '  []: two', '  ["\\"d\\" e"]: three']);
  t.equal(lines.at(-1), 'Task: multi_label_classification, labels "\\"d\\" e", "a, b", "c"');
  const plain = await described(t, 'text,label\none,a b\ntwo,c|d\n');
  t.same(plain.slice(1, 3), ['  a b: one', '  c|d: two'], 'one label is as it is written');
  t.equal(plain.at(-1), 'Task: single_label_classification, labels "a b", "c|d"');
  const numbers = { labelColumn: ['x', 'y'], problemType: 'regression' } as const;
  t.equal((await described(t, 'text,x,y\none,1.5,2\n', numbers))[1], '  [1.5, 2]: one');
  t.equal(listed(['a', 'b']), 'a, b');
  t.equal(listed(['a', '', 'c'], 2), '"a", "" ... (3)');
});

void t.test('skipped rows name options as flags', async (t) => {
  const content = 'text,label\none,foldLabels\ntwo,Pos\nthree,pos\n';
  const options = { badRows: 'skip', labelList: ['foldLabels', 'pos'] } as const;
  const lines = await described(t, content, options);
  t.match(
    lines.find((line) => line.includes('line 3')),
    '  a.csv line 3, column "label": the label "Pos" is unknown; expected "pos", which differs only in case (--fold-labels takes them for one)',
  );
  t.equal(lines[1], '  foldLabels: one', 'but the data are left alone');
});

void t.test('rows on both sides', async (t) => {
  const rows = Array.from({ length: 8 }, (_, i) => `text ${i % 4},${'xy'[i % 2]}\n`);
  const found = async (options: DataOptions): Promise<string | undefined> =>
    (await described(t, `text,label\n${rows.join('')}`, options)).find((line) => line.includes('also'));
  t.match(
    await found({ validationSplit: 0.5 }),
    /the metrics will be too good\. Remove the repetitions, or name a column that equal texts share with --validation-group-column\.$/,
  );
  t.match(
    await found({ validationFile: ['b.csv'] }),
    /^note: 1 of 2 validation rows \(50\.0 %\) is also a training row, e\.g\. b\.csv line 2 and a\.csv line 3; the metrics will be too good\. Remove them from the training rows\.$/,
  );
  t.match(
    await found({ validationFile: ['a.csv'] }),
    /^note: 8 of 8 validation rows \(100\.0 %\) are also training rows, e\.g\. a\.csv line 2: it is the same file; .* Validate with other rows, or hold some of them out with --validation-split 0\.1\.$/,
  );
});

void t.test('labels that a trained model does not have', async (t) => {
  const noted = async (
    model: readonly string[] | undefined,
    labels: readonly unknown[],
    options: Parameters<typeof loadDataset>[1] = {},
  ): Promise<string[]> => {
    const progress = new Lines();
    const train = labels.map((label, i) => ({ text: `text ${i}`, label }));
    const data = await loadDataset({ train }, options);
    reportLabelsOtherThan(model, data, progress);
    await data.close();
    return progress.lines;
  };
  const note = (what: string): string =>
    `note: the model has ${what}; a training with it takes the others for bad rows, unless --label-list names all labels`;
  t.same(await noted(['neg', 'pos'], ['pos', 'so so', 'neg', 'Pos']), [
    note('2 of the 4 labels of the data: it lacks "Pos", "so so", and has neg, pos'),
  ]);
  t.same(await noted(['neg', 'pos'], ['a', 'b']), [
    note('none of the 2 labels of the data: it lacks a, b, and has neg, pos'),
  ]);
  for (const [model, labels, options] of [
    [undefined, ['a', 'b']],
    [
      ['neg', 'pos'],
      ['neg', 'pos'],
    ],
    [
      ['neg', 'pos', 'more'],
      ['neg', 'pos'],
    ],
    [
      ['neg', 'pos'],
      [0, 1],
    ],
    [['neg', 'pos'], ['Neg', 'POS'], { foldLabels: true }],
    [
      ['neg', 'pos'],
      [0.5, 1.5],
    ],
    [
      ['neg', 'pos'],
      [
        [0, 1],
        [1, 0],
      ],
    ],
  ] as const)
    t.same(await noted(model, labels, options), [], JSON.stringify(labels));
});
