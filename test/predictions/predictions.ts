// Files of predictions: each format read back, and the command that writes them from every kind of input.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import t, { type Test } from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  parseBertConfig,
  type TaskDescription,
} from '../../dist/index.js';
import type { FormatName } from '../../dist/predictions/formats.js';
import type { PredictedRow } from '../../dist/predictions/table.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

const folder = t.testdir();
const here = { cwd: folder };
const AWKWARD = ['plain', 'a, b', 'say "hi"', 'two\nlines', ' spaced ', 'Größe 😀', '=1+1'];

function contentOf(
  format: FormatName,
  rows: readonly PredictedRow[],
  task: TaskDescription,
  batchSize = 3,
): { bytes: Buffer; pieces: number } {
  const script = fileURLToPath(new URL('../fixtures/write-predictions.mjs', import.meta.url));
  const output = execFileSync(process.execPath, [script], {
    input: JSON.stringify({ format, rows, task, batchSize }),
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const pieces = JSON.parse(output) as string[];
  return { bytes: Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64'))), pieces: pieces.length };
}

function probabilitiesOf(labels: readonly string[], row: number): Record<string, number> {
  return Object.fromEntries(labels.map((label, id) => [label, ((row * 7 + id * 3) % 11) / 11]));
}

/** The bytes in a buffer of their own. */
function arrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

async function parquetRows(bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = await parquetReadObjects({ file: arrayBuffer(bytes) });
  return rows.map((row) => Object.assign(row, { row: Number(row['row']) }));
}

interface Case {
  task: TaskDescription;
  labelOf: (row: number) => PredictedRow['label'];
}

const single: Case = {
  task: { problemType: 'single_label_classification', labels: AWKWARD },
  labelOf: (row) => AWKWARD[row % AWKWARD.length] ?? '',
};
const several: Case = {
  task: { problemType: 'multi_label_classification', labels: AWKWARD },
  labelOf: (row) => AWKWARD.filter((_, id) => (row >> id) % 2 === 1),
};
const value: Case = {
  task: { problemType: 'regression', labels: ['LABEL_0'] },
  labelOf: (row) => row / 3,
};
const values: Case = {
  task: { problemType: 'regression', labels: ['LABEL_0', 'LABEL_1'] },
  labelOf: (row) => [row / 3, -row],
};

function rowsOf({ task, labelOf }: Case, count: number): PredictedRow[] {
  const isNumber = task.problemType === 'regression';
  return Array.from({ length: count }, (_, row) => ({
    row,
    place: `a, "b".csv line ${row + 2}`,
    label: labelOf(row),
    score: row / 7,
    probabilities: isNumber ? {} : probabilitiesOf(task.labels, row),
  }));
}

/** A row as the columns of a table. */
function flat({ probabilities, ...row }: PredictedRow): Record<string, unknown> {
  const named = Object.entries(probabilities).map(([label, value]) => [`probability_${label}`, value]);
  return { ...row, ...Object.fromEntries(named) };
}

/** A row as a CSV file has it; a label that a spreadsheet would compute has an apostrophe before it. */
function asText(row: PredictedRow): Record<string, string> {
  const cells = Object.entries(flat(row));
  return Object.fromEntries(
    cells.map(([column, cell]) => [
      column,
      inert(column, Array.isArray(cell) ? cell.join('|') : String(cell)),
    ]),
  );
}

function inert(column: string, text: string): string {
  return column === 'label' && text.startsWith('=') ? `'${text}` : text;
}

for (const [name, { task, labelOf }] of Object.entries({ single, several, value, values })) {
  await t.test(`${name}: what is written is read back`, async (t) => {
    const rows = rowsOf({ task, labelOf }, 20);
    const lines = contentOf('jsonl', rows, task).bytes.toString().trimEnd().split('\n');
    t.same(
      lines.map((line) => JSON.parse(line)),
      rows,
      'JSON Lines',
    );

    const csv = contentOf('csv', rows, task).bytes;
    t.same(parse(csv, { columns: true }), rows.map(asText), 'CSV');

    const parquet = contentOf('parquet', rows, task).bytes;
    t.same(await parquetRows(parquet), rows.map(flat), 'Parquet');
    checkWithPyarrow(t, name, parquet, rows);
  });
}

await t.test('labels that are signs alone are no formulas', (t) => {
  const labels = ['+', '-', '--', '+1', '=', '+a', '-a|+'];
  const task: TaskDescription = { problemType: 'single_label_classification', labels };
  const rows = rowsOf({ task, labelOf: (row) => labels[row] ?? '' }, labels.length);
  const written: { label: string }[] = parse(contentOf('csv', rows, task).bytes, { columns: true });
  t.same(
    written.map(({ label }) => label),
    ['+', '-', '--', '+1', '=', "'+a", "'-a|+"],
  );
  const signs: TaskDescription = { problemType: 'multi_label_classification', labels: ['+', '-'] };
  const both = rowsOf({ task: signs, labelOf: () => ['+', '-'] }, 1);
  t.match(parse(contentOf('csv', both, signs).bytes, { columns: true }), [{ label: '+|-' }]);
  t.end();
});

/** pyarrow is the reader that most files of this format meet. */
function checkWithPyarrow(test: Test, name: string, bytes: Uint8Array, rows: readonly PredictedRow[]): void {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return test.comment('BERTUNE_PYTHON is not set: not read with pyarrow');
  const path = join(folder, `${name}.parquet`);
  writeFileSync(path, bytes);
  const script = fileURLToPath(new URL('../../scripts/reference/check_predictions.py', import.meta.url));
  const read = JSON.parse(execFileSync(python, [script, path], { encoding: 'utf8' })) as {
    types: Record<string, string>;
    rows: unknown[];
  };
  const types: Record<string, string> = {
    single: 'string',
    several: 'list<element: string not null>',
    value: 'double',
    values: 'list<element: double not null>',
  };
  test.match(read.types, { row: 'int64', place: 'string', label: types[name], score: 'double' });
  test.same(read.rows, rows.map(flat), 'pyarrow reads the same');
}

await t.test('no more is held than a row group', async (t) => {
  const { task } = single;
  const rows = rowsOf(single, 50_000);
  const { bytes, pieces } = contentOf('parquet', rows, task, 1);
  const { row_groups: groups } = parquetMetadata(arrayBuffer(bytes));
  t.same(
    groups.map(({ num_rows: count }) => Number(count)),
    [18_182, 18_182, 13_636],
    '200,000 cells of 11 columns',
  );
  t.equal(pieces, 4, 'a piece for each row group, and the footer');
  const csv = contentOf('csv', rows, task, 1000);
  t.equal(csv.pieces, 51, 'a piece for each batch, and the header');
});

/** Saves a model with random weights that have made up their mind. */
async function saveModel(name: string, task: Pick<TaskDescription, 'labels' | 'problemType'>): Promise<void> {
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, name), task);
  await model.savePretrained(join(folder, name));
  await model.close();
  await (await BertTokenizer.fromPretrained(join(folder, 'model'))).savePretrained(join(folder, name));
}

const inputs = Array.from({ length: 21 }, (_, row) => toyRow(row).text);

/** The same texts in every kind of file. */
function writeInputs(): string[] {
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return name;
  };
  const records = inputs.map((text) => ({ text }));
  const { task } = single;
  const labelled = inputs.map((label, row) => ({ row, label, score: 1, probabilities: {} }));
  return [
    write('in.csv', ['text', ...inputs, ''].join('\n')),
    write('in.tsv', ['text\tother', ...inputs.map((text) => `${text}\tx`), ''].join('\n')),
    write('in.jsonl', records.map((record) => `${JSON.stringify(record)}\n`).join('')),
    write('in.json', JSON.stringify(records)),
    write('in.parquet', contentOf('parquet', labelled, { ...task, labels: [] }).bytes),
  ];
}

