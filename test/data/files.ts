// Files of rows: every format against files written by Python, random files, globs, temporary files.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import t from 'tap';

import { inferTask, labelArray, type Split } from '../../dist/data/index.js';
import {
  FIXTURES,
  expected,
  folderOf,
  openPaths,
  openContent,
  messageOf,
  textsOf,
  randomFrom,
} from '../fixtures/splits.js';

void t.test('every format gives back what Python wrote, in random order', async (test) => {
  const byPython = ['random.csv', 'random-crlf-bom.csv', 'random.tsv', 'two-frames.csv.zst'];
  const parquet = ['snappy.parquet', 'gzip.parquet', 'zstd.parquet'];
  const lines = expected.map((row) => `${JSON.stringify(row)}\n`);
  const made = folderOf(test, {
    'rows.jsonl': `\ufeff${lines.join('')}`,
    'crlf.ndjson': lines.join('').replaceAll('\n', '\r\n').trimEnd(),
    'array.json': JSON.stringify(expected),
    'pretty.json': `\ufeff${JSON.stringify(expected, null, 2)}\n`,
    'lines.json': lines.join(''),
    'rows.csv.gz': gzipSync(readFileSync(path.join(FIXTURES, 'random.csv'))),
    'rows.jsonl.gz': Buffer.concat([gzipSync(lines.slice(0, 7).join('')), gzipSync(lines.slice(7).join(''))]),
    'array.json.gz': gzipSync(JSON.stringify(expected)),
  });
  const files = [...byPython, ...parquet].map((name) => path.join(FIXTURES, name));
  files.push(...readdirSync(made).map((name) => path.join(made, name)));
  const shuffled = expected.toSorted((a, b) => ((a.id * 7919) % 120) - ((b.id * 7919) % 120));
  for (const file of files) {
    const split = await openPaths(test, [file]);
    const name = path.basename(file);
    test.same(
      [split.size, split.labelKind, split.labelValues],
      [120, 'string', ['ham', 'spam', 'x,y']],
      name,
    );
    test.same(split.columns, { text: 'text', textPair: null, label: 'label' }, name);
    test.same(
      await split.read(shuffled.map(({ id }) => id)),
      shuffled.map(({ text }) => ({ text })),
      name,
    );
    const task = inferTask([split]);
    const ids = expected.map(({ label }) => ['ham', 'spam', 'x,y'].indexOf(label));
    test.same(labelArray(split, task), Int32Array.from(ids), `${name}: labels`);
  }
});

void t.test('rows are placed at the physical line they start on', async (test) => {
  for (const name of ['random.csv', 'random-crlf-bom.csv', 'random.tsv', 'two-frames.csv.zst']) {
    const file = path.join(FIXTURES, name);
    const split = await openPaths(test, [file]);
    const places = expected.map(({ id }) => split.place(id));
    test.same(
      places,
      expected.map(({ line }) => `${file} line ${line}`),
      name,
    );
  }
  const blank = await openContent(
    test,
    'blank.jsonl',
    '\n\n{"text":"a","label":"x"}\n \n{"text":"b","label":"y"}',
  );
  test.match(blank.place(0), /line 3$/);
  test.match(blank.place(1), /line 5$/);
});

void t.test('random files read back equal, whatever the chunking', async (test) => {
  const pieces = ['a', ',', '"', '\n', '\r\n', '\r', ' ', 'é', '𠀀', 'long words here', ';', '\t'];
  for (let seed = 1; seed <= 3; seed++) {
    const random = randomFrom(seed);
    const rows = Array.from({ length: 40 }, (_, i) => {
      // One row in ten is longer than the buffers the file is read with.
      const length = i % 10 === 9 ? 250_000 : 1 + random(20);
      return `x${Array.from({ length }, () => pieces[random(pieces.length)] ?? '').join('')}`;
    });
    const body = rows
      .map((text, i) => `"${text.replaceAll('"', '""')}",${i % 2 === 0 ? 'odd' : 'even'}\n`)
      .join('');
    const objects = rows.map((text, i) => JSON.stringify({ text, label: i % 2 }));
    const order = Array.from({ length: 60 }, () => random(40));
    for (const [name, content] of [
      [`random-${seed}.csv`, `text,label\n${body}`],
      [`random-${seed}.jsonl`, objects.join('\n')],
      [`random-${seed}.json`, `[${objects.join(' ,\n')}]`],
    ] as const) {
      const got = await (await openContent(test, name, content)).read(order);
      const same = got.map(({ text }, i) => text === rows[order[i] ?? 0]);
      test.notOk(same.includes(false), name);
    }
  }
});

void t.test('very many, very short rows', async (test) => {
  const split = await openContent(test, 'tiny.csv', `text,label\n${'a,b\n'.repeat(270_000)}`);
  test.equal(split.size, 270_000);
});

void t.test('several files and globs', async (test) => {
  const folder = folderOf(test, {
    'a1.csv': 'text,label\none,x\n',
    'a2.csv': 'label,id,text\ny,7,two\n',
    'b.jsonl': '{"text":"three","label":"x"}\n',
    'deep/er/a3.csv': 'text,label\nfour,z\n',
    'a[1].csv': 'text,label\nfive,x\n',
  });
  const open = (...files: string[]): Promise<Split> =>
    openPaths(
      test,
      files.map((file) => path.join(folder, file)),
    );
  test.same(await textsOf(await open('a?.csv')), ['one', 'two']);
  test.same(await textsOf(await open('b.jsonl', 'a*.csv')), ['three', 'one', 'two', 'five']);
  test.same(await textsOf(await open('**/*.csv')), ['one', 'two', 'five', 'four']);
  test.same(await textsOf(await open('deep/**')), ['four']);
  test.same(await textsOf(await open('a[1].csv')), ['five']);
  const split = await open('a1.csv', 'deep/er/a3.csv');
  test.match(split.place(1), /a3\.csv line 2$/);
  test.match(await messageOf(test, open('c*.csv')), 'No file matches c*.csv');
});

const leftOver = (): string[] => readdirSync(tmpdir()).filter((name) => /^bertune-\w{6}$/.test(name));

void t.test('nothing is left in the temporary folder, and a changed file is noticed', async (test) => {
  const before = leftOver();
  const folder = folderOf(test, {
    'a.json': JSON.stringify(expected),
    'b.csv': 'text,label\nsome words,x\nmore words,y\n',
  });
  const spooled = await openPaths(test, [path.join(folder, 'a.json')], { badRows: 'skip' });
  test.same(leftOver(), before, 'even while it is open');
  test.same(await spooled.read([1]), [{ text: expected[1]?.text }]);
  const plain = await openPaths(test, [path.join(folder, 'b.csv')]);
  writeFileSync(path.join(folder, 'b.csv'), 'x\n');
  await test.rejects(plain.read([1]), { name: 'RunError', message: /b\.csv line 3 cannot be read again/ });
});

void t.test('progress reaches the whole', async (test) => {
  const folder = folderOf(test, { 'a.json': JSON.stringify(expected), 'b.csv': 'text,label\na,x\n' });
  const seen: { bytes: number; totalBytes: number }[] = [];
  const files = ['a.json', 'b.csv'].map((name) => path.join(folder, name));
  await openPaths(test, [...files, path.join(FIXTURES, 'zstd.parquet')], {
    onProgress: (progress) => seen.push(progress),
  });
  const last = seen.at(-1);
  test.ok(last !== undefined && Math.abs(last.bytes - last.totalBytes) < 1, JSON.stringify(last));
});
