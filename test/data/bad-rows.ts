// Rows that cannot be read: what the message says of each, and what stop and skip do with them.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import t from 'tap';

import { loadDataset } from '../../dist/index.js';

import {
  FIXTURES,
  type Content,
  type Overrides,
  folderOf,
  openPaths,
  openContent,
  refusal,
  textsOf,
  randomFrom,
} from '../fixtures/splits.js';

const MULTI = 'multi_label_classification';

const csv = (rows: string): string => `text,label\ngood,x\n${rows}`;
const json = (row: string): string => `{"text":"good","label":"x"}\n${row}\n`;
const array = (row: string): string => `[{"text":"good","label":"x"},${row}]`;
const cut = (whole: Buffer): Buffer => whole.subarray(0, Math.floor(whole.length * 0.6));

void t.test('one bad row: the message names file, line or row, column and reason', async (test) => {
  const manyRows = `text,label\n${Array.from({ length: 5000 }, (_, i) => `row ${i * 7919},x\n`).join('')}`;
  const damaged = readFileSync(path.join(FIXTURES, 'snappy.parquet'));
  damaged.fill(0xff, 2300, 2600);
  const cases: [name: string, content: Content, message: RegExp, overrides?: Overrides][] = [
    ['a.csv', csv('"two\nlines",x\n,x\n'), /a\.csv line 5, column "text": the text is empty\n/],
    ['a.csv', csv('  ,x\n'), /a\.csv line 3, column "text": the text is empty\n/],
    ['a.csv', csv('bad,\n'), /a\.csv line 3, column "label": the label is missing\n/],
    ['a.csv', csv('\r\n\nbad\n'), /a\.csv line 5: 1 field where the header has 2\n/],
    ['a.csv', csv('a,b,c\n'), /a\.csv line 3: 3 fields where the header has 2\n/],
    ['a.csv', csv('"open,x\nb,x\n'), /a\.csv line 3: a quoted field is never closed \(with quoting none, /],
    ['a.csv', csv('"a" b,x\n'), /a\.csv line 3: text follows the quote that closes a field/],
    ['a.csv', csv('"a ""b"" "c" d",x\n'), /a\.csv line 3: text follows the quote that closes a field/],
    [
      'a.csv',
      csv('a "b, c",x\n'),
      /line 3: 3 fields where the header has 2; a quote keeps a field together only at its start/,
    ],
    [
      'a.csv',
      Buffer.from(csv('Z\xfcrich,x\n'), 'latin1'),
      /a\.csv line 3: not valid UTF-8, but looks like windows-1252\n/,
    ],
    ['a.csv', '"text,label\na,b\n', /a\.csv line 1: a quoted field is never closed \(with quoting none, /],
    [
      'a.csv',
      csv('b,y\n'),
      /line 3, column "label": the label "y" is unknown; expected "x"\n/,
      { knownLabels: ['x'] },
    ],
    [
      'a.csv',
      csv('b,-1\n').replace('good,x', 'good,1'),
      /line 3, column "label": the label -1 means "no label"/,
    ],
    [
      'a.csv',
      csv('b,n/a\n').replace('good,x', 'good,1.5'),
      /line 3, column "label": the label "n\/a" is not a number/,
    ],
    ['a.csv', csv('b,a||c\n'), /line 3, column "label": the label is missing/, { problemType: MULTI }],
    ['a.csv', csv(`b,"['a', 'a']"\n`), /the list names the label "a" twice\n/, { problemType: MULTI }],
    [
      'a.csv',
      csv('b,x\n'),
      /line 2, column "label": the label "x" is not a number/,
      { problemType: 'regression' },
    ],
    ['a.tsv', 'text\tlabel\ngood\tx\na,b\n', /a\.tsv line 3: 1 field where the header has 2\n/],
    ['a.jsonl', json('{"text":"a","label":"x"'), /a\.jsonl line 2: broken JSON: /],
    ['a.jsonl', json('["a","x"]'), /a\.jsonl line 2: a list has no names for its columns/],
    ['a.jsonl', json('{"label":"x"}'), /a\.jsonl line 2, column "text": the column is missing\n/],
    ['a.jsonl', json('{"text":"a"}'), /a\.jsonl line 2, column "label": the label is missing\n/],
    ['a.jsonl', json('{"text":null,"label":"x"}'), /line 2, column "text": the text is missing\n/],
    ['a.jsonl', json('{"text":7,"label":"x"}'), /line 2, column "text": expected text but found a number\n/],
    [
      'a.jsonl',
      json('{"text":"\\ud83d","label":"x"}'),
      /line 2, column "text": the text holds half a character/,
    ],
    [
      'a.jsonl',
      json('{"text":"a","label":{}}'),
      /column "label": expected a string or a number but found an object/,
    ],
    ['a.jsonl', json('{"text":"a","label":nan}'), /a\.jsonl line 2: broken JSON/],
    [
      'a.jsonl',
      Buffer.from(json('{"text":"\xfc","label":"x"}'), 'latin1'),
      /a\.jsonl line 2: not valid UTF-8/,
    ],
    [
      'a.jsonl',
      '{"text":"a","label":[0,1,0]}\n',
      /line 1, column "label": the list holds 3 labels, where single_label_classification takes one/,
      { problemType: 'single_label_classification', labelFormat: 'names' },
    ],
    ['a.json', array('{"text":"a"}'), /a\.json row 2, column "label": the label is missing\n/],
    ['a.json', array('{"text":tru}'), /a\.json row 2: broken JSON/],
    ['a.json', array('7'), /a\.json row 2: expected a JSON object/],
    ['a.json', array('{"text":"a"').slice(0, -1), /a\.json row 2: the JSON array is never closed/],
    ['a.json', array('{"text":"a]'), /a\.json row 2: the JSON array is never closed/],
    ['a.json', '"text"', /a\.json row 1: expected a JSON array of objects, or JSON objects, but found/],
    ['a.csv.gz', cut(gzipSync(manyRows)), /a\.csv\.gz line \d{4}: the gzip data end in the middle/],
    ['a.csv.gz', Buffer.from('no gzip'), /a\.csv\.gz line 1: the gzip data are damaged/],
    [
      'a.csv.zst',
      cut(readFileSync(path.join(FIXTURES, 'two-frames.csv.zst'))),
      /line \d+: the zstd data end in the/,
    ],
    [
      'a.csv.zst',
      Buffer.from('this is not zstd data at all'),
      /a\.csv\.zst line 1: the zstd data are damaged/,
    ],
    [
      'a.parquet',
      cut(readFileSync(path.join(FIXTURES, 'snappy.parquet'))),
      /a\.parquet row 1: not a readable Parquet/,
    ],
    ['a.parquet', Buffer.from('PAR1'), /a\.parquet row 1: not a readable Parquet/],
    ['a.parquet', damaged, /a\.parquet row (1|51): rows \d+ to \d+ cannot be decoded \(damaged file\?\)/],
    [
      'a.parquet',
      readFileSync(path.join(FIXTURES, 'bad-utf8.parquet')),
      /row 2, column "text": the text is not valid UTF-8/,
    ],
  ];
  for (const [name, content, message, overrides] of cases) {
    test.match(await refusal(test, name, content, overrides), message, String(message));
  }
});

void t.test('a gzip or zstd file cut anywhere is noticed', async (test) => {
  const random = randomFrom(3);
  const zst = readFileSync(path.join(FIXTURES, 'two-frames.csv.zst'));
  const gz = gzipSync(readFileSync(path.join(FIXTURES, 'random.csv')));
  for (let i = 0; i < 12; i++) {
    for (const [name, whole] of [['a.csv.zst', zst] as const, ['a.csv.gz', gz] as const]) {
      const length = 1 + random(whole.length - 1);
      // Between two whole frames nothing but the broken row tells.
      const message = await refusal(test, name, whole.subarray(0, length));
      test.match(
        message,
        /end in the middle|never closed|fields? where/,
        `${name}: ${length} of ${whole.length} bytes`,
      );
    }
  }
});

void t.test('stop lists the first ten bad rows', async (test) => {
  const rows = Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? 'good,x' : 'bad,')).join('\n');
  const message = await refusal(test, 'a.csv', `text,label\n${rows}\n`);
  const lines = message.split('\n');
  test.equal(lines[0], 'The train data have at least 10 bad rows:');
  test.equal(lines[1], '  a.csv line 3, column "label": the label is missing');
  test.equal(lines[10], '  a.csv line 21, column "label": the label is missing');
  test.equal(lines[11], 'Correct them, or leave them out with badRows skip');
  test.equal(lines.length, 12);
});

