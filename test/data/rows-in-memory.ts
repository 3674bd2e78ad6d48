// Rows that a script gives to loadDataset. Expected: what a file with the same rows gives.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { loadDataset, type Rows } from '../../dist/index.js';
import { messageOf } from '../fixtures/splits.js';

const ROWS = Array.from({ length: 250 }, (_, i) => ({
  id: i,
  text: `row ${i}`,
  label: i % 3 === 0 ? 'good' : 'bad',
}));

function* generated(): Generator<(typeof ROWS)[number]> {
  yield* ROWS;
}

async function* awaited(): AsyncGenerator<(typeof ROWS)[number]> {
  yield* ROWS;
}

/** As some drivers do: one object, filled again for each row. */
async function* reused(): AsyncGenerator<{ text: string; label: string }> {
  const row = { text: '', label: '' };
  for (const { text, label } of ROWS) yield Object.assign(row, { text, label });
}

void t.test('arrays, generators and streams of objects give the rows of a file', async (test) => {
  const file = path.join(test.testdir(), 'a.jsonl');
  writeFileSync(file, ROWS.map((row) => JSON.stringify(row)).join('\n'));
  const fromFile = await loadDataset({ train: file }, { validationSplit: 0.2, seed: 3 });
  const all = Array.from({ length: fromFile.train.size }, (_, row) => row);
  const expected = await fromFile.train.read(all);
  const digests = new Set<string>();
  const sources: [string, () => Rows<{ text: string; label: string }>][] = [
    ['an array', () => ROWS],
    ['a set', () => new Set(ROWS)],
    ['a generator', generated],
    ['an async generator', awaited],
    ['a stream of objects', () => Readable.from(ROWS)],
    ['one object for all', reused],
  ];
  for (const [name, rows] of sources) {
    const data = await loadDataset({ train: rows() }, { validationSplit: 0.2, seed: 3 });
    test.same(await data.train.read(all), expected, name);
    test.same([data.task.labels, data.validation.size], [['bad', 'good'], 50], name);
    test.match(
      await data.train.read([7, 3]),
      { labels: fromFile.train.labels([7, 3]) },
      'again, in any order',
    );
    test.equal(data.train.place(0), fromFile.train.place(0).replace(/^.*a\.jsonl line/, 'train row'));
    digests.add((await data.train.identity()).files);
    await data.close();
  }
  test.equal(digests.size, 1, 'a resumed run knows them again');
  const other = await loadDataset({ train: ROWS.map((row) => ({ ...row, text: `${row.text}.` })) });
  test.notOk(digests.has(await other.train.split.digest()));
  await Promise.all([fromFile.close(), other.close()]);
});

void t.test('columns are typed, and values are read as those of files', async (test) => {
  class Decimal {
    toJSON(): string {
      return '1.5';
    }
  }
  const typed = await loadDataset(
    {
      train: [
        { words: 'a', scores: Float32Array.of(0.25, 0.75), at: new Date(0), n: 2n ** 60n },
        { words: 'b', scores: Float32Array.of(1, 0), at: new Date(1), n: 1n },
      ],
      test: [{ words: 'c', scores: Float32Array.of(0, 1), at: new Date(2), n: 2n }],
    },
    { textColumn: 'words', labelColumn: 'scores', softLabels: true, labelList: ['x', 'y'] },
  );
  test.same(Array.from(typed.train.labels([0, 1])), [0.25, 0.75, 1, 0]);
  test.equal(typed.test.size, 1);
  await typed.close();
  // @ts-expect-error there is no such column
  await test.rejects(loadDataset({ train: ROWS }, { textColumn: 'txt' }), {
    message: 'train has no column "txt"; it has the columns "id", "text", "label"; did you mean "text"?',
  });
  const scores = await loadDataset({
    train: [
      { text: 'a', label: new Decimal() },
      { text: 'b', label: 2.5 },
    ],
  });
  test.equal(scores.task.problemType, 'regression');
  await scores.close();
  const numbers = await loadDataset({ train: [1n, 0n, 1n].map((label) => ({ text: 'a', label })) });
  test.same(numbers.task.labels, ['0', '1']);
  await numbers.close();
});