function predict(options: Options): Promise<Outcome> {
  const cheap = { threads: '1', 'dataloader-num-workers': '0' };
  return bertune(
    ['predict', ...flags({ ...cheap, model: 'single', 'test-file': 'in.csv', ...options })],
    here,
  );
}

await t.test('bertune predict', async (t) => {
  makeToy(folder, { train: 1, test: 1 });
  await saveModel('single', { problemType: 'single_label_classification', labels: ['n, o', 'yes'] });
  const files = writeInputs();

  const toStdout = await predict({});
  t.equal(toStdout.code, 0, toStdout.stderr);
  const rows = toStdout.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PredictedRow);
  t.same(
    rows.map(({ row }) => row),
    inputs.map((_, row) => row),
    'in the order of the rows',
  );

  await t.test('every kind of input', async (t) => {
    for (const file of files) {
      const column = file === 'in.parquet' ? 'label' : 'text';
      const outcome = await predict({ 'test-file': file, 'text-column': column });
      t.equal(outcome.stdout, toStdout.stdout, file);
    }
  });

  await t.test('quotes that are characters', async (t) => {
    writeFileSync(join(folder, 'quotes.tsv'), 'text\tid\n"Stop\t1\nand " go\t2\n');
    const outcome = await predict({ 'test-file': 'quotes.tsv', quoting: 'none' });
    t.equal(outcome.stdout.trimEnd().split('\n').length, 2, outcome.stderr);
    t.match((await predict({ 'test-file': 'quotes.tsv' })).stderr, /line 2: text follows the quote/);
  });

  await t.test('every format', async (t) => {
    for (const [file, more] of [
      ['out.csv', {}],
      ['out.CSV', {}],
      ['table', { 'output-format': 'csv' }],
    ] as const) {
      const outcome = await predict({ 'output-file': file, ...more });
      t.equal(outcome.code, 0, outcome.stderr);
      const read: Record<string, string>[] = parse(readFileSync(join(folder, file)), { columns: true });
      t.same(read, rows.map(asText));
    }
    const printed = await predict({ 'output-format': 'csv' });
    t.equal(printed.stdout, readFileSync(join(folder, 'out.csv'), 'utf8'), 'CSV on standard output');
    await predict({ 'output-file': 'out.parquet' });
    const read = await parquetRows(readFileSync(join(folder, 'out.parquet')));
    t.same(read, rows.map(flat));
    await predict({ 'output-file': 'out.ndjson' });
    t.equal(readFileSync(join(folder, 'out.ndjson'), 'utf8'), toStdout.stdout);
  });

  await t.test('what cannot be', async (t) => {
    const untouched = 'text\nthe film\n';
    writeFileSync(join(folder, 'in.csv'), untouched);
    const refusals: [Options, RegExp][] = [
      [
        { 'output-file': 'out.tsv' },
        /^bertune: --output-file out\.tsv has an ending that names no format; end it in /,
      ],
      [
        { 'output-file': 'out.csv.gz' },
        /^bertune: --output-file out\.csv\.gz has an ending that names no format/,
      ],
      [
        { 'output-format': 'xml' },
        /^bertune: Expected one of jsonl, csv, parquet, table for --output-format but received "xml"/,
      ],
      [{ 'output-format': 'parquet' }, /^bertune: --output-format parquet needs --output-file: /],
      [
        { 'test-file': 'in.csv', 'output-file': './in.csv' },
        /^bertune: --output-file \.\/in\.csv is in\.csv, a file with the rows; name another one$/m,
      ],
      [{ 'output-file': folder, 'output-format': 'parquet' }, /is a folder; name the file to write/],
    ];
    for (const [options, message] of refusals) {
      const outcome = await predict(options);
      t.equal(outcome.code, 2);
      t.match(outcome.stderr, message);
      t.equal(outcome.stderr.trimEnd().split('\n').length, 1, 'one line');
    }
    t.notOk(existsSync(join(folder, 'out.tsv')));
    t.equal(readFileSync(join(folder, 'in.csv'), 'utf8'), untouched);
  });

  await t.test('a full disk', { skip: !existsSync('/dev/full') && 'no /dev/full' }, async (t) => {
    for (const format of ['jsonl', 'csv', 'parquet']) {
      const outcome = await predict({ 'output-file': '/dev/full', 'output-format': format });
      t.equal(outcome.code, 1, format);
      t.match(outcome.stderr, /Could not write \/dev\/full: the disk is full; free some space/);
    }
  });
});
