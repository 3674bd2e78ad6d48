// Labels that are probabilities, as for distillation: how they are read, the loss against them, metrics and tuning. Expected
// values by arithmetic: the cross-entropy is linear in the probabilities, so that a soft label's loss is the mean of the
// losses of its classes, weighted by its probabilities.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { bestTemperature, meanLoss, tuneThresholds } from '../../dist/evaluation/tuning.js';
import {
  BertForSequenceClassification,
  BertTokenizer,
  classify,
  createTokenizerPool,
  evaluateRows,
  loadDataset,
  parseBertConfig,
} from '../../dist/index.js';
import { inferTask, labelArray } from '../../dist/data/index.js';
import { predictionFormats } from '../../dist/predictions/formats.js';
import { FormulaGuard, type PredictionTable } from '../../dist/predictions/table.js';
import { createMetrics, taskOf } from '../../dist/tasks/index.js';
import { bertune, flags } from '../fixtures/cli.js';
import { folderOf, labelled, openContent, refusal, type Overrides } from '../fixtures/splits.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

const single = 'single_label_classification';
const multi = 'multi_label_classification';
const names = ['neg', 'neu', 'pos'];
const SOFT = [
  [0.2, 0.3, 0.5],
  [1, 0, 0],
  [0.125, 0.75, 0.125],
];
const LOGITS = [
  [0.5, -1, 2],
  [0.25, 3, -0.5],
  [-2, 1, 0.75],
];

const isClose = (a: number, b: number, tolerance: number): boolean =>
  Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));

