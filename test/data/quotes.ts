// Quotes in CSV and TSV. Expected: what pandas.read_csv, which reads CSV files for HF datasets, makes of the same bytes.
import t from 'tap';
import { openContent, refusal, textsOf } from '../fixtures/splits.js';

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
    /line 2: text follows the quote .*; with quoting none, all are characters/,
  );
  const cut = await refusal(test, 'a.csv', 'text,label\n"a, b",x\n', { quoting: 'none' });
  test.match(cut, /a\.csv line 2: 3 fields where the header has 2\n/);
  test.notMatch(cut, 'needs quotes', 'they would not help');
});

void t.test('texts with the delimiter in them are to be quoted', async (test) => {
  const hint = (what: string): RegExp => new RegExp(`\nA text with ${what} needs quotes around it\n`);
  const rows = Array.from({ length: 12 }, (_, i) => `good, but slow ${i},x\n`).join('');
  const many = await refusal(test, 'a.csv', `text,label\n${rows}`);
  test.match(many, hint('commas'));
  test.equal(many.split('needs quotes').length, 2, 'once, not for each row');
  test.match(await refusal(test, 'a.csv', 'text,label\nfine,x\ngood, but slow,x\n'), hint('commas'));
  test.match(
    await refusal(test, 'a.csv', `text;label\n${'fine;x\n'.repeat(20)}good; slow;x\n`),
    hint('semicolons'),
  );
  test.match(await refusal(test, 'a.tsv', 'text\tlabel\ngood\tslow\tx\n'), hint('tabs'));
  const skipped = await refusal(test, 'a.csv', `text,label\n${rows}`, { badRows: 'skip' });
  test.match(skipped, hint('commas'), 'also where not one row is left');
  const few = await refusal(test, 'a.csv', 'text,label,id\ngood,x\n');
  test.match(few, /2 fields where the header has 3\n/);
  test.notMatch(few, 'needs quotes', 'a field is missing');
  const quoted = await refusal(test, 'a.csv', 'text,label\nsay "a, b",x\n');
  test.notMatch(quoted, 'needs quotes', 'the row itself has a better reason');
});

void t.test('of formats without quotes nothing is said', async (test) => {
  const json = await openContent(test, 'a.jsonl', '{"text":"a","label":"x"}\n', { quoting: 'none' });
  test.equal(json.quoting, null);
  const csv = await openContent(test, 'a.csv', 'text,label\na,x\n');
  test.equal(csv.quoting, 'minimal');
  await test.rejects(openContent(test, 'a.csv', 'text,label\na,x\n', { quoting: 'NONE' as 'none' }), {
    message: 'Expected "minimal" or "none" for quoting but received "NONE"',
  });
});

void t.test('behind a row with a fault the next line is read afresh', async (test) => {
  const options = { badRows: 'skip' } as const;
  const opening = 'text,label\n"a" b,"x\nc,y\nd,"z"\ne,x\n';
  const split = await openContent(test, 'a.csv', opening, options);
  test.same(await textsOf(split), ['c', 'd', 'e'], 'though the row opens another quote');
  const late = await refusal(test, 'a.csv', 'text,label\n"Stop,x\nb,y\nsay,"hi" x\ne,y\n');
  test.match(late, /line 2: text follows the quote that closes a field in line 4 \(/);
  const few = await refusal(test, 'a.csv', 'text,label\na 5" pipe\n');
  test.match(few, /line 2: 1 field where the header has 2\n/, 'a quote is not to blame for a missing label');
});

// Offsets and lines do not depend on where the bytes are cut.
void t.test('rows with quotes across the pieces in which a file is read', async (test) => {
  const texts = Array.from({ length: 30_000 }, (_, i) =>
    i % 3 === 0 ? `a "${i}" ${'b'.repeat(i % 97)}` : `c, "${i}"\n${'d'.repeat(i % 89)}`,
  );
  const rows = texts.map((text, i) => (i % 3 === 0 ? `${text},x` : `"${text.replaceAll('"', '""')}",y`));
  const split = await openContent(test, 'a.csv', `text,label\n${rows.join('\n')}\n`); // more than 2 MiB
  test.same(await textsOf(split), texts);
});