void t.test('skip leaves bad rows out, counts them and writes them all', async (test) => {
  const bad = Array.from({ length: 25 }, (_, i) => `,x${i}\n`).join('');
  const content = `text,label\none,x\n${bad}"two ""quoted""",y\n"broken" text,x\nthree,x\n"four\nlines",y\n"open,x\nfive,y\n`;
  const folder = folderOf(test, { 'a.csv': content });
  const split = await openPaths(test, [path.join(folder, 'a.csv')], { badRows: 'skip' });
  test.same(await textsOf(split), ['one', 'two "quoted"', 'three', 'four\nlines', 'five']);
  test.same([split.labelValues, split.badRows.count, split.badRows.first.length], [['x', 'y'], 27, 10]);
  const out = path.join(folder, 'bad-rows.jsonl');
  await split.badRows.writeTo(out);
  const written = readFileSync(out, 'utf8').trimEnd().split('\n');
  test.equal(written.length, 27);
  const file = path.join(folder, 'a.csv');
  test.same(JSON.parse(written[0] ?? ''), { file, line: 3, column: 'text', reason: 'the text is empty' });
  test.match(JSON.parse(written[26] ?? ''), {
    file,
    line: 33,
    column: null,
    reason: 'a quoted field is never closed (with quoting none, quotes are characters)',
  });
  await split.badRows.writeTo(out, (reason) => `${reason}\u2028 ${'!'.repeat(70_000)}`);
  const reasons = readFileSync(out, 'utf8').trimEnd().split('\n');
  test.equal(
    reasons.length,
    27,
    'a line is longer than what is read at once, and holds a separator of lines',
  );
  test.match(JSON.parse(reasons[26] ?? ''), { line: 33, reason: /^a quoted field is .*\u2028 !{70000}$/ });
  await test.rejects(split.badRows.writeTo(path.join(folder, 'none', 'b.jsonl')), { name: 'RunError' });

  const mixed = folderOf(test, { 'cut.parquet': 'PAR1 and no more', 'good.csv': 'text,label\na,x\n' });
  const files = [path.join(mixed, 'cut.parquet'), path.join(mixed, 'good.csv')];
  const others = await openPaths(test, files, { badRows: 'skip' });
  test.same(await textsOf(others), ['a']);
  test.match(others.notes, [/^No row is used of .*cut\.parquet, whose columns cannot be read$/]);
  test.match(
    await refusal(test, 'a.csv', 'text,label\n,x\n', { badRows: 'skip' }),
    /^The train data have only 1 bad row:\n/,
  );
  const stopped = await openContent(test, 'fine.csv', 'text,label\na,x\n');
  test.same([stopped.badRows.count, stopped.badRows.first], [0, []]);
});

