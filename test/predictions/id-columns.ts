// Columns of the data that `predict` carries over, such as an id: from every kind of file, into every format.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { parquetReadObjects, parquetMetadata } from 'hyparquet';
import t from 'tap';

import { BertForSequenceClassification, BertTokenizer, parseBertConfig } from '../../dist/index.js';
import { openSplit } from '../../dist/data/index.js';
import type { PassthroughColumn, PredictedRow } from '../../dist/predictions/table.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

const folder = t.testdir();
const ROWS = 41; // six batches of 8, so that some are made ready ahead of others
const texts = Array.from({ length: ROWS }, (_, row) => toyRow(row).text);
const task = {
  problemType: 'single_label_classification' as const,
  labels: ['neg', 'pos'],
  numLabels: 2,
};

/** A file of predictions, made as the command makes it. */
function written(
  format: string,
  passthrough: readonly PassthroughColumn[],
  rows: readonly PredictedRow[],
): Buffer {
  const script = fileURLToPath(new URL('../fixtures/write-predictions.mjs', import.meta.url));
  const output = execFileSync(process.execPath, [script], {
    input: JSON.stringify({ format, rows, task, batchSize: 2, passthrough }),
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
  });
  return Buffer.concat((JSON.parse(output) as string[]).map((piece) => Buffer.from(piece, 'base64')));
}

const arrayBuffer = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

async function parquetRows(bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({ file: arrayBuffer(bytes) });
}

await t.test('every kind of value in every format', async (t) => {
  const passthrough: PassthroughColumn[] = [
    { name: 'id', kind: 'integer' },
    { name: 'weight', kind: 'number' },
    { name: 'seen', kind: 'boolean' },
    { name: 'key', kind: 'text' },
    { name: 'tags', kind: 'json' },
  ];
  const values = [
    [7, 0.5, true, '007', ['a', 1]],
    [-9007199254740991, 2, false, 'a "b", c\nd', 'plain'],
    [null, null, null, null, null],
  ];
  const rows = values.map((own, row) => ({
    row,
    label: 'pos',
    score: 0.5,
    probabilities: { neg: 0.5, pos: 0.5 },
    passthrough: own,
  }));
  const lines = written('jsonl', passthrough, rows).toString().trimEnd().split('\n');
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const names = ['row', 'id', 'weight', 'seen', 'key', 'tags', 'label', 'score', 'probabilities'];
  for (const [row, object] of objects.entries()) {
    t.same(Object.keys(object), names);
    t.same(Object.values(object).slice(0, 6), [row].concat(values[row] as never));
  }
  const csv: string[][] = parse(written('csv', passthrough, rows));
  t.same(csv[0]?.slice(0, 7), ['row', 'id', 'weight', 'seen', 'key', 'tags', 'label']);
  t.same(
    csv.slice(1).map((cells) => cells.slice(1, 6)),
    [
      ['7', '0.5', 'true', '007', '["a",1]'],
      ['-9007199254740991', '2', 'false', 'a "b", c\nd', 'plain'],
      ['', '', '', '', ''],
    ],
  );
  const parquet = written('parquet', passthrough, rows);
  t.same(
    (await parquetRows(parquet)).map(({ id, weight, seen, key, tags }) => [id, weight, seen, key, tags]),
    [
      [7n, 0.5, true, '007', '["a",1]'],
      [-9007199254740991n, 2, false, 'a "b", c\nd', 'plain'],
      [null, null, null, null, null],
    ],
  );
  const types = parquetMetadata(arrayBuffer(parquet)).schema.map(({ name, type }) => [name, type]);
  t.same(types.slice(2, 7), [
    ['id', 'INT64'],
    ['weight', 'DOUBLE'],
    ['seen', 'BOOLEAN'],
    ['key', 'BYTE_ARRAY'],
    ['tags', 'BYTE_ARRAY'],
  ]);
});

makeToy(folder, { train: 1, test: 1 });
const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), task);
await model.savePretrained(join(folder, 'trained'));
await model.close();
await (await BertTokenizer.fromPretrained(join(folder, 'model'))).savePretrained(join(folder, 'trained'));

function predict(options: Options): Promise<Outcome> {
  const cheap = { threads: '1', 'dataloader-num-workers': '1', 'per-device-eval-batch-size': '8' };
  return bertune(['predict', ...flags({ ...cheap, model: 'trained', ...options })], { cwd: folder });
}

function write(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

/** The values of a column in the JSON Lines of an outcome. */
function column({ stdout, stderr, code }: Outcome, name: string): unknown[] {
  if (code !== 0) throw new Error(stderr);
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as Record<string, unknown>)[name]);
}

const ids = texts.map((_, row) => `00${row}`);
const csv = ['id,text,label', ...texts.map((text, row) => `${ids[row]},${text},l${row}`), ''].join('\n');
const records = texts.map((text, row) => ({ text, id: row * 3, ...(row % 2 === 0 && { note: [row] }) }));

