// Files that are not quite what they seem: escaped quotes, fastText's lines, folders of Arrow files, pointers of Git LFS; and
// what the messages about files and columns propose.
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { loadDataset } from '../../dist/index.js';
import { openSafetensors } from '../../dist/formats/safetensors.js';
import { asFlags } from '../../dist/options/index.js';
import { readJson, readSmallFile } from '../../dist/util/json.js';
import { folderOf, messageOf, openContent, refusal, textsOf } from '../fixtures/splits.js';

// Expected: pandas.read_csv(..., escapechar="\\") of the same bytes.
void t.test('backslashes that escape, in CSV and TSV', async (test) => {
  const rows = [
    '"say \\"hi\\", ok",x',
    '"a ""b"" \\\\ c",y',
    'a \\"b\\" c\\, d,x',
    '\\"q\\",y',
    '"two\nlines \\n",x',
    'tab\\\tx,y',
    'back\\\\,x',
  ];
  const texts = ['say "hi", ok', 'a "b" \\ c', 'a "b" c, d', '"q"', 'two\nlines n', 'tab\tx', 'back\\'];
  for (const end of ['\n', '\r\n', '']) {
    const content = `text,label\n${rows.join('\n')}${end}`;
    const split = await openContent(test, 'a.csv', content, { escape: '\\' });
    test.same(await textsOf(split), texts);
    test.same(split.labelValues, ['x', 'y']);
    test.match(await split.read([6, 2]), [{ text: texts[6] }, { text: texts[2] }], 'each can be read again');
    test.match(split.place(5), /line 8$/);
  }
  const many = Array.from({ length: 30_000 }, (_, i) => `he said \\"${i}\\", ${'b\\\\'.repeat(i % 30)}`);
  const long = await openContent(
    test,
    'a.csv',
    `text,label\n${many.map((text) => `"${text}",x\n`).join('')}`,
    { escape: '\\' },
  );
  test.same(
    await textsOf(long),
    many.map((text) => text.replaceAll(/\\(.)/g, '$1')),
    'across the pieces of a file',
  );
  const broken = Array.from({ length: 30_000 }, (_, i) => `${i}${'\\\nb'.repeat(1 + (i % 40))}`);
  const lines = await openContent(
    test,
    'a.csv',
    `text,label\n${broken.map((text) => `${text},x\n`).join('')}`, // more than 2 MiB
    { escape: '\\' },
  );
  test.same(
    await textsOf(lines),
    broken.map((text) => text.replaceAll('\\', '')),
    'with line ends that are escaped',
  );
  test.match(
    await refusal(test, 'a.csv', `text,label\na,x\nb${'\\\nb'.repeat(1 << 20)},x\n`, {
      escape: '\\',
      maxRowBytes: 1024,
    }),
    /line 3: the row is longer than 1024 bytes/,
  );
  const none = await openContent(test, 'a.csv', 'text,label\n"a\\, b",x\nc "d,y\n', {
    escape: '\\',
    quoting: 'none',
    textColumn: 'text',
  });
  test.same(await textsOf(none), ['"a, b"', 'c "d'], 'with quotes as characters');
  const refused = await refusal(test, 'a.csv', 'text,label\n"say \\"hi\\" now",x\n');
  test.match(
    refused,
    /line 2: text follows the quote that closes a field .*; quotes written \\" are read with escape \\\)/,
  );
  test.match(asFlags(refused), 'are read with --escape \\)');
  test.match(
    await refusal(test, 'a.csv', 'text,label\n"a\\"b,x\n', { escape: '\\' }),
    /line 2: a quoted field is never closed/,
  );
  for (const escape of ['', '"', ',', 'ab', '\n'])
    test.match(
      await refusal(test, 'a.csv', 'text,label\na,x\n', { escape }),
      /^Expected one character .* for escape/,
    );
});

