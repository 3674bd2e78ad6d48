// evaluate() and predict() of scripts: the figures and errors of the command line, labels with their types, `await using`.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import tap, { type Test } from 'tap';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  BertForSequenceClassification,
  classify,
  createTokenizerPool,
  evaluate,
  loadDataset,
  parseBertConfig,
  predict,
  UsageError,
  type BertTokenizer,
  type EncoderModel,
  type EvaluationData,
  type Prediction,
} from '../../dist/index.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const folder = tap.testdir();
const paths = makeToy(folder, { train: 40, test: 20 });
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const runtime = { threads: 1, dtype: 'float32', dataloaderNumWorkers: 0 } as const;
const runtimeFlags = ['--threads', '1', '--dtype', 'float32', '--dataloader-num-workers', '0'];

function modelOf(
  labels: readonly string[],
  problemType: 'regression' | 'single_label_classification',
): EncoderModel {
  return BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), {
    labels,
    problemType,
  });
}

async function refuses(t: Test, call: Promise<unknown>, message: string | RegExp): Promise<void> {
  const error = await call.catch((caught: unknown) => caught);
  t.ok(error instanceof UsageError, String(error));
  t.match(error, { message });
}

/** A model of random weights, saved with its tokenizer. */
async function saved(): Promise<{ directory: string; tokenizer: BertTokenizer }> {
  const directory = join(folder, 'saved');
  const tokenizer = await AutoTokenizer.fromPretrained(paths.model);
  const model = modelOf(['neg', 'pos'], 'single_label_classification');
  await model.open({ threads: 1, dtype: 'float32' });
  await model.savePretrained(directory);
  await tokenizer.savePretrained(directory);
  await model.close();
  return { directory, tokenizer };
}

const { directory, tokenizer } = await saved();

await tap.test('the figures of the command line', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const bertune = (...args: string[]): string =>
    execFileSync(process.execPath, [cli, ...args, '--model', directory, ...runtimeFlags], {
      encoding: 'utf8',
      stdio: 'pipe',
    });

  const printed = JSON.parse(
    bertune('evaluate', '--validation-file', paths.test, '--max-seq-length', '8'),
  ) as Record<string, unknown>;
  const { metrics, details } = await evaluate(model, tokenizer, paths.test, { ...runtime, maxSeqLength: 8 });
  const isTime = (name: string): boolean => /runtime|per_second/.test(name);
  for (const [name, value] of Object.entries(metrics)) if (!isTime(name)) t.equal(value, printed[name], name);
  t.same(details?.per_class, printed['eval_per_class']);
  t.same(details?.confusion_matrix, printed['eval_confusion_matrix']);

  const data = await loadDataset({ test: paths.test }, { modelLabels: model.task.labels });
  const again = await evaluate(model, tokenizer, data.test, { ...runtime, maxSeqLength: 8 });
  t.equal(again.metrics['eval_loss'], metrics['eval_loss'], 'a data set');
  const lines = bertune('predict', '--test-file', paths.test, '--stride', '2', '--max-seq-length', '8')
    .trim()
    .split('\n');
  const predicted = await predict(model, tokenizer, data.test, { ...runtime, stride: 2, maxSeqLength: 8 });
  t.same(
    predicted,
    lines.map((line) => {
      const { row: _, ...rest } = JSON.parse(line) as Prediction & { row: number };
      return rest;
    }),
  );
  const texts = readFileSync(paths.test, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',')[0] ?? '');
  t.same(
    await predict(model, tokenizer, texts, { ...runtime, stride: 2, maxSeqLength: 8 }),
    predicted,
    'texts',
  );
  await data.close();
});

await tap.test('rows of a script are evaluated as their file is', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const rows = readFileSync(paths.test, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => ({ text: line.split(',')[0] ?? '', label: line.split(',')[1] ?? '' }));
  const loss = async (data: EvaluationData): Promise<number | undefined> =>
    (await evaluate(model, tokenizer, data, runtime)).metrics['eval_loss'];
  const ofFile = await loss(paths.test);
  async function* cursor(): AsyncGenerator<(typeof rows)[number]> {
    yield* rows;
  }
  const given: [string, EvaluationData][] = [
    ['array', rows],
    ['set', new Set(rows)],
    ['generator', cursor()],
    ['stream', Readable.from(rows)],
    ['files', [paths.test]],
  ];
  for (const [name, data] of given) t.equal(await loss(data), ofFile, name);
  await evaluate(model, tokenizer, [{ text: 'a', label: 'pos' }], runtime);
  // @ts-expect-error numbers are no rows
  await t.rejects(evaluate(model, tokenizer, [1, 2], runtime));
});

