// Quotes in CSV and TSV. Expected: what pandas.read_csv, which reads CSV files for HF datasets, makes of the same bytes.
import path from 'node:path';
import t from 'tap';
import { folderOf, openContent, openPaths, refusal, textsOf } from './fixtures/splits.js';

void t.test('a quote inside an unquoted field is a character', async (test) => {
  const rows = ['a 5" pipe,x', 'say "hi",y"', '"quoted 5"" \nof it",x', ' "b", "y', "5'4\",'x", 'c""d,x\r'];
  const [texts, labels] = [
    ['a 5" pipe', 'say "hi"', 'quoted 5" \nof it', ' "b"', '5\'4"', 'c""d'],
    ['x', 'y"', 'x', ' "y', "'x", 'x'],
  ];
  for (const end of ['', '\n']) {
    const split = await openContent(test, 'a.csv', `text,label\n${rows.join('\n')}${end}`);
    test.same(await textsOf(split), texts);
    test.same(split.labelValues, [...new Set(labels)].toSorted());
    test.match(await split.read([5, 2]), [{ text: texts[5] }, { text: texts[2] }], 'each can be read again');
  }
  const semicolons = await openContent(test, 'a.csv', 'text;label\na 5" pipe, long;x\nb;y\n');
  test.same(await textsOf(semicolons), ['a 5" pipe, long', 'b']);
});

// As in the files of GLUE: csv.QUOTE_NONE.
void t.test('with quoting none every quote is a character', async (test) => {
  const rows = ['"He said so', '"Stop" and " go', 'ten 5" pipes', '"', '"quoted"', 'a ""b""'];
  const tsv = `"text"\tlabel\n${rows.map((text, i) => `${text}\t${i % 2}`).join('\n')}\n`;
  const options = { quoting: 'none', textColumn: '"text"' } as const;
  const split = await openContent(test, 'a.tsv', tsv, options);
  test.same(await textsOf(split), rows);
  test.match(await split.read([3, 1]), [{ text: rows[3] }, { text: rows[1] }], 'each can be read again');
  test.same(await textsOf(await openContent(test, 'a.csv', tsv, options)), rows, 'the tabs are still found');
  test.match(
    await refusal(test, 'a.tsv', tsv),
    /line 2: text follows the quote .*; --quoting none takes all as/,
  );
  const cut = await refusal(test, 'a.csv', 'text,label\n"a, b",x\n', { quoting: 'none' });
  test.match(cut, /a\.csv line 2: 3 fields where the header has 2\n/);
});

void t.test('a resumed run sees that quotes are read otherwise', async (test) => {
  const file = path.join(folderOf(test, { 'a.csv': 'text,label\n"a",x\nb,y\n' }), 'a.csv');
  const digests = await Promise.all(
    [{}, { quoting: 'minimal' }, { quoting: 'none' }].map(async (options) =>
      (await openPaths(test, [file], options as { quoting?: 'none' })).digest(),
    ),
  );
  test.equal(digests[0], digests[1]);
  test.not(digests[0], digests[2]);
});