await t.test('from every kind of file, in the order of the rows', async (t) => {
  for (const name of [write('in.csv', csv), write('in.csv.gz', gzipSync(csv))]) {
    const outcome = await predict({ 'test-file': name, 'id-column': ['id', 'label'] });
    t.same(column(outcome, 'id'), ids, `${name}: as written`);
    t.same(
      column(outcome, 'input_label'),
      texts.map((_, row) => `l${row}`),
      'a name that predictions have is distinguished',
    );
    t.match(outcome.stderr, /text from "text", carried over "id", "label"/);
    t.ok(column(outcome, 'label').every((label) => label === 'neg' || label === 'pos'));
  }
  const lines = records.map((record) => `${JSON.stringify(record)}\n`).join('');
  for (const name of [write('in.jsonl', lines), write('in.json', JSON.stringify(records))]) {
    const outcome = await predict({ 'test-file': name, 'id-column': ['id', 'note'], stride: '2' });
    t.same(
      column(outcome, 'id'),
      records.map(({ id }) => id),
      `${name}: numbers stay numbers`,
    );
    t.same(
      column(outcome, 'note'),
      records.map(({ note }) => note ?? null),
    );
  }
  // What was written can be read, with integers as integers again.
  const outcome = await predict({ 'test-file': 'in.jsonl', 'id-column': 'id', 'output-file': 'out.parquet' });
  t.equal(outcome.code, 0, outcome.stderr);
  const read = await parquetRows(readFileSync(join(folder, 'out.parquet')));
  t.same(
    read.map(({ row, id }) => [row, id]),
    records.map(({ id }, row) => [BigInt(row), BigInt(id)]),
  );
  const again = await predict({
    'test-file': 'out.parquet',
    'text-column': 'label',
    'id-column': ['id', 'probability_pos'],
    'output-format': 'csv',
  });
  t.equal(again.code, 0, again.stderr);
  const cells: Record<string, string>[] = parse(again.stdout, { columns: true });
  t.same(
    cells.map((row) => [row['id'], row['input_probability_pos']]),
    read.map((row) => [String(row['id']), String(row['probability_pos'])]),
  );
});

await t.test('with rows left out, and of several files', async (t) => {
  write('holes.csv', 'id,text\na,good film\nb,\nc,bad film\n');
  write('more.csv', 'text,id\nthe plot,d\n');
  const outcome = await predict({
    'test-file': ['holes.csv', 'more.csv'],
    'id-column': 'id',
    'bad-rows': 'skip',
  });
  t.same(column(outcome, 'id'), ['a', 'c', 'd']);
  t.same(column(outcome, 'place'), ['holes.csv line 2', 'holes.csv line 4', 'more.csv line 2']);
});

await t.test('what all values of a column are', async (t) => {
  const kindsOf = async (rows: readonly Record<string, unknown>[]): Promise<string | undefined> => {
    const path = join(folder, write('kinds.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
    const split = await openSplit({
      name: 'test',
      files: [path],
      needsLabels: false,
      passthroughColumns: ['k'],
    });
    await split.close();
    return split.passthrough[0]?.kind;
  };
  const rows = (values: unknown[]) => values.map((k) => ({ text: 'film', k }));
  t.equal(await kindsOf(rows([1, 2, null])), 'integer');
  t.equal(await kindsOf(rows([1, 2.5])), 'number');
  t.equal(await kindsOf(rows([true, false])), 'boolean');
  t.equal(await kindsOf(rows(['1', '2'])), 'text');
  t.equal(await kindsOf(rows([null, null])), 'text');
  t.equal(await kindsOf(rows([1, '2'])), 'json');
  t.equal(await kindsOf(rows([{ a: 1 }])), 'json');
});

await t.test('what cannot be carried over', async (t) => {
  write('large.jsonl', '{"text":"film","id":1}\n{"text":"film","id":12345678901234567890}\n');
  write('both.csv', 'text,label,input_label\nfilm,a,b\n');
  const refusals: [Options, RegExp][] = [
    [{ 'test-file': 'in.csv', 'id-column': 'ID' }, /in\.csv has no column "ID".*did you mean "id"\?/],
    [{ 'test-file': 'in.jsonl', 'id-column': 'zzzzzz' }, /no column "zzzzzz".*--id-column names another/],
    [
      { 'test-file': 'large.jsonl', 'id-column': 'id' },
      /large\.jsonl line 2.*id.*12345678901234567000 is too large to be kept to the last digit; write it as a string/s,
    ],
    [
      { 'test-file': 'both.csv', 'id-column': ['label', 'input_label'] },
      /--id-column gives the predictions two columns called "input_label"/,
    ],
    [{ 'test-file': 'in.csv', 'id-column': true }, /--id-column needs a value/],
  ];
  for (const [options, message] of refusals) {
    const outcome = await predict(options);
    t.equal(outcome.code, 2, outcome.stderr);
    t.match(outcome.stderr, message);
    t.equal(outcome.stdout, '');
  }
  const elsewhere = await bertune(['train', '--id-column', 'id'], { cwd: folder });
  t.match(elsewhere.stderr, /--id-column/);
  t.equal(elsewhere.code, 2);
});
