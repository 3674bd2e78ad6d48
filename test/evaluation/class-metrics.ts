// Metrics beyond their values: the figures of every class, bounds, bad labels, and what a person sees of an evaluation.
// Expected values: scripts/reference/metrics.py.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import tap from 'tap';

import { classReport } from '../../dist/commands/notes.js';
import { Progress, type Metrics, type MetricDetails, type ProblemType } from '../../dist/index.js';
import { createMetrics, detailMetrics, isGreaterBetter, metricNamesOf } from '../../dist/tasks/index.js';
import { averagePrecision, RankedScores, rocAuc } from '../../dist/tasks/metrics/ranked-scores.js';
import { bertune, flags } from '../fixtures/cli.js';
import { toyRun } from '../fixtures/run.js';

interface ClassCase {
  name: string;
  problemType: ProblemType;
  width: number;
  logits: number[];
  labels: number[];
  /** Precision, recall, F1 and rows of each class, and counts by label and prediction. */
  details: { per_class: number[][]; confusion_matrix?: number[][] } | null;
}

const fixture = readFileSync(join(import.meta.dirname, '../fixtures', 'metrics.json'), 'utf8');
const { cases }: { cases: ClassCase[] } = JSON.parse(fixture);

function names(width: number): string[] {
  return Array.from({ length: width }, (_, i) => `LABEL_${i}`);
}

await tap.test('the figures of every class and the confusion matrix equal the reference', (t) => {
  for (const { name, problemType, width, logits, labels, details: wanted } of cases) {
    const metrics = createMetrics({ problemType, labels: names(width) });
    const isSingle = problemType === 'single_label_classification';
    const given = isSingle ? Int32Array.from(labels) : Float32Array.from(labels);
    metrics.add(Float32Array.from(logits), given, logits.length / width);
    const details = metrics.details();
    if (wanted === null) {
      t.equal(details, null, `${name}: numbers have no classes`);
      continue;
    }
    const figures = Object.values(details?.per_class ?? {});
    t.same(Object.keys(details?.per_class ?? {}), names(width), name);
    const found = figures.map(({ precision, recall, f1, support }) => [precision, recall, f1, support]);
    const differences = wanted.per_class.flatMap((row, id) =>
      row.map((value, i) => Math.abs(value - (found[id]?.[i] ?? Number.NaN))),
    );
    t.ok(Math.max(...differences) < 1e-9, `${name}: figures of each class (${Math.max(...differences)})`);
    const matrix = details?.confusion_matrix;
    const dense = names(width).map((label) => names(width).map((guess) => matrix?.[label]?.[guess] ?? 0));
    if (isSingle) t.same(dense, wanted.confusion_matrix, `${name}: confusion matrix`);
    else t.equal(matrix, undefined, `${name}: no confusion matrix`);
  }
  t.end();
});

await tap.test('label names cannot hide a figure', (t) => {
  const labels = ['__proto__', 'macro'];
  const metrics = createMetrics({ problemType: 'single_label_classification', labels });
  metrics.add(Float32Array.of(1, 0, 0, 1), Int32Array.of(0, 0), 2);
  const { per_class: figures, confusion_matrix: matrix } = JSON.parse(JSON.stringify(metrics.details()));
  t.same(Object.keys(figures), labels);
  t.same(Object.entries(matrix), [['__proto__', JSON.parse('{"__proto__": 1, "macro": 1}')]]);
  t.end();
});

await tap.test('labels that are none, and soft ones', (t) => {
  const metrics = createMetrics({ problemType: 'single_label_classification', labels: names(2) });
  for (const label of [2, -1])
    t.throws(() => metrics.add(Float32Array.of(1, 0), Int32Array.of(label), 1), {
      message: `Expected class ids from 0 to 1, or -100, but received ${label}`,
    });
  t.throws(() => metrics.add(Float32Array.of(1, 0), Float32Array.of(0.5), 1), {
    message: 'Expected 2 logits and 2 labels but received 2 and 1',
  });
  const multi = createMetrics({ problemType: 'multi_label_classification', labels: names(2) });
  multi.add(Float32Array.of(1, -1), Float32Array.of(0.9, 0.1), 1);
  t.match(multi.result(), { subset_accuracy: 1, f1_micro: 1, label_ranking_average_precision: 1 });
  t.end();
});

await tap.test('which metrics are better when smaller', (t) => {
  t.same(
    new Set(metricNamesOf().filter((name) => !isGreaterBetter(name))),
    new Set(['loss', 'hamming_loss', 'expected_calibration_error', 'mse', 'rmse', 'mae', 'perplexity']),
  );
  t.end();
});

await tap.test('ranks in closed form', (t) => {
  const of = (...values: number[]): Float32Array => Float32Array.from(values);
  t.equal(rocAuc(of(0, 1), of(-0, 2)), 1.5 / 4, 'minus zero ties with zero');
  t.equal(averagePrecision(of(1, 3), of(2)), 1 / 2 + 2 / 3 / 2);
  t.ok(Number.isNaN(rocAuc(of(1, Number.NaN), of(0))), 'a score that is NaN shows');
  t.ok(Number.isNaN(averagePrecision(of(1), of(0, Number.NaN))), 'a score that is NaN shows');
  t.equal(averagePrecision(of(), of(0)), 0, 'nothing to find');

  const bounded = new RankedScores(2, 4);
  for (const score of [1, 0, 0, 1]) bounded.push(score, score === 1);
  t.same(bounded.result(), { roc_auc: 1, average_precision: 1 }, 'as many scores as it keeps');
  bounded.push(0, false);
  t.ok(Object.values(bounded.result()).every(Number.isNaN), 'one more is too many');
  t.end();
});