/** -log softmax(logits / temperature)[id] */
function crossEntropy(logits: readonly number[], id: number, temperature = 1): number {
  const sum = logits.reduce((total, logit) => total + Math.exp(logit / temperature), 0);
  return Math.log(sum) - (logits[id] ?? Number.NaN) / temperature;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function softLoss(
  logits: readonly (readonly number[])[],
  soft: readonly (readonly number[])[],
  temperature = 1,
): number {
  return meanOf(
    soft.map((own, row) =>
      own.reduce((sum, p, id) => sum + p * crossEntropy(logits[row] ?? [], id, temperature), 0),
    ),
  );
}

void t.test('metrics: the loss against the probabilities, the others against the likeliest', (t) => {
  const metrics = createMetrics({ problemType: single, labels: names });
  metrics.add(Float32Array.from(LOGITS.flat()), Float32Array.from(SOFT.flat()), 3);
  const hard = createMetrics({ problemType: single, labels: names });
  hard.add(Float32Array.from(LOGITS.flat()), Int32Array.of(2, 0, 1), 3);
  const [soft, classes] = [metrics.result(), hard.result()];
  t.ok(isClose(soft['loss'] ?? 9, softLoss(LOGITS, SOFT), 1e-7), `${soft['loss']}`);
  t.same({ ...soft, loss: 0 }, { ...classes, loss: 0 });
  t.same(metrics.details(), hard.details());
  t.equal(soft['accuracy'], 2 / 3);

  const certain = createMetrics({ problemType: single, labels: names });
  certain.add(Float32Array.from(LOGITS.flat()), Float32Array.of(0, 0, 1, 1, 0, 0, 0, 1, 0), 3);
  t.equal(certain.result()['loss'], classes['loss'], 'a probability of 1 is a class');

  const cooled = createMetrics({ problemType: single, labels: names }, { temperature: 3 });
  cooled.add(Float32Array.from(LOGITS.flat()), Float32Array.from(SOFT.flat()), 3);
  t.ok(isClose(cooled.result()['tuned_loss'] ?? 9, softLoss(LOGITS, SOFT, 3), 1e-7), 'with a temperature');
  t.throws(() => metrics.add(new Float32Array(3), new Float32Array(2), 1), {
    message: 'Expected 3 logits and 3 labels but received 3 and 2',
  });
  t.end();
});

void t.test('the best temperature for probabilities', (t) => {
  const loss = taskOf(single, names).kind.loss;
  // Of one row with the logits 0 and z the loss is smallest where the sigmoid of z / T is its probability.
  const one = { logits: Float32Array.of(0, 2), labels: Float32Array.of(0.25, 0.75), width: 2, loss };
  t.ok(isClose(bestTemperature(one) ?? 9, 2 / Math.log(3), 1e-9));
  const data = {
    logits: Float32Array.from(LOGITS.flat()),
    labels: Float32Array.from(SOFT.flat()),
    width: 3,
    loss,
  };
  for (const temperature of [0.5, 1, 4])
    t.ok(isClose(meanLoss(data, temperature), softLoss(LOGITS, SOFT, temperature), 1e-7));
  const best = bestTemperature(data) ?? Number.NaN;
  for (const factor of [0.99, 1.01]) t.ok(meanLoss(data, best) < meanLoss(data, best * factor));
  t.end();
});

void t.test('thresholds for soft labels are those for the labels they are nearer to', (t) => {
  const logits = Float32Array.of(-2, 1, 0.5, -1, 3, -0.5, 0.25, 2);
  const soft = { logits, labels: Float32Array.of(0.3, 0.7, 0.9, 0.2, 1, 0.6, 0.1, 0.51), width: 2 };
  const hard = { logits, labels: Float32Array.of(0, 1, 1, 0, 1, 1, 0, 1), width: 2 };
  const loss = taskOf(multi, ['a', 'b']).kind.loss;
  for (const mode of ['global', 'per_label'] as const)
    t.same(tuneThresholds({ ...soft, loss }, mode), tuneThresholds({ ...hard, loss }, mode), mode);
  t.ok(tuneThresholds({ ...soft, loss }, 'global').after > 0.8, 'there are labels to find');
  t.end();
});

const csv = `text,${names.join(',')}\n${SOFT.map((row, i) => `text ${i},${row.join(',')}\n`).join('')}`;

void t.test('read from several columns, a list or one text', async (test) => {
  const columns: Overrides = { labelColumn: names, softLabels: true };
  for (const [problemType, wanted] of [
    [undefined, single],
    [single, single],
    [multi, multi],
  ] as const) {
    const options = problemType === undefined ? {} : { problemType };
    const split = await openContent(test, 'soft.csv', csv, { ...columns, ...options });
    const task = inferTask([split], { ...options, forTraining: true });
    test.same(task, { problemType: wanted, labels: names, numLabels: 3 });
    test.same(labelArray(split, task), Float32Array.from(SOFT.flat()));
    test.equal(split.labelKind, 'probabilities');
    test.same(split.notes, []);
    const [row] = await split.preview(1);
    test.equal(row?.label, '[0.2, 0.3, 0.5]', 'as written');
  }
  const split = await openContent(test, 'soft.csv', csv, columns);
  const turned = taskOf(single, ['other', 'pos', 'neg', 'neu']);
  test.same(
    labelArray(split, turned),
    Float32Array.from(SOFT.flatMap(([neg = 9, neu = 9, pos = 9]) => [0, pos, neg, neu])),
    'in the order of the model, whose further labels have no probability',
  );

  const lists = await labelled(test, SOFT, { softLabels: true });
  test.same(inferTask([lists]).labels, ['LABEL_0', 'LABEL_1', 'LABEL_2']);
  const named = inferTask([lists], { labelList: names });
  test.same([named.labels, labelArray(lists, named)], [names, Float32Array.from(SOFT.flat())]);
  const joined = await labelled(test, ['0.2|0.8', '1 | 0'], { softLabels: true });
  test.same(labelArray(joined, inferTask([joined])), Float32Array.of(0.2, 0.8, 1, 0));
  const free = await labelled(
    test,
    [
      [0.9, 0.9],
      [0, 0],
    ],
    { softLabels: true, problemType: multi },
  );
  test.same(labelArray(free, inferTask([free], { problemType: multi })), Float32Array.of(0.9, 0.9, 0, 0));
});

void t.test('a share for validation is stratified by the likeliest label', async (test) => {
  const rows = Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? [0.9, 0.1] : [0.3, 0.7]));
  const content = rows.map((label, i) => `${JSON.stringify({ text: `text ${i}`, label })}\n`).join('');
  const file = join(folderOf(test, { 'a.jsonl': content }), 'a.jsonl');
  const data = await loadDataset({ train: file }, { softLabels: true, validationSplit: 0.2 });
  const labels = data.validation.labels(Array.from({ length: data.validation.size }, (_, row) => row));
  test.equal(Array.from(labels).filter((p, i) => i % 2 === 0 && p > 0.5).length, 2);
  test.equal(data.validation.size, 8);
  await data.close();
});

