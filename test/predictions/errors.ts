// The rows of an evaluation by their losses: values of torch's functional losses, order, and what is written.
import { Readable } from 'node:stream';
import { parse } from 'csv-parse/sync';
import t from 'tap';

import { asRows, readStandardInput } from '../../dist/commands/standard-input.js';
import { goldOfRow, meanLoss, WorstFirst, type EvaluatedRow } from '../../dist/predictions/errors.js';
import { FormulaGuard } from '../../dist/predictions/table.js';
import { asTask } from '../../dist/tasks/index.js';

const single = asTask({ problemType: 'single_label_classification', labels: ['neg', 'pos', 'mid'] });
const multi = asTask({ problemType: 'multi_label_classification', labels: ['a', 'b'] });
const number = asTask({ problemType: 'regression', labels: ['LABEL_0'] });

t.test('the loss of a row is that of torch', (t) => {
  const near = (actual: number, expected: number): void =>
    void t.ok(Math.abs(actual - expected) < 1e-5, `${actual}`);
  // F.cross_entropy(tensor([[1., 2., 0.5]]), tensor([0])) and with the target [0.2, 0.5, 0.3]
  near(meanLoss(single, Float32Array.of(1, 2, 0.5), Int32Array.of(0)), 1.464369);
  near(meanLoss(single, Float32Array.of(1, 2, 0.5), Float32Array.of(0.2, 0.5, 0.3)), 1.114369);
  // F.binary_cross_entropy_with_logits(tensor([[1., -2.]]), tensor([[0., 1.]]))
  near(meanLoss(multi, Float32Array.of(1, -2), Float32Array.of(0, 1)), 1.720095);
  // F.mse_loss(tensor([[2.5]]), tensor([[1.]]))
  near(meanLoss(number, Float32Array.of(2.5), Float32Array.of(1)), 2.25);
  t.same(goldOfRow(single, Int32Array.of(2)), 'mid');
  t.same(goldOfRow(single, Float32Array.of(0.2, 0.5, 0.3)), 'pos', 'the likeliest');
  t.same(goldOfRow(multi, Float32Array.of(1, 1)), ['a', 'b']);
  t.same(goldOfRow(number, Float32Array.of(1.5)), 1.5);
  t.end();
});

const rows: EvaluatedRow[] = Array.from({ length: 700 }, (_, row) => ({
  text: row === 5 ? '=1+1, "quoted"\nline' : `text ${row}`,
  gold: row % 2 === 0 ? 'neg' : '+',
  predicted: 'neg',
  score: 0.5,
  loss: row === 9 ? Number.NaN : (row * 37) % 101,
  row,
}));
const inOrder = rows.toSorted(
  (a, b) => (Number.isNaN(b.loss) ? -1 : b.loss) - (Number.isNaN(a.loss) ? -1 : a.loss) || a.row - b.row,
);

async function written(format: 'csv' | 'jsonl', guard: FormulaGuard): Promise<string> {
  const errors = await WorstFirst.create({ format, guard, hasPairs: false });
  for (const row of rows) errors.add(row);
  const pieces: Buffer[] = [];
  for await (const piece of errors.pieces()) pieces.push(Buffer.from(piece));
  await errors.close();
  return Buffer.concat(pieces).toString();
}

t.test('the largest loss first, rows without a label last, equal ones in their order', async (t) => {
  const guard = new FormulaGuard(true);
  const table: Record<string, string>[] = parse(await written('csv', guard), { columns: true });
  t.same(Object.keys(table[0] ?? {}), ['text', 'gold', 'predicted', 'score', 'loss', 'row']);
  t.same(
    table.map(({ row }) => Number(row)),
    inOrder.map(({ row }) => row),
  );
  t.equal(table.find(({ row }) => row === '5')?.['text'], '\'=1+1, "quoted"\nline');
  t.match(guard.notes(), [/^note: 1 text like a formula .* --no-formula-guard writes texts as they are$/]);

  const plain = new FormulaGuard(false);
  const unguarded: Record<string, string>[] = parse(await written('csv', plain), { columns: true });
  t.equal(unguarded.find(({ row }) => row === '5')?.['text'], '=1+1, "quoted"\nline');
  t.same(plain.notes(), []);

  const lines = (await written('jsonl', guard)).trimEnd().split('\n');
  const { loss, ...first } = inOrder[0] ?? { loss: 0 };
  t.same(JSON.parse(lines[0] ?? ''), { ...first, loss });
  t.equal((JSON.parse(lines.at(-1) ?? '') as EvaluatedRow).loss, null, 'of the row without a label');
});

t.test('labels are guarded, and no note is made of them', (t) => {
  const guard = new FormulaGuard(true);
  t.same(
    ['=A1', '+', '-5', '@user'].map((label) => guard.label(label)),
    ["'=A1", '+', '-5', "'@user"],
  );
  t.same(guard.notes(), []);
  t.end();
});

async function read(input: readonly (string | Buffer)[], textColumn?: string): Promise<[string, boolean]> {
  const options = textColumn === undefined ? {} : { textColumn };
  const { rows, hasColumns } = await readStandardInput(
    Readable.from(input.map((piece) => Buffer.from(piece))),
    options,
  );
  let all = '';
  for await (const row of rows) all += row;
  return [all, hasColumns];
}

t.test('standard input: a text a line, or JSON', async (t) => {
  const euro = Buffer.from('5 €\n');
  t.same(await read(['one\r\ntw', 'o\n\n', euro.subarray(0, 3), euro.subarray(3)], 'review'), [
    '{"review":"one"}\n{"review":"two"}\n{"review":""}\n{"review":"5 €"}\n',
    false,
  ]);
  t.same(await read(['\ufeffone']), ['{"text":"one"}\n', false], 'no byte order mark');
  t.same(await read(['[sic] a text\n{no JSON}\n']), [
    '{"text":"[sic] a text"}\n{"text":"{no JSON}"}\n',
    false,
  ]);
  for (const json of [
    '{"text":"a"}\n{"text":"b"}\n',
    '\n[\n{"text":"a"}]\n',
    '[{"text":"a"},\n{"text":"b"}]\n',
    '{\n"text": "a"\n}\n',
  ])
    t.same(await read([json]), [json, true]);
  await t.rejects(read(['', '\n']), { name: 'UsageError', message: /^standard input is empty/ });
  await t.rejects(read([Buffer.from([0x61, 0xe9, 0x0a])]), {
    name: 'UsageError',
    message: /is not UTF-8; read it with encoding/,
  });
  const long = readStandardInput(Readable.from([Buffer.from('x'.repeat(5000))]), { maxRowBytes: 1024 });
  await t.rejects(long, { message: /longer than maxRowBytes, 1024/ });
  let texts = '';
  for await (const row of asRows(['a', 'b"'], {})) texts += row;
  t.equal(texts, '{"text":"a"}\n{"text":"b\\""}\n');
});
