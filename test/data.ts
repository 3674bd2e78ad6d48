// The data layer: every format against files written by Python, the sets of ../shared/data against their READMEs,
// columns, labels and tasks, and a table of bad input. The fixtures come from scripts/reference/data_fixtures.py.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import t, { type Test } from 'tap';

import { UsageError } from '../dist/errors.js';
import { inferTask, labelArray, labelReader, openSplit, sortLabels } from '../dist/data/index.js';
import type { Split, SplitOptions, Task } from '../dist/data/index.js';

const FIXTURES = fileURLToPath(new URL('fixtures/data/', import.meta.url));
const SHARED = fileURLToPath(new URL('../../shared/data/', import.meta.url));

const MULTI = 'multi_label_classification';

interface ExpectedRow {
  id: number;
  text: string;
  label: string;
  line: number;
}

const expected: ExpectedRow[] = readFileSync(path.join(FIXTURES, 'expected.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line): ExpectedRow => JSON.parse(line));

type Content = string | Buffer;
type Overrides = Partial<Omit<SplitOptions, 'files'>>;

/** Writes files into a folder of the test. */
function folderOf(test: Test, files: Readonly<Record<string, Content>>): string {
  const folder = test.testdir();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

/** Opens files as one split that is closed with the test. */
async function openPaths(test: Test, files: readonly string[], overrides: Overrides = {}): Promise<Split> {
  const split = await openSplit({ name: 'train', needsLabels: true, ...overrides, files });
  test.teardown(() => split.close());
  return split;
}

/** Writes one file and opens it. */
async function openContent(
  test: Test,
  name: string,
  content: Content,
  overrides: Overrides = {},
): Promise<Split> {
  return openPaths(test, [path.join(folderOf(test, { [name]: content }), name)], overrides);
}

/** The message of the UsageError that opening must end in, with the folder of the test cut off. */
async function refusal(
  test: Test,
  name: string,
  content: Content,
  overrides: Overrides = {},
): Promise<string> {
  return messageOf(test, openContent(test, name, content, overrides));
}

async function messageOf(test: Test, opening: Promise<unknown>): Promise<string> {
  const error: unknown = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UsageError)) throw new Error(`expected a UsageError, got ${String(error)}`);
  return error.message.replaceAll(`${test.testdirName}${path.sep}`, '');
}

function textsOf(split: Split): Promise<string[]> {
  const rows = Array.from({ length: split.size }, (_, row) => row);
  return split.read(rows).then((examples) => examples.map(({ text }) => text));
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** A repeatable stream of numbers from 0 to n - 1 (mulberry32). */
function randomFrom(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}

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

  const hub = { classNames: { label: ['no', 'yes'] } };
  const given = await openContent(test, 'hub.csv', 'text,label\na,1\nb,0\nc,yes\n', hub);
  test.same(labelArray(given, inferTask([given])), Int32Array.from([1, 0, 1]));
  test.match(
    await refusal(test, 'hub.csv', 'text,label\na,2\n', hub),
    /the label "2" is unknown; expected "no", "yes"/,
  );
});

let nextFile = 1;

/** A split whose only point is its labels, one of them a row. */
function labelled(test: Test, labels: readonly unknown[], overrides: Overrides = {}): Promise<Split> {
  const lines = labels.map((label, i) => JSON.stringify({ text: `text ${i}`, label }));
  return openContent(test, `labels-${nextFile++}.jsonl`, lines.join('\n'), overrides);
}