void t.test('what are no probabilities', async (test) => {
  const lists = (...labels: unknown[]): string =>
    labels.map((label, i) => JSON.stringify({ text: `text ${i}`, label })).join('\n');
  const cases: [content: string, overrides: Overrides, message: RegExp][] = [
    [
      lists([0.5, 0.4]),
      {},
      /line 1, column "label": the probabilities add up to 0\.9, where one label a row makes it 1/,
    ],
    [
      lists([1.5, -0.5]),
      {},
      /line 1, column "label": expected a probability from 0 to 1 for each label but found "1\.5"/,
    ],
    [lists([0.5, null]), {}, /line 1, column "label": the label is missing/],
    [lists([0.5, 'x']), {}, /expected a probability from 0 to 1 for each label but found "x"/],
    [
      lists([0.5, 0.5], [1]),
      {},
      /line 2, column "label": expected 2 probabilities, one for each label, but found 1/,
    ],
    [lists([0.5, 0.5]), { knownLabels: names }, /expected 3 probabilities, one for each label, but found 2/],
    [
      lists(1, 'a'),
      {},
      /line 2, column "label": expected a probability from 0 to 1 for each label but found "a"/,
    ],
    [
      lists([0.5, 0.5]),
      { problemType: 'regression' },
      /^softLabels does not go with problemType regression, which takes numbers as they are/,
    ],
  ];
  for (const [content, overrides, message] of cases)
    test.match(await refusal(test, 'a.jsonl', content, { softLabels: true, ...overrides }), message);
  const missing = `${csv}text,0.5,,0.5\n`;
  test.match(
    await refusal(test, 'a.csv', missing, { labelColumn: names, softLabels: true }),
    /line 5, column "neu": the label is missing/,
  );

  const split = await openContent(test, 'soft.csv', csv, { labelColumn: names, softLabels: true });
  const other =
    (labels: string[]): (() => unknown) =>
    () =>
      labelArray(split, taskOf(single, labels));
  test.throws(other(['neg', 'pos']), { message: /the label "neu" is unknown; expected "neg", "pos"$/ });
  const soft = await labelled(test, SOFT, { softLabels: true });
  test.throws(() => inferTask([soft], { labelList: ['a', 'b'] }), {
    name: 'UsageError',
    message: /the lists hold 3 probabilities, and there are 2 labels; give one for each$/,
  });
});

void t.test('the predictions of another model, as predict writes them', async (test) => {
  const texts = ['one', 'two', 'three'];
  for (const problemType of [single, multi] as const) {
    const rows = texts.map((text, row) => ({
      row,
      passthrough: [text],
      label: problemType === single ? 'neg' : ['neg'],
      score: 0.5,
      probabilities: Object.fromEntries(names.map((name, id) => [name, SOFT[row]?.[id] ?? 9])),
    }));
    const table = {
      task: taskOf(problemType, names),
      hasPlaces: false,
      passthrough: [{ name: 'text', kind: 'text' }],
      guard: new FormulaGuard(true),
    };
    for (const format of ['jsonl', 'csv'] as const) {
      let content = '';
      for await (const part of predictionFormats[format].write(batchesOf(rows), table as PredictionTable))
        content += String(part);
      const split = await openContent(test, `soft.${format}`, content, { softLabels: true, problemType });
      const task = inferTask([split], { problemType });
      test.same([task.labels, split.columns.text, split.size], [names, 'text', 3], format);
      test.same(labelArray(split, task), Float32Array.from(SOFT.flat()), format);
    }
  }
  const object = (label: unknown): string => JSON.stringify({ text: 'a', label });
  const rows = `${object({ neg: 0.25, pos: 0.75 })}\n${object({ pos: 0.5 })}\n${object({ neg: 0.5, neu: 0.5 })}`;
  const bad = await refusal(test, 'a.jsonl', rows, { softLabels: true });
  test.match(bad, /line 1, column "label": the label is missing/, 'a label without a probability');
});

async function* batchesOf<T>(rows: T[]): AsyncGenerator<T[]> {
  yield rows;
}