void t.test('texts a line, and the labels of fastText', async (test) => {
  const plain = await openContent(test, 'a.txt', '\ufefffirst, "line"\r\n\nsecond\r\n', {
    needsLabels: false,
  });
  test.same(await textsOf(plain), ['first, "line"', 'second']);
  test.match(plain.place(1), /line 3$/);
  test.match(
    await refusal(test, 'a.txt', 'first\nsecond\n'),
    /no column with a usual name for the label.*a \.txt file has one text a line, with labels only as the __label__ of fastText/,
  );
  const rows = [
    '__label__good  a fine film , really',
    '__label__bad not __labels at all',
    '  __label__good ok',
  ];
  const single = await openContent(test, 'train.txt', `${rows.join('\n')}\n`);
  test.same(await textsOf(single), ['a fine film , really', 'not __labels at all', 'ok']);
  test.same([single.labelKind, single.labelValues], ['string', ['bad', 'good']]);
  test.match(await single.read([2]), [{ text: 'ok' }]);
  test.match(single.notes, [/train\.txt: the words that begin with __label__ are labels, as in fastText/]);
  const several = await openContent(
    test,
    'train.txt',
    '__label__a __label__b one\n__label__b two\nthree __label__a\n',
  );
  test.same(await textsOf(several), ['one', 'two', 'three']);
  test.same(
    (await several.preview(3)).map(({ label }) => label),
    ['[a, b]', '[b]', '[a]'],
  );
  test.match(
    await refusal(test, 'a.txt', '__label__a one\ntwo\n'),
    /line 2, column "label": the label is missing/,
  );
  test.match(
    await refusal(test, 'a.csv', '__label__a one\n__label__b two\n'),
    /its rows look like those of fastText: give it a name that ends in \.txt/,
  );
});