void t.test('skipped rows do not get into the row before them', async (test) => {
  for (const [name, lines] of [
    [
      'a.csv',
      ['text,label', 'short,x', '"a" behind its quote,x', `${'long '.repeat(200)},y`, '"open', 'last,x'],
    ],
    ['a.jsonl', ['{"text":"short","label":"x"}', '{', `{"text":"${'long '.repeat(200)}","label":"y"}`, '[]']],
  ] as const) {
    const split = await openContent(test, name, lines.join('\n'), { badRows: 'skip' });
    const wanted = name === 'a.csv' ? ['short', 'long '.repeat(200), 'last'] : ['short', 'long '.repeat(200)];
    test.same(await textsOf(split), wanted, name);
  }
});

void t.test('fields that are not separated as the ending says', async (test) => {
  const table = (delimiter: string): string =>
    [
      ['text', 'label', 'id'],
      ['a, b', 'x', '1'],
      [`"c${delimiter} d"`, 'y', '2'],
      ['e', 'x', '3'],
    ]
      .map((row) => row.join(delimiter))
      .join('\n');
  const cases: [name: string, delimiter: string, called: string][] = [
    ['a.csv', ';', 'semicolons between its fields, not commas'],
    ['a.csv', '\t', 'tabs between its fields, not commas'],
    ['a.csv', '|', 'vertical bars between its fields, not commas'],
    ['a.csv.gz', ';', 'semicolons between its fields, not commas'],
    ['a.tsv', ';', 'semicolons between its fields, not tabs'],
  ];
  for (const [name, delimiter, called] of cases) {
    const text = Buffer.from(`\ufeff${table(delimiter)}\r\n`);
    const split = await openContent(test, name, name.endsWith('.gz') ? gzipSync(text) : text);
    test.match(split.notes, [new RegExp(`^\\S+${name} is read with ${called}`)]);
    test.strictSame(
      (await split.read([2, 1, 0])).map((example) => example.text),
      ['e', `c${delimiter} d`, 'a, b'],
      `${name} with ${JSON.stringify(delimiter)}`,
    );
    test.match(split.place(2), /line 4$/);
    test.strictSame(split.labelValues, ['x', 'y']);
  }

  // The line by which other programs tell Excel; it is no row, whatever the header looks like.
  const declared: [line: string, content: string, text: string][] = [
    ['sep=;\r\n', 'text;label\r\na;x\r\n\r\nb, c;y\r\nd;e;x', 'b, c'],
    ['\ufeff"SEP=\t"\n', 'text\tlabel\na\tx\n\nb;c|d\ty\nd\te\tx', 'b;c|d'],
    ['sep=,\n', 'text,label\na,x\n\nb;c,y\nd,e,x', 'b;c'],
  ];
  for (const [line, content, text] of declared) {
    const split = await openContent(test, 'a.csv', `${line}${content}`, { badRows: 'skip' });
    test.strictSame(await textsOf(split), ['a', text], JSON.stringify(line));
    test.match(split.place(1), /line 5$/);
    test.match(split.badRows.first, [{ line: 6, reason: '3 fields where the header has 2' }]);
  }
  const colons = await openContent(test, 'a.csv', 'sep=:\na\n', { needsLabels: false });
  test.strictSame(await textsOf(colons), ['a'], 'no known delimiter: a header as any other');

  // What may be meant as it stands is read as it stands.
  const plain: [content: string, texts: string[]][] = [
    ['text\na;b\nc;d\n', ['a;b', 'c;d']],
    ['text;one\na;b\nc\n', ['a;b', 'c']],
    ['text;one|two\na;b|c\n', ['a;b|c']],
    ['text;one\n"a;b\n', []],
  ];
  for (const [content, texts] of plain) {
    const open = openContent(test, 'a.csv', content, { needsLabels: false });
    if (texts.length === 0) await test.rejects(open, /never closed/);
    else {
      const split = await open;
      test.strictSame(split.notes, []);
      test.strictSame(
        (await split.read(texts.map((_, row) => row))).map((example) => example.text),
        texts,
      );
    }
  }

  // As R's write.csv2 and pandas' QUOTE_ALL write it.
  for (const delimiter of [';', '\t', '|']) {
    const quoted = ['"id","text","label"', '"1","a, b","x"', '2,"c ""d""\nand e","y"', '']
      .join('\r\n')
      .replaceAll('","', `"${delimiter}"`)
      .replace('2,', `2${delimiter}`);
    const split = await openContent(test, 'a.csv', quoted);
    test.strictSame(await textsOf(split), ['a, b', 'c "d"\nand e'], JSON.stringify(delimiter));
    test.strictSame(split.labelValues, ['x', 'y']);
  }

  // The first 64 KiB end within a record: in front of its delimiter, and within quotes.
  for (const text of ['word '.repeat(1500), `"${'word;\n'.repeat(1200)}"`]) {
    const split = await openContent(test, 'a.csv', `text;label\n${`${text};x\n`.repeat(40)}`);
    test.strictSame([split.size, split.labelValues], [40, ['x']]);
  }

  const long = `text;label\n${'x'.repeat(70_000)};a\ny;b\n`;
  test.match(await refusal(test, 'a.csv', long), /no columns with usual names for the label and text/);
  const many = `text;label\n${Array.from({ length: 50_000 }, (_, i) => `text ${i};${i % 2}\n`).join('')}`;
  const split = await openContent(test, 'a.csv', many);
  test.equal(split.size, 50_000);
  test.match(await split.read([49_999]), [{ text: 'text 49999' }]);
});