void t.test('an evaluation against the answers of another model', async (test) => {
  const folder = test.testdir();
  makeToy(folder, { train: 1, test: 1 });
  const labels = ['neg', 'pos'];
  const head = { labels, problemType: single } as const;
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), head);
  await model.open({ threads: 1 });
  const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));
  const texts = Array.from({ length: 12 }, (_, row) => toyRow(row).text);
  const teacher = texts.map((_, row) => [(row + 1) / 17, 1 - (row + 1) / 17]);
  writeFileSync(
    join(folder, 'soft.csv'),
    `text,neg,pos\n${texts.map((text, row) => `${text},${teacher[row]?.join(',')}\n`).join('')}`,
  );
  const options = { labelColumn: labels, softLabels: true, modelLabels: labels };
  const data = await loadDataset({ validation: join(folder, 'soft.csv') }, options);
  const pool = createTokenizerPool(tokenizer, { maxLength: 32, workers: 0 });
  const metrics = await evaluateRows(model, data.validation, { pool, batchSize: 5 });
  const predictions = await classify(model, tokenizer, texts);
  const expected = meanOf(
    predictions.map(({ probabilities }, row) =>
      labels.reduce(
        (sum, label, id) => sum - (teacher[row]?.[id] ?? 9) * Math.log(probabilities[label] ?? 9),
        0,
      ),
    ),
  );
  test.ok(isClose(metrics['eval_loss'] ?? 9, expected, 1e-6), `${metrics['eval_loss']} is ${expected}`);
  const right = predictions.filter(
    ({ label }, row) => label === ((teacher[row]?.[0] ?? 0) > 0.5 ? 'neg' : 'pos'),
  );
  test.equal(metrics['eval_accuracy'], right.length / 12);

  await model.savePretrained(join(folder, 'trained'));
  await tokenizer.savePretrained(join(folder, 'trained'));
  const run = await bertune(
    [
      'evaluate',
      ...flags({ model: 'trained', 'validation-file': 'soft.csv', 'soft-labels': true, threads: '1' }),
      '--label-column',
      ...labels,
    ],
    { cwd: folder },
  );
  test.equal(run.code, 0, run.stderr);
  test.match(run.stderr, /label from the probabilities in "neg", "pos"/);
  test.ok(isClose((JSON.parse(run.stdout) as typeof metrics)['eval_loss'] ?? 9, expected, 1e-6));
  await Promise.all([pool.close(), data.close(), model.close()]);
});

void t.test('the answers of a teacher as the training rows of a student, in two commands', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 24, test: 8 });
  const run = (command: string) => bertune(command.split(' '), { cwd: folder });
  const start = '--config model/config.json --tokenizer model --threads 1 --no-report --no-model-card';
  const teacher = await run(`train ${start} --train-file train.csv --output-dir teacher --max-steps 2`);
  t.equal(teacher.code, 0, teacher.stderr);
  for (const format of ['jsonl', 'csv', 'parquet']) {
    const answers = `answers.${format}`;
    const predicted = await run(
      `predict --model teacher --test-file test.csv --id-column text --output-file ${answers}`,
    );
    t.equal(predicted.code, 0, predicted.stderr);
    const student = await run(
      `train ${start} --train-file ${answers} --soft-labels --distillation-temperature 2 --output-dir ${format} --max-steps 2`,
    );
    t.equal(student.code, 0, student.stderr);
    t.match(student.stderr, /labels neg, pos/);
  }
  const losses = ['jsonl', 'csv', 'parquet'].map(
    (format) =>
      JSON.parse(readFileSync(join(folder, format, 'train_results.json'), 'utf8')) as { train_loss: number },
  );
  t.equal(new Set(losses.map(({ train_loss: loss }) => loss.toFixed(6))).size, 1);
  // Near log 2, times the square of the temperature.
  t.ok(Math.abs((losses[0]?.train_loss ?? 0) - 4 * Math.LN2) < 0.5, `${losses[0]?.train_loss}`);

  for (const format of ['jsonl', 'csv']) {
    const onClasses = await run(`evaluate --model ${format} --validation-file train.csv --threads 1`);
    t.equal(onClasses.code, 0, onClasses.stderr);
    t.match(onClasses.stderr, /validation: 24 rows, text from "text", label from "label"/, 'gold labels');
    const during = await run(
      `train ${start} --train-file answers.${format} --soft-labels --validation-file train.csv --output-dir ${format}-2 --max-steps 2`,
    );
    t.equal(during.code, 0, during.stderr);
    t.match(during.stderr, /validation: 24 rows, text from "text", label from "label"/);
    const [after, alone] = [JSON.parse(during.stdout), JSON.parse(onClasses.stdout)] as Record<
      string,
      number
    >[];
    t.ok((after?.['eval_accuracy'] ?? NaN) >= 0 && (alone?.['eval_accuracy'] ?? NaN) >= 0);
  }
  const rows = Array.from({ length: 8 }, (_, row) => `${toyRow(row).text},${toyRow(row).label},0.2,0.8\n`);
  writeFileSync(join(folder, 'both.csv'), `text,label,probability_neg,probability_pos\n${rows.join('')}`);
  const note =
    'note: The rows have probabilities of labels ("probability_neg" ...), which are not read; --soft-labels makes them the labels\n';
  t.match((await run('inspect both.csv')).stderr, note);
  t.notMatch((await run('inspect both.csv --soft-labels')).stderr, note);
  const none = await run('evaluate --model jsonl --validation-file test.csv --label-column probabilities');
  t.match(none.stderr, /no column "probabilities"/, 'a column that is asked for has to be there');

  const hard = await run(
    `train ${start} --train-file train.csv --distillation-temperature 2 --output-dir hard`,
  );
  t.equal(hard.code, 2);
  t.match(
    hard.stderr,
    /--distillation-temperature needs the probabilities of a teacher as labels, and the training rows have classes; give --soft-labels/,
  );
  const smooth = await run(
    `train ${start} --train-file answers.csv --soft-labels --distillation-temperature 2 --label-smoothing-factor 0.1 --output-dir x`,
  );
  t.match(smooth.stderr, /--distillation-temperature and --label-smoothing-factor exclude each other/);
});

