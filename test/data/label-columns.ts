// Labels in several columns of zeros and ones, as in Jigsaw's comments or SemEval's emotions. Expected: the ones themselves.
import path from 'node:path';
import t from 'tap';
import { inferTask, labelArray } from '../../dist/data/index.js';
import { loadDataset } from '../../dist/index.js';
import { folderOf, openContent, refusal } from '../fixtures/splits.js';

const columns = ['toxic', 'obscene', 'threat'];
const HOT = [
  [1, 0, 0],
  [0, 0, 0],
  [1, 0, 1],
  [0, 1, 0],
];
const csv = (cell: (hot: number) => string, names = columns): string =>
  `id,comment_text,${names.join(',')}\n${HOT.map((row, i) => `${i},text ${i},${row.map(cell).join(',')}\n`).join('')}`;

void t.test('the columns that hold a one are the labels, in the order given', async (test) => {
  const jsonl = HOT.map((row, i) =>
    JSON.stringify({
      text: `text ${i}`,
      ...Object.fromEntries(columns.map((name, id) => [name, i < 2 ? row[id] === 1 : row[id]])),
    }),
  ).join('\n');
  const files = {
    'digits.csv': csv(String),
    'decimals.csv': csv((hot) => `${hot}.0`),
    'words.csv': csv((hot) => (hot === 1 ? 'True' : 'false')),
    'a.jsonl': jsonl,
  };
  for (const [name, content] of Object.entries(files)) {
    const split = await openContent(test, name, content, { labelColumn: columns });
    const task = inferTask([split], { forTraining: true });
    test.same(task, { problemType: 'multi_label_classification', labels: columns, numLabels: 3 }, name);
    test.same([...labelArray(split, task)], HOT.flat(), name);
    test.equal(split.columns.text, name === 'a.jsonl' ? 'text' : 'comment_text');
  }
  const turned = await openContent(test, 'a.csv', csv(String), { labelColumn: columns.toReversed() });
  const task = inferTask([turned]);
  test.same(task.labels, columns.toReversed());
  test.same(
    [...labelArray(turned, task)],
    HOT.flatMap((row) => row.toReversed()),
  );
  const numbers = await openContent(test, 'a.csv', csv(String, ['2', '0', '7']), {
    labelColumn: ['2', '0', '7'],
  });
  test.same(
    [0, 1, 2, 3].map((row) => numbers.labels?.at(row)),
    [['2'], [], ['2', '7'], ['0']],
  );
});

void t.test('the labels of a trained model decide the ids', async (test) => {
  const file = path.join(folderOf(test, { 'a.csv': csv(String) }), 'a.csv');
  const modelLabels = ['threat', 'toxic', 'obscene'];
  const data = await loadDataset({ validation: file }, { labelColumn: columns, modelLabels });
  test.same(data.task.labels, modelLabels);
  test.same([...(data.validation?.labels([0, 2]) ?? [])], [0, 1, 0, 1, 1, 0]);
  await data.close();
  const options = { labelColumn: columns, knownLabels: ['toxic', 'obscene'] };
  const unknown = await refusal(test, 'a.csv', csv(String), options);
  test.match(unknown, /line 4: the label "threat" is unknown; expected "toxic", "obscene"/);
});

void t.test('exactly one may hold a one where the task has a single label', async (test) => {
  const problemType = 'single_label_classification';
  const good = 'text,neg,pos\na,0,1\nb,1,0\n';
  const options = { labelColumn: ['neg', 'pos'], problemType } as const;
  const split = await openContent(test, 'a.csv', good, options);
  const task = inferTask([split], { problemType, forTraining: true });
  test.same(
    [task.labels, [...labelArray(split, task)]],
    [
      ['neg', 'pos'],
      [1, 0],
    ],
  );
  const bad = await refusal(test, 'a.csv', `${good}c,0,0\nd,1,1\n`, options);
  test.match(
    bad,
    /line 4: 0 of the labels are 1, where a row has exactly one label\n.*line 5: 2 of the labels/,
  );
});

void t.test('columns and values that cannot be labels', async (test) => {
  for (const [content, labelColumn, message] of [
    [
      csv((hot) => `${hot * 2}`),
      columns,
      /line 2, column "toxic": expected 0 or 1, or true or false, but found "2"/,
    ],
    [csv((hot) => (hot === 1 ? '' : '0')), columns, /line 2, column "toxic": the label is missing/],
    [csv(String), ['toxic', 'toxic'], /^labelColumn names "toxic" twice/],
    [csv(String), [], /^labelColumn names no column/],
    [csv(String), ['toxic', 'threats'], /has no column "threats"; .* did you mean "threat"\?/],
    [csv(String), ['toxic', 'comment_text'], /has no column with a usual name for the text/],
  ] as const)
    test.match(await refusal(test, 'a.csv', content, { labelColumn }), message);
  const text = { labelColumn: ['toxic', 'id'], textColumn: 'id' };
  test.match(
    await refusal(test, 'a.csv', csv(String), text),
    /^textColumn and the column of the labels are both id/,
  );
  const regression = { labelColumn: columns, problemType: 'regression' } as const;
  test.match(
    await refusal(
      test,
      'a.csv',
      csv((hot) => (hot === 1 ? 'n/a' : '2.5')),
      regression,
    ),
    /line 2, column "toxic": the label "n\/a" is not a number/,
  );
  const one = await openContent(test, 'a.csv', csv(String), { labelColumn: ['threat'] });
  test.same(
    [one.columns.label, one.labelValues],
    ['threat', ['0', '1']],
    'of one column the values are the labels',
  );
});