await tap.test('data are read as in the training', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const rows = ['a good film', 'a d\u00e9cor', 'a dull plot'].map((body, i) => ({
    body,
    mood: i % 2 ? 'neg' : 'pos',
  }));
  // The usual names stand beside the columns of the training, with other labels.
  const lines = rows.map(({ body, mood }) => `other,${mood === 'pos' ? 'neg' : 'pos'},${body},${mood}`);
  const csv = Buffer.from(`text,label,body,mood\n${lines.join('\n')}\n`, 'latin1');
  const own = t.testdir({
    'utf8.csv': `body,mood\n${rows.map(({ body, mood }) => `${body},${mood}`).join('\n')}\n`,
    'lines.jsonl': rows.map((row) => JSON.stringify(row)).join('\n'),
    'one.json': JSON.stringify({ data: rows, rows: [] }),
    'rows.csv': csv,
    'plain.csv': `text,label\n${lines.map((line) => line.split(',').slice(2).join(',')).join('\n')}\n`,
  });
  const [file, plain] = [join(own, 'rows.csv'), join(own, 'plain.csv')];
  const expectedLoss = (await evaluate(model, tokenizer, plain, runtime)).metrics['eval_loss'];
  model.reading = { textColumn: 'body', labelColumn: ['mood'], encoding: 'windows-1252' };
  const read = await evaluate(model, tokenizer, file, runtime);
  t.equal(read.metrics['eval_loss'], expectedLoss);
  // Files of another kind than those of the training.
  model.reading = { ...model.reading, jsonField: 'data' };
  for (const name of ['utf8.csv', 'lines.jsonl', 'one.json']) {
    const { metrics } = await evaluate(model, tokenizer, join(own, name), runtime);
    t.equal(metrics['eval_loss'], expectedLoss, name);
  }
  await refuses(
    t,
    evaluate(model, tokenizer, join(own, 'lines.jsonl'), { ...runtime, jsonField: 'data' }),
    /no single JSON object/,
  );
  model.reading = {};
  const asked = { textColumn: 'body', labelColumn: 'mood', encoding: 'latin1' };
  const again = await evaluate(model, tokenizer, file, { ...runtime, ...asked });
  t.equal(again.metrics['eval_loss'], expectedLoss, 'by request');
  model.reading = { textColumn: 'text', labelColumn: ['label'], encoding: 'shift_jis' };
  const instead = await evaluate(model, tokenizer, file, { ...runtime, ...asked });
  t.equal(instead.metrics['eval_loss'], expectedLoss, 'a request wins');
});

await tap.test('classify and predict read texts alike', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const texts = ['good film plot scene music '.repeat(5).trim(), 'dull'];
  await model.open({ threads: 1, dtype: 'float32' });
  const whole = await classify(model, tokenizer, texts);
  model.reading = { maxSeqLength: 8, stride: 2, pooling: 'max' };
  const windows = await classify(model, tokenizer, texts);
  t.same(windows, await predict(model, tokenizer, texts, runtime), 'as the model was tuned');
  t.notSame(windows, whole);
  const cut = await classify(model, tokenizer, texts, { stride: 'none' });
  t.same(cut, await predict(model, tokenizer, texts, { ...runtime, stride: 'none' }));
  t.notSame(cut, windows);
  model.reading = { maxSeqLength: 8 };
  t.same(cut, await classify(model, tokenizer, texts), 'no windows');
  model.reading = { pooling: 'median' };
  await refuses(
    t,
    classify(model, tokenizer, texts),
    /bertune_reading.json of the model has pooling "median"/,
  );
});

await tap.test('several numbers by their names, in any order', async (t) => {
  const model = modelOf(['x', 'y'], 'regression');
  t.teardown(() => model.close());
  const points = ['good', 'dull', 'film'].map((text, i) => ({ text, x: i / 2, y: -2.5 - i }));
  const lines = (row: (point: (typeof points)[number]) => object): string =>
    points.map((point) => JSON.stringify(row(point))).join('\n');
  const own = t.testdir({
    'xy.jsonl': lines(({ text, x, y }) => ({ text, label: { x, y } })),
    'yx.jsonl': lines(({ text, x, y }) => ({ text, label: { y, x } })),
    'columns.jsonl': lines(({ text, x, y }) => ({ y, text, x })),
    'lists.jsonl': lines(({ text, x, y }) => ({ text, label: [x, y] })),
    'other.jsonl': lines(({ text, x, y }) => ({ text, label: { x, z: y } })),
  });
  const loss = async (name: string, labelColumn: string | string[]): Promise<number | undefined> =>
    (await evaluate(model, tokenizer, join(own, name), { ...runtime, labelColumn })).metrics['eval_loss'];
  // The mean over both of the squares, by what the model predicts.
  const predicted = await predict(model, tokenizer, points, { ...runtime });
  const squares = predicted.flatMap(({ label }, i) => {
    const [x = 0, y = 0] = [label].flat().map(Number);
    return [(x - (points[i]?.x ?? 0)) ** 2, (y - (points[i]?.y ?? 0)) ** 2];
  });
  const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length;
  for (const [name, column] of [
    ['xy.jsonl', 'label'],
    ['yx.jsonl', 'label'],
    ['columns.jsonl', ['y', 'x']],
    ['lists.jsonl', 'label'],
  ] as const) {
    const found = (await loss(name, [column].flat())) ?? Number.NaN;
    t.ok(Math.abs(found - mean) < 1e-5 * mean, `${name}: ${found}, ${mean}`);
  }
  await refuses(t, loss('other.jsonl', ['label']), /2 values a row, named x, z in place of x, y/);
});