void t.test('the task follows from the labels', async (test) => {
  const single = 'single_label_classification';
  const multi = 'multi_label_classification';
  const cases: [labels: unknown[], kind: string, type: string, map: string[], overrides?: Overrides][] = [
    [['b', 'a', 'b'], 'string', single, ['a', 'b']],
    [[1, 0, 1], 'integer', single, ['0', '1']],
    [['1', '0'], 'integer', single, ['0', '1']],
    [[10, 9, 2], 'integer', single, ['2', '9', '10']],
    [[true, false], 'string', single, ['false', 'true']],
    [[1, 'one'], 'string', single, ['1', 'one']],
    [[0.5, 1], 'float', 'regression', ['LABEL_0']],
    [['5.0', '4.75'], 'float', 'regression', ['LABEL_0']],
    [[...Array.from({ length: 70_000 }, (_, i) => i % 5), 1.5], 'float', 'regression', ['LABEL_0']],
    [['1e-3', '2'], 'float', 'regression', ['LABEL_0']],
    [[1, 2], 'float', 'regression', ['LABEL_0'], { problemType: 'regression' }],
    [['1.0', '2.0'], 'string', single, ['1.0', '2.0'], { problemType: single }],
    [[['b', 'a'], [], ['c']], 'list', multi, ['a', 'b', 'c']],
    [[[1, 0], [2]], 'list', multi, ['0', '1', '2']],
    [['b|a', 'c'], 'list', multi, ['a', 'b', 'c'], { problemType: multi }],
    [['b; a', 'c'], 'list', multi, ['a', 'b', 'c'], { problemType: multi, labelDelimiter: ';' }],
    [['b|a', 'c'], 'string', single, ['b|a', 'c']],
    [[-1, 0, 1], 'integer', single, ['-1', '0', '1'], { knownLabels: ['-1', '0', '1'] }],
  ];
  for (const [labels, kind, problemType, map, overrides] of cases) {
    const split = await labelled(test, labels, overrides);
    const name = JSON.stringify(labels).slice(0, 40);
    test.equal(split.labelKind, kind, name);
    test.same(
      inferTask([split], { forTraining: true }),
      { problemType, labels: map, numLabels: map.length },
      name,
    );
  }
  const late = await labelled(test, [...Array.from({ length: 70_000 }, (_, i) => i % 5), 1.5]);
  const scores = labelArray(late, inferTask([late]));
  test.same(
    [scores[69_999], scores[70_000]],
    [4, 1.5],
    'integers before the first decimal keep their values',
  );
});

void t.test('the label map', async (test) => {
  const train = await labelled(test, ['b', 'a']);
  const validation = await labelled(test, ['c', 'a'], { name: 'validation' });
  const task = inferTask([train, validation], { forTraining: true });
  test.same(task.labels, ['a', 'b', 'c'], 'union of the splits');
  test.same(labelArray(validation, task), Int32Array.from([2, 0]));
  test.same(inferTask([train], { labelList: ['b', 'z', 'a'] }).labels, ['b', 'z', 'a']);

  const integers = await labelled(test, [1, 0, 1]);
  const named = inferTask([integers], { modelLabels: ['negative', 'positive'] });
  test.same(
    [named.labels, labelArray(integers, named)],
    [['negative', 'positive'], Int32Array.from([1, 0, 1])],
  );
  test.same(
    labelArray(integers, inferTask([integers], { problemType: 'regression' })),
    Float32Array.from([1, 0, 1]),
  );

  const refused = (run: () => unknown, message: RegExp): void => {
    test.throws(run, { name: 'UsageError', message });
  };
  refused(
    () => inferTask([validation], { modelLabels: ['a', 'b'] }),
    /labels-\d+\.jsonl line 1, column "label": the label "c" is unknown; expected "a", "b"$/,
  );
  refused(() => inferTask([integers], { labelList: ['one'] }), /the label "1" is unknown/);
  refused(() => inferTask([train], { labelList: ['a', 'b', 'a'] }), /names "a" twice/);
  refused(() => inferTask([train], { problemType: 'regression' }), /are text, which does not fit regression/);
  const lists = await labelled(test, [['a']]);
  refused(() => inferTask([lists, train]), /Some splits hold lists of labels and others single labels/);
  const one = await labelled(test, ['a', 'a']);
  refused(() => inferTask([one], { forTraining: true }), /only one class, "a" \(column "label"\)/);
  refused(
    () => inferTask([one, validation], { forTraining: true }),
    /The train data hold only one class, "a"/,
  );
  test.same(inferTask([one]).labels, ['a'], 'evaluation may have one class');
  const unlabelled = await labelled(test, ['a'], { needsLabels: false });
  refused(() => inferTask([unlabelled]), /no labels/);
  refused(() => labelArray(unlabelled, task), /opened without labels/);
  const other: Task = { problemType: 'single_label_classification', labels: ['x'], numLabels: 1 };
  refused(() => labelArray(train, other), /the label "b" is unknown; expected "x"$/);
});

void t.test('labels sort as Python sorts strings, integers as numbers', async (test) => {
  // sorted(['b', 'B', 'é', 'a', '\uff5e', '\U0001f600', '10', '9']) in Python
  const python = ['10', '9', 'B', 'a', 'b', 'é', '\uff5e', '\u{1f600}'];
  test.same(sortLabels(python.toReversed()), python);
  test.same(sortLabels(['10', '9', '-1', '0']), ['-1', '0', '9', '10']);
});

