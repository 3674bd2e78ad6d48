// Which columns are text, pair and label, and what their values become.
import path from 'node:path';

import t from 'tap';

import { inferTask, labelArray, labelReader } from '../../dist/data/index.js';
import {
  FIXTURES,
  folderOf,
  LABELS,
  type Overrides,
  openPaths,
  openContent,
  refusal,
  messageOf,
} from '../fixtures/splits.js';

void t.test('columns are found by their usual names', async (test) => {
  const cases: [header: string, choice: (string | null)[], overrides?: Overrides][] = [
    ['Review,Sentiment', ['Review', null, 'Sentiment']],
    ['id,sentence1,sentence2,label', ['sentence1', 'sentence2', 'label']],
    ['text_a,text_b,Label', ['text_a', 'text_b', 'Label']],
    ['premise,hypothesis,gold_label', ['premise', 'hypothesis', 'gold_label']],
    ['question,sentence,label,idx', ['question', 'sentence', 'label']],
    ['Review Text,stars,rating,label', ['Review Text', null, 'label']],
    ['label,body', ['body', null, 'label']],
    ['v9,label', ['v9', null, 'label']],
    ['label,v1,v2', ['v2', null, 'label'], { textColumn: 'v2' }],
    ['sentence1,sentence2,label', ['sentence2', null, 'label'], { textColumn: 'sentence2' }],
    ['text,extra,label', ['text', 'extra', 'label'], { textPairColumn: 'extra' }],
    ['text,label,topic', ['text', null, 'topic'], { labelColumn: 'topic' }],
    ['text,label', ['text', null, null], { needsLabels: false }],
    ['text', ['text', null, null], { needsLabels: false }],
  ];
  for (const [header, [text, textPair, label], overrides] of cases) {
    const row = header.replaceAll(/[^,]+/g, 'some word');
    const split = await openContent(test, 'columns.csv', `${header}\n${row}\n`, overrides);
    test.same(split.columns, { text, textPair, label }, header);
  }
  for (const option of ['textColumn', 'textPairColumn'])
    test.match(
      await refusal(test, 'same.csv', 'text,label\na,x\n', { [option]: 'label', labelColumn: 'label' }),
      /^text(Pair)?Column and the column of the labels are both label; name another with labelColumn$/,
    );
});

void t.test('pairs keep their order and scores their values', async (test) => {
  const split = await openPaths(test, [path.join(FIXTURES, 'scores.parquet')]);
  test.same(await split.read([2, 0]), [
    { text: 'e', textPair: 'f' },
    { text: 'a b', textPair: 'a' },
  ]);
  test.same(await split.preview(2), [
    { text: 'a b', textPair: 'a', label: '1' },
    { text: 'c d', textPair: 'c', label: '3.8' },
  ]);
  const task = inferTask([split], { forTraining: true });
  test.same(task, { problemType: 'regression', labels: ['LABEL_0'], numLabels: 1 });
  test.same(labelArray(split, task), Float32Array.from([1, 3.8, 5]));
});

void t.test('ClassLabel names', async (test) => {
  const single = path.join(FIXTURES, 'class-label.parquet');
  test.match(
    await messageOf(test, openPaths(test, [single])),
    /row 3, column "label": the label -1 means "no label"/,
  );
  const skipped = await openPaths(test, [single], { badRows: 'skip' });
  const task = inferTask([skipped], { forTraining: true });
  test.same(task.labels, ['neutral', 'joy', 'anger'], 'the order of the ids, seen or not');
  test.same(labelArray(skipped, task), Int32Array.from([2, 0]));
  test.equal((await openPaths(test, [single], { needsLabels: false })).size, 3, '-1 is fine for prediction');

  const lists = await openPaths(test, [path.join(FIXTURES, 'lists.parquet')]);
  const multi = inferTask([lists]);
  test.same(multi, {
    problemType: 'multi_label_classification',
    labels: ['neutral', 'joy', 'anger'],
    numLabels: 3,
  });
  test.same(labelArray(lists, multi), Float32Array.from([0, 1, 1, 0, 0, 0, 1, 0, 0]));
  test.same(labelReader(lists, multi)([2, 0]), Float32Array.from([1, 0, 0, 0, 1, 1]));

  const other = path.join(LABELS, '../hub-classlabel.parquet');
  test.match(
    await messageOf(test, openPaths(test, [single, other], { badRows: 'skip' })),
    /hub-classlabel\.parquet: its column "label" has numbers of the classes neg, pos \(ClassLabel\), where the numbers of the files before it are those of neutral, joy, anger;/,
  );
  const twice = await openPaths(test, [other, other]);
  test.equal(twice.size, 2 * (await openPaths(test, [other])).size, 'the same names');
  const csv = path.join(folderOf(test, { 'a.csv': 'text,label\na,pos\nb,neg\nc,1\n' }), 'a.csv');
  test.match(
    await messageOf(test, openPaths(test, [csv, other])),
    /where the files before it have none; give this file first/,
  );
  const joined = await openPaths(test, [other, csv]);
  test.same(joined.labels?.at(joined.size - 1), ['pos'], 'numbers of other files are ids of these names');

  const hub = { classNames: { label: ['no', 'yes'] } };
  const given = await openContent(test, 'hub.csv', 'text,label\na,1\nb,0\nc,yes\n', hub);
  test.same(labelArray(given, inferTask([given])), Int32Array.from([1, 0, 1]));
  test.match(
    await refusal(test, 'hub.csv', 'text,label\na,2\n', hub),
    /the label "2" is unknown; expected "no", "yes"/,
  );
});
