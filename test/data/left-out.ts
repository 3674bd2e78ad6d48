// Rows that are no examples: repeated headers, rejected answers, labels that mean none. And columns of row numbers.
import path from 'node:path';
import t from 'tap';
import { loadDataset } from '../../dist/index.js';
import { folderOf, labelled, messageOf, openContent, refusal, textsOf } from '../fixtures/splits.js';

void t.test('headers of files that were put together', async (test) => {
  const split = await openContent(test, 'a.csv', 'text,label\na,0\ntext,label\nb,1\ntext,label\n');
  test.same([split.labelKind, split.labelValues, await textsOf(split)], ['integer', ['0', '1'], ['a', 'b']]);
  test.equal(split.place(1), split.place(0).replace('line 2', 'line 4'));
  test.match(split.notes.join(), /^2 rows left out, the first at .*a\.csv line 3: it repeats the header$/);
  const columns = await openContent(test, 'a.csv', 'text,x,y\na,0,1\ntext,x,y\n', {
    labelColumn: ['x', 'y'],
  });
  test.equal(columns.size, 1);
  const joined = await openContent(
    test,
    'a.csv',
    '\ufefftext,label\na,0\n\ufefftext,label\nText, LABEL\nb,1\n',
  );
  test.same(
    [joined.labelValues, await textsOf(joined)],
    [
      ['0', '1'],
      ['a', 'b'],
    ],
    'with their marks, or in capitals',
  );
  const lines = '\ufeff{"text":"a","label":0}\n\ufeff{"text":"b","label":1}\n';
  test.same(await textsOf(await openContent(test, 'a.jsonl', lines)), ['a', 'b']);
  const word = await openContent(test, 'a.csv', 'text\nText\nb\n', { needsLabels: false });
  test.same(await textsOf(word), ['Text', 'b'], 'a text of one word');
  const texts = await openContent(test, 'a.csv', 'text,label\ntext,a\nlabel,b\n');
  test.equal(texts.size, 2, 'a text may be called so');
  test.match(
    await refusal(test, 'a.csv', 'text,label\na,0\nlabel,text\n0,a\n'),
    /line 3: it repeats the header with the columns in another order/,
  );
  for (const header of ['\uFEFFtext,label', 'Text,Label', ' text , label', '"TEXT","LABEL"']) {
    const joined = await openContent(test, 'a.csv', `text,label\na,x\n${header}\nb,y\n`);
    test.same(
      [await textsOf(joined), joined.labelValues],
      [
        ['a', 'b'],
        ['x', 'y'],
      ],
      header,
    );
  }
});

void t.test('answers of Prodigy', async (test) => {
  const row = (text: string, answer: string): string =>
    JSON.stringify({ text, label: text.toUpperCase(), answer });
  const lines = [
    row('a', 'accept'),
    row('b', 'reject'),
    row('c', 'accept'),
    row('d', 'ignore'),
    row('e', 'reject'),
  ];
  const split = await openContent(test, 'a.jsonl', lines.join('\n'));
  test.same(
    [await textsOf(split), split.labelValues],
    [
      ['a', 'c'],
      ['A', 'C'],
    ],
  );
  test.match(
    split.notes.join('\n'),
    /^2 rows left out, .* line 2: it has the answer "reject"\n1 row left out, .* "ignore"$/,
  );
  const capitals = await openContent(test, 'a.jsonl', [row('a', 'Accept'), row('b', 'REJECT')].join('\n'));
  test.same(await textsOf(capitals), ['a'], 'as spreadsheets may write them');
  const other = await openContent(test, 'a.jsonl', [...lines, row('f', 'to be or not to be')].join('\n'));
  test.equal(other.size, 6, 'a column of other answers');

  // Its textcat.manual with one label: https://prodi.gy/docs/text-classification#binary
  const ofOneLabel = ['accept', 'reject', 'ignore', 'reject', 'accept'].map((answer, i) =>
    JSON.stringify({ text: `text ${i}`, label: 'SPORTS', answer }),
  );
  const train = path.join(folderOf(test, { 'a.jsonl': ofOneLabel.join('\n') }), 'a.jsonl');
  test.equal(
    await messageOf(test, loadDataset({ train })),
    'The train data hold only one class, "SPORTS" (column "label"); training needs at least two: 2 rows were left out with ' +
      'the answer "reject"; labelColumn answer makes the answers the classes, and naLabels ignore leaves out rows that have none',
  );
  const data = await loadDataset({ train }, { labelColumn: 'answer', naLabels: ['ignore'] });
  test.same([data.train.task.labels, data.train.size], [['accept', 'reject'], 4]);
  await data.close();
});