void t.test('folders and globs', async (test) => {
  const folder = folderOf(test, {
    'rows/a.jsonl': '{}',
    'rows/b.jsonl': '{}',
    'rows/c.csv': 'x',
    'one/a.parquet': 'x',
    'zipped/a.csv.gz': 'x',
    'zipped/b.csv.gz': 'x',
    'none/readme.md': 'x',
    'saved/data-00000-of-00001.arrow': 'x',
    'saved/state.json': '{}',
    'saved/dataset_info.json': '{}',
    'dict/dataset_dict.json': '{}',
    'dict/train/state.json': '{}',
  });
  const open = (name: string): Promise<string> =>
    messageOf(test, loadDataset({ train: path.join(folder, name) })).then((message) =>
      message.replaceAll(folder, ''),
    );
  test.equal(await open('rows'), 'rows is a folder; name the files in it, e.g. rows/*.jsonl');
  test.equal(await open('one'), 'one is a folder; name the files in it, e.g. one/a.parquet');
  test.equal(await open('zipped'), 'zipped is a folder; name the files in it, e.g. zipped/*.csv.gz');
  test.match(await open('none'), /^none is a folder without data files \(\.csv, /);
  test.equal(await open('rows/*.tsv'), 'No file matches rows/*.tsv; there is rows/*.jsonl');
  test.match(
    await open('saved'),
    /^saved was written by save_to_disk .* load_from_disk\(".*saved"\)\.to_parquet\("rows\.parquet"\), and name that file$/,
  );
  test.match(
    await open('dict'),
    /^dict holds the splits that save_to_disk .* load_from_disk\(".*dict"\)\["train"\]\.to_parquet\("train\.parquet"\)/,
  );
  test.match(
    await open('saved/data-00000-of-00001.arrow'),
    /is in Arrow's format; write it as Parquet in Python/,
  );
});

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 437955512\n`;

void t.test('a pointer of Git LFS in place of any file', async (test) => {
  const names = ['a.csv', 'a.tsv', 'a.jsonl', 'a.json', 'a.txt', 'a.parquet', 'a.csv.gz', 'a.jsonl.zst'];
  const others = ['config.json', 'tokenizer.json', 'vocab.txt', 'model.safetensors'];
  const folder = folderOf(test, Object.fromEntries(others.map((name) => [name, POINTER])));
  const expected = (name: string): string =>
    `${name} is a pointer of Git LFS, not the file of 437955512 bytes itself; run "git lfs pull" in its repository, or download the file`;
  const file = (name: string): string => path.join(folder, name);
  for (const [name, open] of [
    ['config.json', readJson],
    ['tokenizer.json', readJson],
    ['vocab.txt', readSmallFile],
    ['model.safetensors', openSafetensors],
  ] as const)
    test.equal((await messageOf(test, open(file(name)))).replaceAll(folder, ''), expected(name));
  for (const name of names)
    test.equal(await refusal(test, name, POINTER, { badRows: 'skip' }), expected(name));
});

void t.test('all that is missing is in one message', async (test) => {
  const csv = 'review,stars,id\na,1,7\n';
  test.equal(
    await refusal(test, 'a.csv', csv, {
      textColumn: 'txt',
      textPairColumn: 'pair',
      labelColumn: ['star', 'x'],
      passthroughColumns: ['key'],
      groupColumn: 'author',
    }),
    'a.csv has no columns "txt", "pair", "key", "author", "star", "x"; it has the columns "review", "stars", "id"; textColumn and textPairColumn and idColumn and validationGroupColumn and labelColumn name others',
  );
  test.equal(
    await refusal(test, 'a.csv', csv, { textColumn: 'reviews', labelColumn: 'star' }),
    'a.csv has no columns "reviews", "star"; it has the columns "review", "stars", "id"; did you mean "review" and "stars"?',
  );
  test.equal(
    await refusal(test, 'a.csv', 'text,label\na,1\n', { textColumn: 'text_a', textPairColumn: 'text_b' }),
    'a.csv has no columns "text_a", "text_b"; it has the columns "text", "label"; textColumn and textPairColumn name others',
    'one column is not both',
  );
  test.match(
    await refusal(test, 'a.csv', 'a,b,c\n1,2,3\n'),
    /^a\.csv has no columns with usual names for the label and text; it has the columns "a", "b", "c"; name them with labelColumn and textColumn/,
  );
  test.match(
    await refusal(test, 'a.csv', 'a,b,label\n1,2,3\n'),
    /has no column with a usual name for the text; it has .*; name it with textColumn/,
  );
  const folder = folderOf(test, { 'a.csv': 'text,label,id\na,x,1\n', 'b.csv': 'words,class\na,x\n' });
  test.match(
    await messageOf(test, loadDataset({ train: path.join(folder, '*.csv') })),
    /b\.csv has no columns "text", "label"; it has the columns "words", "class"; textColumn and labelColumn name others/,
  );
});

// By the first bytes that the formats' specifications give.
void t.test('a file that is not what its name says', async (test) => {
  const json = '{"text": "a", "label": "x"}\n';
  for (const [name, content, message] of [
    ['a.csv', gzipSync('text,label\na,x\n'), /is compressed with gzip; give it a name that ends in \.gz$/],
    ['a.json', Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0), /Zstandard; give it a name that ends in \.zst$/],
    ['a.csv', 'PK\u0003\u0004...', /is a workbook or a ZIP archive; save the sheet as CSV, or unpack/],
    ['a.csv', 'BZh91AY&SY', /is compressed with bzip2; decompress it$/],
    [
      'a.csv',
      Buffer.from('PARE\x20\x01\0\0', 'latin1'),
      /is an encrypted Parquet file; write it again without/,
    ],
    [
      'a.tsv',
      Buffer.from('PAR1\x15\x04\x15', 'latin1'),
      /is a Parquet file; give it a name that ends in \.parquet$/,
    ],
    ['a.jsonl', 'ARROW1\0\0', /is in Arrow's format; write it as Parquet in Python/],
    ['a.csv', 'SQLite format 3\0', /is a database of SQLite; export the table as CSV$/],
    [
      'a.csv',
      '\n<!DOCTYPE html>\n<title>Sign in</title>',
      /is a web page, not the file itself; download it again/,
    ],
    ['a.json', '\ufeff<html lang="en">', /is a web page/],
    ['a.csv', '<?xml version="1.0"?>', /is XML; convert it/],
    ['a.csv', json, /holds JSON; give it a name that ends in \.jsonl, or in \.json$/],
    ['a.tsv', `[\n  ${json}]`, /holds JSON/],
    [
      'a.csv.bz2',
      'BZh9',
      /unknown format; the name must end in one of .*: decompress it, or compress it with gzip$/,
    ],
    ['a.xlsx', 'PK', /unknown format; the name must end in one of .*: save the sheet as CSV$/],
  ] as const) {
    const found = await refusal(test, name, content);
    test.match(found, message, name);
    test.notMatch(found, '\n', 'one line');
  }
  for (const [name, content, text] of [
    ['a.csv', 'text,label\n<html>,x\nb,y\n', '<html>'],
    ...['PARENT', 'PARE', 'PAR1', 'BZh9', 'ARROW1'].map(
      (column) => ['a.csv', `${column},text\n1,a\n2,b\n`, 'a'] as const,
    ),
    ['a.txt', 'PARE de sufrir\n', 'PARE de sufrir'],
    ['a.csv', 'text,label\n{a},x\nb,y\n', '{a}'],
    ['a.txt', '<html> is a tag\n', '<html> is a tag'],
    ['a.txt', '{"a": 1}\n', '{"a": 1}'],
    ['a.csv.gz', gzipSync('text,label\na,x\nb,y\n'), 'a'],
  ] as const) {
    const split = await openContent(test, name, content, { needsLabels: false });
    test.equal((await textsOf(split))[0], text, `${name} is right`);
  }
});

void t.test('labels of fastText may stand anywhere in a line', async (test) => {
  const split = await openContent(test, 'a.txt', 'a good film __label__pos\n__label__neg a dull film\n');
  test.same(
    [await textsOf(split), split.labelValues],
    [
      ['a good film', 'a dull film'],
      ['neg', 'pos'],
    ],
  );
});