void t.test('maxSamples cuts rows, not the check and not the label map', async (test) => {
  const content = 'text,label\na,x\nb,x\nc,y\n';
  const split = await openContent(test, 'cut.csv', content, { maxSamples: 2 });
  test.same([split.size, split.labelValues], [2, ['x', 'y']]);
  test.same(split.notes, ['The first 2 rows all have the label "x"; the file seems to be sorted by label']);
  test.equal(labelArray(split, inferTask([split])).length, 2);
  await test.rejects(split.read([2]), { message: 'Expected a row from 0 to 1 but received 2' });
  await test.rejects(split.read([-1]), RangeError);
  test.equal((await openContent(test, 'cut.csv', content, { maxSamples: 9 })).size, 3);
  test.match(await refusal(test, 'cut.csv', content, { maxSamples: 0 }), /Expected a whole number above 0/);
  test.match(await refusal(test, 'cut.csv', `${content}d,\n`, { maxSamples: 2 }), /cut\.csv line 5/);
});

void t.test('notes on labels that are probably not meant', async (test) => {
  const joined = await labelled(test, ['b|a', 'c']);
  test.match(joined.notes.join(), /"b\|a" is taken as one name; --problem-type multi_label_classification/);
  const alike = await labelled(test, ['Spam', 'spam ', 'ham']);
  test.same(alike.notes, ['The labels "Spam" and "spam " differ only in case or spaces']);
  test.same((await labelled(test, ['a', 'b'])).notes, []);
  const own = Array.from({ length: 10 }, (_, i) => `sentence ${i}`);
  const note = 'Each of the 10 rows has a label of its own; is this the column of the labels?';
  test.same((await labelled(test, own)).notes, [note]);
  test.same((await labelled(test, [...own, 'sentence 1'])).notes, []);
  test.same((await labelled(test, own.slice(1))).notes, [], 'as few rows as a first try has');
});

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
    ['a.csv', csv('"open,x\nb,x\n'), /a\.csv line 3: a quoted field is never closed\n/],
    ['a.csv', csv('"a" b,x\n'), /a\.csv line 3: text follows the quote that closes a field/],
    ['a.csv', csv('a "b",x\n'), /a\.csv line 3: a quote stands inside an unquoted field/],
    ['a.csv', Buffer.from(csv('Z\xfcrich,x\n'), 'latin1'), /a\.csv line 3: not valid UTF-8\n/],
    [
      'a.csv',
      Buffer.from('\ufeffR\u00e9sum\u00e9,label\na,b\n', 'utf16le'),
      /a\.csv line 1: not valid UTF-8\n/,
    ],
    ['a.csv', '"text,label\na,b\n', /a\.csv line 1: a quoted field is never closed\n/],
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
    [
      'a.csv',
      csv(`b,"['a', 'c']"\n`),
      /looks like a list written as text; write a\|b\n/,
      { problemType: MULTI },
    ],
    [
      'a.csv',
      csv('b,x\n'),
      /line 2, column "label": the label "x" is not a number/,
      { problemType: 'regression' },
    ],
    ['a.tsv', 'text\tlabel\ngood\tx\na,b\n', /a\.tsv line 3: 1 field where the header has 2\n/],
    ['a.jsonl', json('{"text":"a","label":"x"'), /a\.jsonl line 2: broken JSON: /],
    ['a.jsonl', json('["a","x"]'), /a\.jsonl line 2: expected a JSON object/],
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
    ['a.jsonl', json('{"text":"a","label":NaN}'), /a\.jsonl line 2: broken JSON/],
    [
      'a.jsonl',
      Buffer.from(json('{"text":"\xfc","label":"x"}'), 'latin1'),
      /a\.jsonl line 2: not valid UTF-8\n/,
    ],
    [
      'a.jsonl',
      '{"text":"a","label":[0,1,0]}\n',
      /names the label "0" twice \(a list holds class names, not zeros/,
    ],
    ['a.json', array('{"text":"a"}'), /a\.json row 2, column "label": the label is missing\n/],
    ['a.json', array('{"text":tru}'), /a\.json row 2: broken JSON/],
    ['a.json', array('7'), /a\.json row 2: expected a JSON object/],
    ['a.json', array('{"text":"a"').slice(0, -1), /a\.json row 2: the JSON array is never closed/],
    ['a.json', array('{"text":"a]'), /a\.json row 2: the JSON array is never closed/],
    ['a.json', '"text"', /a\.json row 1: expected a JSON array of objects, or one object a line\n/],
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
  test.equal(lines[11], 'Correct them, or leave them out with --bad-rows skip');
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
    reason: 'a quoted field is never closed',
  });
  await test.rejects(split.badRows.writeTo(path.join(folder, 'none', 'b.jsonl')), { name: 'RunError' });

  const mixed = folderOf(test, { 'cut.parquet': 'PAR1 and no more', 'good.csv': 'text,label\na,x\n' });
  const files = [path.join(mixed, 'cut.parquet'), path.join(mixed, 'good.csv')];
  test.same(await textsOf(await openPaths(test, files, { badRows: 'skip' })), ['a']);
  test.match(
    await refusal(test, 'a.csv', 'text,label\n,x\n', { badRows: 'skip' }),
    /^The train data have only 1 bad row:\n/,
  );
  const stopped = await openContent(test, 'fine.csv', 'text,label\na,x\n');
  test.same([stopped.badRows.count, stopped.badRows.first], [0, []]);
});