void t.test('labels that mean none', async (test) => {
  const words = ['-', '?', 'n/a', 'N/A', '#N/A', '\\N', 'null', 'undefined', '<NA>'];
  // The rest of what pandas reads as missing; what Excel, SPSS, Stata and people write.
  words.push(
    '#N/A N/A',
    '#NA',
    '-NaN',
    '-nan',
    'nan',
    'NAN',
    'na',
    '(null)',
    'nil',
    'n.a.',
    '.',
    '...',
    '—',
    '#VALUE!',
    'TBD',
  );
  for (const word of words) {
    const labels = ['good', word, 'bad', word];
    const split = await labelled(test, labels);
    test.match(
      split.notes.join(),
      `"${JSON.stringify(word).slice(1, -1)}" (2 rows) is a label here; if that means that a row has none, naLabels`,
    );
    const without = await labelled(test, labels, { naLabels: [word, ''] });
    test.same([without.labelValues, without.size], [['bad', 'good'], 2], word);
    test.match(
      without.notes.join(),
      /^2 rows left out, the first at .* line 2: it has the label ".*", which means none$/,
    );
  }
  test.same((await labelled(test, ['+', '-'])).notes, [], 'signs of sentiments');
  const numbers = await openContent(test, 'a.csv', 'text,label\na,1.5\nb,n/a\nc, ?\nd,2.5\n', {
    naLabels: ['n/a', '?'],
  });
  test.same([numbers.labelKind, numbers.size], ['float', 2]);
  for (const naLabels of [['-1'], ['-1.0'], [' -1 ']])
    for (const content of ['a,-1\nb,-1.0\nc,1\n', 'a,"[0, -1]"\nb,[-1.0]\nc,"[1, 0]"\n'])
      test.same(
        await textsOf(await openContent(test, 'a.csv', `text,label\n${content}`, { naLabels })),
        ['c'],
        content,
      );
  const lists = await labelled(test, [['x', 'n/a'], ['y'], [], ['x', 'y'], null], { naLabels: ['n/a', ''] });
  test.same([lists.size, lists.labelValues], [3, ['x', 'y']], 'members of lists');
  test.match(
    await refusal(test, 'a.csv', 'text,label\na,?\nb,n/a\nc,?\n', { naLabels: ['?', 'n/a'] }),
    /^The train data have no rows to use: 2 rows left out, the first at .* line 2: it has the label "\?".*; 1 row left out, .* "n\/a"/,
  );
  test.match(
    await refusal(test, 'a.csv', 'text,label\na,x\nb,  \n'),
    /line 3, column "label": the label is missing/,
  );
  const blank = await openContent(test, 'a.csv', 'text,label\na,x\nb,  \nc,y\n', { naLabels: [''] });
  test.same(blank.labelValues, ['x', 'y']);
});

void t.test('columns of row numbers are no texts', async (test) => {
  for (const name of [
    '',
    '#',
    'Unnamed: 0',
    'Unnamed: 0.1',
    'index',
    '__index_level_0__',
    'id',
    'tweet_id',
    'guid',
    'No',
  ]) {
    const split = await openContent(test, 'a.csv', `${name},what_they_say,label\n0,a,x\n1,b,y\n`);
    test.same([split.columns.text, await textsOf(split)], ['what_they_say', ['a', 'b']], name);
  }
});

void t.test('a column of numbers is refused as the text only where it was guessed', async (test) => {
  const csv = 'text,label\n2024,x\n5,y\n';
  test.match(await refusal(test, 'a.csv', csv), /"text" of .*a\.csv holds only numbers; is it the text\?/);
  test.same(await textsOf(await openContent(test, 'a.csv', csv, { textColumn: 'text' })), ['2024', '5']);
  const only = await openContent(test, 'a.csv', 'text\n2024\n5\n', { needsLabels: false });
  test.same(await textsOf(only), ['2024', '5']);
});