void t.test("the rows' own labels beside the answers of a teacher", async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 24, test: 8 });
  const own = Array.from({ length: 16 }, (_, row) => toyRow(row));
  const rows = own.map(({ text, label }, row) => {
    const neg = ((row * 7) % 16) / 15;
    return { text, gold: label, probabilities: { neg, pos: 1 - neg } };
  });
  const jsonl = (all: readonly object[]): string => all.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(folder, 'both.jsonl'), jsonl(rows));
  writeFileSync(
    join(folder, 'some.jsonl'),
    jsonl(rows.map((row, i) => (i === 3 ? { ...row, gold: '' } : row))),
  );
  const train = (name: string, flagsOfRun: string) =>
    bertune(
      `train --config model/config.json --tokenizer model --threads 1 --no-report --no-model-card --seed 3 --max-steps 1 --output-dir ${name} ${flagsOfRun}`.split(
        ' ',
      ),
      { cwd: folder },
    );
  const lossOf = async (name: string, flagsOfRun: string): Promise<number> => {
    const { code, stderr, stdout } = await train(name, `--train-file both.jsonl ${flagsOfRun}`);
    t.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { train_loss: number }).train_loss;
  };
  const soft = '--soft-labels --distillation-temperature 2';
  const both = `${soft} --hard-label-column gold --distillation-alpha`;
  const [teacher, classes] = [await lossOf('soft', soft), await lossOf('hard', '--label-column gold')];
  t.ok(Math.abs(teacher - classes) > 0.1, `${teacher} and ${classes}`);
  for (const alpha of [0, 0.25, 0.9]) {
    const mixed = await lossOf(`at-${alpha}`, `${both} ${alpha}`);
    t.ok(isClose(mixed, alpha * teacher + (1 - alpha) * classes, 1e-5), `alpha ${alpha}: ${mixed}`);
  }
  const validated = await lossOf('held-out', `${both} 0.5 --validation-split 0.25 --seed 3`);
  t.ok(Number.isFinite(validated), 'a share is set aside of rows with both');
  const refusals: [string, RegExp][] = [
    [
      `--train-file both.jsonl ${soft} --distillation-alpha 0.5`,
      /--distillation-alpha needs --hard-label-column/,
    ],
    [
      `--train-file both.jsonl ${soft} --hard-label-column gold`,
      /--hard-label-column needs --distillation-alpha below 1/,
    ],
    [
      '--train-file both.jsonl --label-column gold --hard-label-column gold --distillation-alpha 0.5',
      /--hard-label-column needs --soft-labels/,
    ],
    [
      `--train-file both.jsonl ${soft} --hard-label-column silver --distillation-alpha 0.5`,
      /no column "silver"/,
    ],
    [`--train-file some.jsonl ${both} 0.5`, /some\.jsonl line 4, column "gold": the label is missing/],
    [
      `--train-file some.jsonl ${both} 0.5 --bad-rows skip`,
      /--hard-label-column "gold" and the probabilities are not of the same rows, from some\.jsonl line 4 on/,
    ],
  ];
  for (const [flagsOfRun, message] of refusals) {
    const { code, stderr } = await train('refused', flagsOfRun);
    t.equal(code, 2, flagsOfRun);
    t.match(stderr, message);
  }
});