void t.test('what is advised where no row is good', async (test) => {
  const none = 'is good; correct the file, or the options that say how to read it';
  const numbers = (rows: number, before = ''): string =>
    `text,label\n${before}${Array.from({ length: rows }, (_, i) => `t${i},x${i}\n`).join('')}`;
  const asked = { problemType: 'regression' } as const;
  for (const [rows, overrides, last] of [
    [3, asked, `No row ${none}`],
    [12, asked, `No row so far ${none}`],
    [12, { ...asked, badRows: 'skip' }, `No row ${none}`],
  ] as const) {
    const lines = (await refusal(test, 'a.csv', numbers(rows), overrides)).split('\n');
    test.equal(lines.at(-1), last);
    test.equal(lines.filter((line) => line.includes('badRows')).length, 0);
  }
  const good = await refusal(test, 'a.csv', numbers(3, 'good,1\n'), asked);
  test.equal(good.split('\n').at(-1), 'Correct them, or leave them out with badRows skip');
});

void t.test('rows without a label beside rows with several', async (test) => {
  const hint = (cell: string, rest: string): string =>
    `The label ${JSON.stringify(cell)} is taken as one name${rest}, and an empty cell as none`;
  const asked = `problemType ${MULTI}`;
  for (const [cells, expected] of [
    [['a;b', '', 'a'], hint('a;b', `; ${asked} with labelDelimiter ";" reads it as 2 labels`)],
    [["['a', 'b']", '', 'a'], hint("['a', 'b']", `, since other rows hold no list; ${asked} reads lists`)],
  ] as const) {
    const content = `text,label\n${cells.map((cell, i) => `t${i},"${cell}"\n`).join('')}`;
    const lines = (await refusal(test, 'a.csv', content)).split('\n');
    test.same(lines.slice(1, 3), ['  a.csv line 3, column "label": the label is missing', expected]);
    const split = await openContent(test, 'a.csv', content, { problemType: MULTI, labelDelimiter: ';' });
    test.same(
      (await split.preview(3)).map(({ label }) => label),
      ['[a, b]', '[]', '[a]'],
      'as the hint has it',
    );
  }
  test.equal(
    (await refusal(test, 'a.csv', csv('b,\n'))).split('\n').length,
    3,
    'no hint without such labels',
  );
});

void t.test('which rows were skipped is part of what identifies the data', async (test) => {
  const rows = Array.from(
    { length: 6 },
    (_, i) => `${`row ${i} `.repeat(i === 1 ? 300 : 1)},${'xy'[i % 2]}\n`,
  );
  const file = path.join(folderOf(test, { 'a.csv': `text,label\n${rows.join('')}` }), 'a.csv');
  const identityOf = async (maxRowBytes: number): Promise<[number, unknown]> => {
    const options = { badRows: 'skip', maxRowBytes, maxSamples: { train: 4 } } as const;
    const data = await loadDataset({ train: file }, options);
    const identity = await data.train.identity();
    await data.close();
    return [data.train.size, { files: identity.files, skipped: identity.skipped }];
  };
  const [[size, short], [sameSize, long], [, longer]] = [
    await identityOf(1024),
    await identityOf(4096),
    await identityOf(8192),
  ];
  test.same([size, sameSize], [4, 4], 'as many rows');
  test.notSame(long, short, 'though not the same');
  test.same(longer, long);
});