await tap.test('many classes keep one entry for each pair that occurs', (t) => {
  const classes = 10_000;
  const labels = names(classes);
  const metrics = createMetrics({ problemType: 'single_label_classification', labels });
  const logits = new Float32Array(classes);
  logits[7] = 1;
  for (let row = 0; row < 3; row++) metrics.add(logits, Int32Array.of(9_999), 1);
  t.same(metrics.details()?.confusion_matrix, { LABEL_9999: { LABEL_7: 3 } });
  t.same(classReport(metrics.details(), labels), [], 'too many for a table');
  t.end();
});

await tap.test('tables for a person', (t) => {
  const labels = ['ham', 'a label\nwith a very long name'];
  const metrics = createMetrics({ problemType: 'single_label_classification', labels });
  metrics.add(Float32Array.of(1, 0, 0, 1, 1, 0), Int32Array.of(0, 0, 1), 3);
  t.same(classReport(metrics.details(), labels), [
    'class             precision  recall      f1  rows',
    'ham                  0.5000  0.5000  0.5000     2',
    'a label with ...     0.0000  0.0000  0.0000     1',
    '',
    'label \\ predicted  ham  a label with ...',
    'ham                  1                 1',
    'a label with ...     1                 0',
  ]);
  const multi = createMetrics({ problemType: 'multi_label_classification', labels });
  t.equal(classReport(multi.details(), labels).length, 3, 'no matrix where a row has several labels');
  const ten = createMetrics({ problemType: 'single_label_classification', labels: names(10) });
  t.equal(classReport(ten.details(), names(10)).length, 11, 'no matrix that is wider than a line');
  t.same(classReport(null, ['LABEL_0']), [], 'nothing for regression');
  t.end();
});

await tap.test('the line about an evaluation', (t) => {
  const written: string[] = [];
  const progress = new Progress({ write: (text: string) => written.push(text) });
  const all = new Set(metricNamesOf());
  for (const name of detailMetrics) t.ok(all.delete(name), `${name} is a metric`);
  t.same(
    [...all].toSorted(),
    [
      'accuracy',
      'f1',
      'f1_macro',
      'f1_micro',
      'loss',
      'mae',
      'pearson',
      'perplexity',
      'precision',
      'r2',
      'recall',
      'spearman',
      'subset_accuracy',
    ],
    'what is left for the line',
  );
  const values = { eval_loss: Number.NaN, eval_accuracy: 0.51234, eval_f1_macro: Number.NaN, eval_own: 2 };
  const details = { eval_balanced_accuracy: 0.5, eval_mine_roc_auc: 0.75, eval_f1_weighted: 0.5 };
  progress.entry({ ...values, ...details, epoch: 1, step: 5 }, 10, detailMetrics);
  progress.entry({ loss: Number.NaN, rmse: 1, epoch: 1, step: 5 }, 10, detailMetrics);
  t.same(written, [
    'step 5/10  epoch 1.00  eval_loss NaN  eval_accuracy 0.5123  eval_f1_macro n/a  eval_own 2\n',
    'step 5/10  epoch 1.00  loss NaN  rmse 1\n',
  ]);
  t.end();
});

await tap.test('bertune evaluate prints the same on both streams and in its file', async (t) => {
  const folder = t.testdir();
  const { model, tokenizer, close } = await toyRun(folder, {});
  await model.open({ threads: 1 });
  await model.savePretrained(join(folder, 'trained'));
  await tokenizer.savePretrained(join(folder, 'trained'));
  await close();
  writeFileSync(join(folder, 'one.csv'), 'text,label\ngood film,pos\nbad film,pos\nthe plot,pos\n');
  const files = { model: 'trained', 'validation-file': 'one.csv', 'output-dir': 'out' };
  const options = flags({ ...files, device: 'cpu', threads: '1', 'dataloader-num-workers': '0' });
  const { code, stdout, stderr } = await bertune(['evaluate', ...options], { cwd: folder });
  t.equal(code, 0, stderr);
  t.equal(readFileSync(join(folder, 'out', 'eval_results.json'), 'utf8').trim(), stdout.trim());
  const results: Metrics & { eval_per_class: MetricDetails['per_class'] } = JSON.parse(stdout);
  t.same(Object.keys(results).slice(-2), ['eval_per_class', 'eval_confusion_matrix']);
  t.same(
    Object.entries(results.eval_per_class).map(([label, { support }]) => [label, support]),
    [
      ['neg', 0],
      ['pos', 3],
    ],
  );
  t.equal(results['eval_roc_auc'], null, 'one class only');
  t.match(stderr, /^class +precision +recall +f1 +rows\nneg .* 0\npos .* 3$/m);
  t.match(stderr, /^label \\ predicted +neg +pos\nneg +0 +0\npos +\d +\d$/m);
  t.match(stderr, /^Not defined for these rows, null in the results: .*eval_roc_auc/m);
});