void t.test('skipped rows do not get into the row before them', async (test) => {
  for (const [name, lines] of [
    ['a.csv', ['text,label', 'short,x', 'a,b,c,d "unquoted', `${'long '.repeat(200)},y`, '"open', 'last,x']],
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
  test.match(await refusal(test, 'a.csv', long), /no column with a usual name for the label/);
  const many = `text;label\n${Array.from({ length: 50_000 }, (_, i) => `text ${i};${i % 2}\n`).join('')}`;
  const split = await openContent(test, 'a.csv', many);
  test.equal(split.size, 50_000);
  test.match(await split.read([49_999]), [{ text: 'text 49999' }]);
});

void t.test('files and columns that cannot be used', async (test) => {
  const good = 'text,label\na,x\nb,y\n';
  const cases: [name: string, content: Content, message: RegExp, overrides?: Overrides][] = [
    ['a.csv', '', /^a\.csv is empty; give a file that holds rows$/],
    ['a.csv', 'text,label\n', /a\.csv: no rows, only a header/],
    ['a.json', '[ ]', /a\.json: no rows/],
    ['a.txt', good, /^a\.txt is of an unknown format; the name must end in one of \.csv/],
    ['a.parquet.gz', good, /unknown format/],
    [
      'a.csv',
      'v1,v2\nham,hello\n',
      /no column with a usual name for the label; it has the columns "v1", "v2"; .*--label-column/,
    ],
    [
      'a.csv',
      'label,v1,v2\nx,a,b\n',
      /usual name for the text; it has the columns .*; name it with --text-column/,
    ],
    [
      'a.csv',
      'text;label\na;x\nb;y;z\n',
      /separated by a comma in \.csv and a tab in \.tsv, here it seems to be ";", but not in every row alike: write the file with commas/,
    ],
    [
      'a.tsv',
      'text;label\na;x\nb;y;z\n',
      /seems to be ";", .*: write the file with tabs, and texts in quotes/,
    ],
    ['a.csv', 'text,text,label\na,b,x\n', /has 2 columns called "text"/],
    [
      'a.csv',
      good,
      /no column "txet"; it has the columns "text", "label"; did you mean "text"\?/,
      { textColumn: 'txet' },
    ],
    ['a.csv', good, /no column "zzzzzz".*; --label-column names another/, { labelColumn: 'zzzzzz' }],
    ['a.csv', good, /no column "pair"/, { textPairColumn: 'pair' }],
    ['a.csv', good, /are both text/, { textColumn: 'text', textPairColumn: 'text' }],
    ['a.csv', 'text,label\n1,x\n2.5,y\n', /"text" of a\.csv holds only numbers; is it the text\?/],
    ['a.jsonl', '{"text":1,"label":"x"}\n{"text":2,"label":"y"}\n', /holds only numbers/],
    [
      'a.csv',
      `text,label\n${Array.from({ length: 10_001 }, (_, i) => `a,l${i}\n`).join('')}`,
      /more than 10000 different/,
    ],
  ];
  for (const [name, content, message, overrides] of cases) {
    test.match(await refusal(test, name, content, overrides), message, String(message));
  }
  const folder = folderOf(test, { 'train.csv': good, 'other.csv': 'text,class\na,x\n' });
  const refuse = (...files: string[]): Promise<string> =>
    messageOf(
      test,
      openPaths(
        test,
        files.map((file) => path.join(folder, file)),
      ),
    );
  test.match(await refuse('trian.csv'), /^trian\.csv does not exist; did you mean train\.csv\?$/);
  test.match(
    await refuse('train.csv', 'other.csv'),
    /^other\.csv has no column "label"; it has the columns "text", "class"/,
  );
  test.match(
    await messageOf(test, openPaths(test, [folder])),
    /is a folder; name the files in it, e\.g\. .*\*\.csv$/,
  );
  test.match(await messageOf(test, openPaths(test, [])), /No files were given for the train data/);
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

/** Row counts and labels as ../shared/data/<set>/README.md states them. */
const SETS: [
  file: string,
  size: number,
  problemType: string,
  labels: string[],
  counts: Record<string, number> | number,
][] = [
  [
    'trec/train.csv',
    5452,
    'single',
    ['ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM'],
    { ENTY: 1250, HUM: 1223, DESC: 1162, NUM: 896, LOC: 835, ABBR: 86 },
  ],
  [
    'trec/test.csv',
    500,
    'single',
    ['ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM'],
    { DESC: 138, NUM: 113, ENTY: 94, LOC: 81, HUM: 65, ABBR: 9 },
  ],
  ['sms-spam/train.csv', 4096, 'single', ['ham', 'spam'], { ham: 3598, spam: 498 }],
  ['sms-spam/test.csv', 1031, 'single', ['ham', 'spam'], { ham: 903, spam: 128 }],
  ['sst2/train.csv.gz', 6920, 'single', ['0', '1'], { 1: 3610, 0: 3310 }],
  ['sst2/train_phrases.csv.gz', 67349, 'single', ['0', '1'], { 1: 37569, 0: 29780 }],
  ['sst2/dev.csv', 872, 'single', ['0', '1'], { 1: 444, 0: 428 }],
  ['sst2/test.csv', 1821, 'single', ['0', '1'], { 0: 912, 1: 909 }],
  ['imdb-small/train.csv.gz', 4000, 'single', ['0', '1'], { 0: 2000, 1: 2000 }],
  ['imdb-small/test.csv.gz', 2000, 'single', ['0', '1'], { 0: 1000, 1: 1000 }],
  ['stsb/train.csv', 5749, 'regression', ['LABEL_0'], 2.7],
  ['stsb/dev.csv', 1500, 'regression', ['LABEL_0'], 2.36],
  ['stsb/test.csv', 1379, 'regression', ['LABEL_0'], 2.61],
];

void t.test(
  'the sets of shared/data',
  { skip: existsSync(SHARED) ? false : 'no shared/data here' },
  async (test) => {
    for (const [file, size, problemType, labels, counts] of SETS) {
      const split = await openPaths(test, [path.join(SHARED, file)]);
      const task = inferTask([split], { forTraining: true });
      const values = labelArray(split, task);
      test.same([split.size, task.labels], [size, labels], file);
      test.ok(task.problemType.startsWith(problemType), file);
      if (typeof counts === 'number') {
        test.same(split.columns, { text: 'text_a', textPair: 'text_b', label: 'label' }, file);
        test.ok(Math.abs(sum(values) / size - counts) < 0.006, `${file}: mean`);
      } else {
        const found = labels.map(
          (name, id) => [name, values.filter((value) => value === id).length] as const,
        );
        test.same(Object.fromEntries(found), counts, `${file}: rows of each label`);
      }
    }
    const emotions = readFileSync(path.join(SHARED, 'goemotions/labels.txt'), 'utf8').trim().split('\n');
    for (const [file, size, sets, manyLabelled] of [
      ['train.csv.gz', 43410, 711, 7102],
      ['dev.csv', 5426, 296, 878],
      ['test.csv', 5427, 275, 837],
    ] as const) {
      const name = path.join(SHARED, 'goemotions', file);
      test.equal(
        (await openPaths(test, [name])).labelValues.length,
        sets,
        `${file}: distinct label sets, read as one name`,
      );
      const split = await openPaths(test, [name], { problemType: MULTI });
      const task = inferTask([split], { labelList: emotions });
      const hot = labelArray(split, task);
      const perRow = Array.from({ length: split.size }, (_, row) =>
        sum(hot.subarray(row * 28, row * 28 + 28)),
      );
      test.same([split.size, task.numLabels, split.labelValues.length], [size, 28, 28], file);
      test.equal(
        perRow.filter((count) => count > 1).length,
        manyLabelled,
        `${file}: rows with several labels`,
      );
    }
  },
);
