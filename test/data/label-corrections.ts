// A file of label errors, edited by hand, in place of the labels of the training rows.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadDataset } from '../../dist/index.js';
import { UsageError } from '../../dist/util/errors.js';

function write(
  test: Test,
  files: Readonly<Record<string, readonly object[] | string>>,
): (name: string) => string {
  const folder = test.testdir();
  for (const [name, content] of Object.entries(files)) {
    const text =
      typeof content === 'string' ? content : content.map((row) => `${JSON.stringify(row)}\n`).join('');
    writeFileSync(join(folder, name), text);
  }
  return (name) => join(folder, name);
}

const texts = ['one', 'two', 'three', 'four'];

void t.test('one label a row', async (t) => {
  const path = write(t, {
    'data.csv': `text,label\n${texts.map((text, row) => `${text},${row < 2 ? 'a' : 'b'}\n`).join('')}`,
    'errors.csv': 'row,text,label,suggested_label\n3,four,b,a\n0,"one ",a,\n1,\'two,a,b\n',
    'others.csv': 'row,text,label,suggested_label\n3,four,b,a\n',
  });
  const open = (file?: string) =>
    loadDataset({ train: path('data.csv') }, file === undefined ? {} : { labelCorrections: path(file) });
  const [plain, corrected, other] = [await open(), await open('errors.csv'), await open('others.csv')];
  t.same([...plain.train.labels([0, 1, 2, 3])], [0, 0, 1, 1]);
  t.same([...corrected.train.labels([0, 1, 2, 3])], [0, 1, 1, 0]);
  t.match(await corrected.train.preview(4), [{ label: 'a' }, { label: 'b' }, { label: 'b' }, { label: 'a' }]);
  t.same(corrected.task.labels, ['a', 'b']);
  // A run cannot be resumed with other labels.
  const digests = await Promise.all(
    [plain, corrected, other].map(async (data) => JSON.stringify(await data.train.identity())),
  );
  t.equal(new Set(digests).size, 3);
  for (const data of [plain, corrected, other]) await data.close();

  // A row that is not trained on is not corrected, and no mistake.
  const first = await loadDataset(
    { train: path('data.csv') },
    { labelCorrections: path('errors.csv'), maxSamples: { train: 2 } },
  );
  t.same([...first.train.labels([0, 1])], [0, 1]);
  await first.close();
});

void t.test('several labels a row, as lists and as zeros and ones', async (t) => {
  const labels = [['a'], ['a', 'b'], [], ['c']];
  const names = ['a', 'b', 'c'];
  const line = (row: number, suggested: unknown): object => ({
    row,
    text: texts[row],
    label: labels[row],
    suggested_label: suggested,
  });
  const path = write(t, {
    'lists.jsonl': texts.map((text, row) => ({ text, label: labels[row] })),
    'hot.csv': `text,a,b,c\n${texts.map((text, row) => `${text},${names.map((name) => Number(labels[row]?.includes(name))).join(',')}\n`).join('')}`,
    'errors.jsonl': [line(3, []), line(1, ['b']), line(2, ['a', 'c']), line(0, null)],
    'errors.csv': 'row,text,label,suggested_label\n3,four,c,[]\n1,two,b|a,b\n2,three,[],a|c\n0,one,a,\n',
  });
  const expected = [1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0];
  for (const errors of ['errors.jsonl', 'errors.csv']) {
    const labelCorrections = path(errors);
    const lists = await loadDataset({ train: path('lists.jsonl') }, { labelCorrections });
    t.same([...lists.train.labels([0, 1, 2, 3])], expected, errors);
    t.same(lists.task.labels, names, 'a label that no row has any more is still one');
    const hot = await loadDataset({ train: path('hot.csv') }, { labelCorrections, labelColumn: names });
    t.same([...hot.train.labels([0, 1, 2, 3])], expected, errors);
    for (const data of [lists, hot]) await data.close();
  }
});

void t.test('numbers as labels, and a label that there is not', async (t) => {
  const path = write(t, {
    'ids.csv': 'text,label\none,0\ntwo,1\nthree,01\n',
    'errors.csv': 'row,text,label,suggested_label\n2,three,1,0\n',
    'stars.csv': 'text,label\none,0.5\ntwo,1.5\n',
    'unknown.csv': 'row,text,label,suggested_label\n2,three,1,3\n',
    'new.csv': 'row,text,label,suggested_label\n2,three,1,2\n',
  });
  const ids = await loadDataset({ train: path('ids.csv') }, { labelCorrections: path('errors.csv') });
  t.same([...ids.train.labels([0, 1, 2])], [0, 1, 0]);
  await ids.close();
  const refused = async (data: string, labelCorrections: string): Promise<string> => {
    const error: unknown = await loadDataset(
      { train: path(data) },
      { labelCorrections: path(labelCorrections) },
    ).catch((thrown: unknown) => thrown);
    return error instanceof UsageError ? error.message : 'not refused';
  };
  t.match(
    await refused('stars.csv', 'errors.csv'),
    /^labelCorrections is for texts whose labels are classes/,
  );
  t.match(
    await refused('ids.csv', 'unknown.csv'),
    /unknown\.csv line 2, column "suggested_label": the label "3" is unknown; expected "0", "1"$/,
  );
  // A label that no row has is one where the labels are named.
  const named = await loadDataset(
    { train: path('ids.csv') },
    { labelCorrections: path('new.csv'), labelList: ['0', '1', '2'] },
  );
  t.same([...named.train.labels([0, 1, 2])], [0, 1, 2]);
  await named.close();
});