void t.test('the same faults as in files', async (test) => {
  const bad = [
    { text: 'a', label: 'x' },
    { text: '', label: 'x' },
    { text: 'c', label: null },
    { text: 7, label: 'y' },
  ];
  test.equal(
    await messageOf(test, loadDataset({ train: bad })),
    'The train data have 3 bad rows:' +
      '\n  train row 2, column "text": the text is empty' +
      '\n  train row 3, column "label": the label is missing' +
      '\n  train row 4, column "text": expected text but found a number' +
      '\nCorrect them, or leave them out with badRows skip',
  );
  const skipped = await loadDataset({ train: [...bad, { text: 'd', label: 'y' }] }, { badRows: 'skip' });
  test.equal(skipped.train.size, 2);
  test.equal(skipped.train.split.badRows.count, 3);
  await skipped.close();
  test.match(
    await messageOf(test, loadDataset({ train: [['a', 'x']] })),
    'train row 1: expected an object such as { text: "...", label: "..." }',
  );
  const used = generated();
  Array.from(used);
  test.match(
    await messageOf(test, loadDataset({ train: used })),
    /^The train data have no rows; was a generator or a cursor read before\?/,
  );
  const broken = Readable.from(
    (function* rows() {
      yield { text: 'a', label: 'x' };
      throw new Error('connection lost');
    })(),
  );
  await test.rejects(loadDataset({ train: broken }), { message: 'connection lost' });
  for (const [source, message] of [
    [{ train: [] }, 'No rows and no files were given for train: the list is empty'],
    [{ train: '' }, 'No data were given: name a hub data set, files or rows'],
    [{ train: bad, valid: bad }, '"valid" is no split; did you mean validation?'],
    [{ training: bad }, '"training" is no split; there are train, validation, test'],
    [bad, /^Expected the name of a hub data set, or files or rows by split, such as \{ train: rows \}/],
  ] as const) {
    const load = loadDataset as (source: unknown) => Promise<never>;
    test.match(await messageOf(test, load(source)), message);
  }
  test.match(
    await messageOf(test, loadDataset({ train: Readable.from([Buffer.from('{"text":"a"}')]) })),
    'train row 1: expected an object such as { text: "...", label: "..." }',
  );
  test.match(
    await messageOf(test, loadDataset({ train: [{ text: 'a', label: new Date(0) }] })),
    'expected a string or a number but found a date',
  );
});

// A driver gives a BLOB as a Buffer, an object mapper a model with its row as JSON.
void t.test('bytes are texts, and models are rows', async (test) => {
  const rows = ROWS.slice(0, 4).map(({ text, label }) => ({
    text: Buffer.from(`${text} é`),
    label: Buffer.from(label),
  }));
  const data = await loadDataset({ train: rows });
  test.same(data.task.labels, ['bad', 'good']);
  test.equal((await data.train.read([1])).examples[0]?.text, 'row 1 é');
  await data.close();
  const cells = [Buffer.of(1, 0), Buffer.of(0, 1), Buffer.of(0xff, 0xfe)];
  test.match(
    await messageOf(test, loadDataset({ train: cells.map((label) => ({ text: 'a', label })) })),
    /row 3, column "label": expected a string or a number but found bytes that are no text/,
  );
  const models = ROWS.slice(0, 4).map((row) => ({ $dirty: false, toJSON: () => row }));
  const mapped = await loadDataset({ train: models });
  test.same([mapped.train.size, mapped.task.labels], [4, ['bad', 'good']]);
  await mapped.close();
});

void t.test('whatever goes wrong, the rows are closed', async (test) => {
  const row = { text: 'a', label: 'x' };
  for (const [what, last, options, message] of [
    ['a bad row', { text: '', label: 'x' }, {}, /^The train data have at least 10 bad rows/],
    ['no such column', row, { textColumn: 'body' }, /^train has no column "body"/],
    ['no usual names', { a: 1 }, {}, /^train has no columns with usual names/],
  ] as const) {
    let isClosed = false;
    const cursor = (function* rows() {
      try {
        for (let i = 0; i < 1000; i++) yield what === 'a bad row' && i < 100 ? row : last;
      } finally {
        isClosed = true;
      }
    })();
    test.match(
      await messageOf(test, loadDataset({ train: cursor as Rows<{ body: string }> }, options)),
      message,
    );
    test.ok(isClosed, what);
  }
});

void t.test('what are no rows is named', async (test) => {
  for (const [given, message] of [
    [{ train: null }, /for train.* null$/],
    [{ train: 5 }, /for train.* 5$/],
    [{ train: [{ text: 'a', label: 'x' }], validation: null }, /for validation.* null$/],
    [null, /^Expected the name of a hub data set, or files or rows by split, .* for the data/],
  ] as const)
    test.match(await messageOf(test, loadDataset(given as unknown as { train: Rows })), message);
  const self: unknown[] = [];
  self.push(self);
  const ring: Record<string, unknown> = {};
  ring['ring'] = ring;
  for (const label of [self, ring]) {
    const rows = [
      { text: 'a', label: 'x' },
      { text: 'b', label },
    ];
    test.match(
      await messageOf(test, loadDataset({ train: rows })),
      /train row 2: a value is no JSON: Converting circular structure to JSON\n/,
    );
    const beside = rows.map((row) => ({ text: row.text, label: row.text, notes: row.label }));
    const data = await loadDataset({ train: beside });
    test.equal(data.train.size, 2, 'in a column that is not read');
    await data.close();
  }
});