await tap.test('labels have the type of the task', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const problemType = 'single_label_classification';
  const [one] = await classify(model, tokenizer, ['good film'], { problemType });
  const label: string | undefined = one?.label;
  t.ok(['neg', 'pos'].includes(label ?? ''));
  const [two] = await predict(model, tokenizer, [{ text: 'good film' }], { problemType });
  t.ok(two?.label.toUpperCase());
  const lists: Prediction<'multi_label_classification'>['label'] = ['a'];
  const numbers: Prediction<'regression'>['label'] = 1;
  const any: Prediction['label'][] = [lists, numbers, [1, 2], 'a'];
  t.equal(any.length, 4);
  // @ts-expect-error a label of a classification is no number
  const wrong: Prediction<'single_label_classification'>['label'] = 1;
  t.ok(wrong);
  const other = { problemType: 'regression' } as const;
  const message =
    "problemType is regression, but the model's task is single_label_classification with the labels neg, pos";
  await refuses(t, classify(model, tokenizer, ['a'], other), message);
  await refuses(t, predict(model, tokenizer, ['a'], other), message);
  await refuses(
    t,
    classify(modelOf(['a', 'b'], 'regression'), tokenizer, ['a'], other),
    "problemType regression promises one number, but the model's task is regression with 2 values a row; leave problemType out",
  );
});

await tap.test('options and data that cannot be used', async (t) => {
  const model = await AutoModelForSequenceClassification.fromPretrained(directory);
  t.teardown(() => model.close());
  const asked = (options: object): Promise<unknown> => evaluate(model, tokenizer, paths.test, options);
  await refuses(t, asked({ maxSeqLen: 0 }), /a whole number of at least 3/);
  await refuses(t, asked({ batch: 3 }), /unknown option batch/);
  await refuses(
    t,
    asked({ perDeviceEvalBatchSize: 0 }),
    'Expected a whole number of at least 1 for perDeviceEvalBatchSize but received 0',
  );
  await refuses(t, asked({ learningRate: 1 }), 'learningRate has no meaning for evaluate() and predict()');
  await refuses(t, asked({ pooling: 'max' }), /stride/);
  const data = await loadDataset({ test: paths.test });
  t.teardown(() => data.close());
  for (const call of [evaluate, predict] as const) {
    const ofOpen = (options: object): Promise<unknown> => call(model, tokenizer, data.test, options);
    const open = 'the data set is open, and its rows are read already; give';
    await refuses(t, ofOpen({ encoding: 'latin-1' }), `encoding: ${open} this to loadDataset`);
    await refuses(
      t,
      ofOpen({ textColumn: 'body', badRows: 'skip', escape: undefined }),
      `textColumn, badRows: ${open} these to loadDataset`,
    );
    await ofOpen({ escape: undefined, maxSeqLength: 16 });
  }
  await refuses(
    t,
    predict(model, tokenizer, ['a'], { textColumn: 'b' } as object),
    /textColumn has no meaning/,
  );
  await refuses(t, asked({ maxSeqLength: 64 }), /32 positions/);
  const file = join(t.testdir({ 'bad.csv': 'text,label\ngood,excellent\n' }), 'bad.csv');
  await refuses(t, evaluate(model, tokenizer, file), /excellent/);
  await refuses(
    t,
    predict(model, tokenizer, 'good film' as unknown as string[]),
    'Expected a data set or an array of texts for data but received "good film"; for a text write ["good film"], for a file with ' +
      'labels (await loadDataset({ test: "good film" })).test, for one without run bertune predict',
  );
});

await tap.test('await using closes', async (t) => {
  let session;
  {
    await using model = await AutoModelForSequenceClassification.fromPretrained(directory);
    await using data = await loadDataset({ test: paths.test });
    await using pool = createTokenizerPool(tokenizer, { workers: 1 });
    await using own = createTokenizerPool(tokenizer, { workers: 0 });
    session = await model.open({ threads: 1 });
    t.equal((await pool.encode([{ text: 'good' }])).length, (await own.encode([{ text: 'good' }])).length);
    await data.close(); // twice does no harm
    await model.close();
  }
  await t.rejects(session.stats());
});
