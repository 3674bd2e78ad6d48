// What a report counts of an evaluation: its curves are scikit-learn's at each threshold, its calibration likewise.
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';

import { EvaluationCollector } from '../../dist/report/evaluation.js';
import { createMetrics, taskOf, type ProblemType, type Task } from '../../dist/tasks/index.js';
import type { EvaluationFacts } from '../../dist/report/facts.js';

interface Expected {
  labels: number[];
  logits: number[];
  /** By label and threshold: recall and precision. */
  curves: [number, number][][];
}
const fixture = JSON.parse(readFileSync(new URL('../fixtures/report.json', import.meta.url), 'utf8')) as {
  thresholds: number[];
  single: Expected & { calibration: { right: number[]; confidence: number[] } };
  several: Expected;
};
const names = ['a', 'b', 'c'];

function collected(
  problemType: ProblemType,
  labels: Int32Array | Float32Array,
  logits: Float32Array,
  { labelNames = names, withTexts = true, batch = 7 } = {},
): { facts: EvaluationFacts; metrics: Record<string, number>; task: Task } {
  const task = taskOf(problemType, labelNames);
  const collector = new EvaluationCollector(task, {}, { withTexts });
  const metrics = createMetrics(task);
  const rows = logits.length / labelNames.length;
  const width = labels.length / rows;
  for (let first = 0; first < rows; first += batch) {
    const count = Math.min(batch, rows - first);
    const part = {
      first,
      rows: count,
      logits: logits.subarray(first * labelNames.length, (first + count) * labelNames.length),
      labels: labels.subarray(first * width, (first + count) * width),
      bounds: Int32Array.from({ length: count + 1 }, (_, i) => i),
      encodings: [],
      examples: Array.from({ length: count }, (_, i) => ({ text: `text ${first + i}` })),
    };
    collector.add(part);
    metrics.add(part.logits, part.labels, count);
  }
  return { facts: collector.facts({}, metrics.details()), metrics: metrics.result(), task };
}

/** Within a step of 1/32 of the log odds the nearest points of the curve are on both sides of the threshold. */
function agrees(t: Test, facts: EvaluationFacts, { curves }: Expected, what: string): void {
  for (const [id, expected] of curves.entries()) {
    const curve = facts.curves.find(({ label }) => label === names[id]);
    expected.forEach(([recall, precision], i) => {
      const threshold = fixture.thresholds[i] ?? 0;
      const above = curve?.points.findLast(([, , at]) => at >= threshold) ?? [0, 1, 1];
      const below = curve?.points.find(([, , at]) => at < threshold) ?? [1, 0, 0];
      const isBetween = [above, below].some(
        ([r, p]) => Math.abs(r - recall) < 1e-12 && Math.abs(p - precision) < 1e-12,
      );
      const isNear = recall >= above[0] && recall <= below[0];
      t.ok(isBetween || isNear, `${what} ${names[id]} at ${threshold}`);
    });
    const exact = expected.filter(([recall, precision]) =>
      curve?.points.some(([r, p]) => Math.abs(r - recall) < 1e-12 && Math.abs(p - precision) < 1e-12),
    );
    t.ok(
      exact.length >= expected.length - 2,
      `${what} ${names[id]}: ${exact.length} of ${expected.length} are points`,
    );
  }
}

t.test('curves of one label a row, and of several', (t) => {
  const { single, several } = fixture;
  agrees(
    t,
    collected('single_label_classification', Int32Array.from(single.labels), Float32Array.from(single.logits))
      .facts,
    single,
    'single',
  );
  agrees(
    t,
    collected(
      'multi_label_classification',
      Float32Array.from(several.labels),
      Float32Array.from(several.logits),
    ).facts,
    several,
    'several',
  );
  t.end();
});

t.test('calibration is that of scikit-learn, and adds up to the metric', (t) => {
  const { labels, logits, calibration } = fixture.single;
  const { facts, metrics } = collected(
    'single_label_classification',
    Int32Array.from(labels),
    Float32Array.from(logits),
  );
  const bins = facts.calibration?.bins.filter(({ rows }) => rows > 0) ?? [];
  t.equal(bins.length, calibration.right.length);
  bins.forEach(({ right, confidence }, i) => {
    t.ok(Math.abs(right - (calibration.right[i] ?? 0)) < 1e-9);
    t.ok(Math.abs(confidence - (calibration.confidence[i] ?? 0)) < 1e-6);
  });
  const error = bins.reduce(
    (sum, { rows, right, confidence }) => sum + rows * Math.abs(right - confidence),
    0,
  );
  t.ok(Math.abs(error / labels.length - (metrics['expected_calibration_error'] ?? 0)) < 1e-9);
  t.end();
});

t.test('the worst errors are the wrong rows by their loss', (t) => {
  const { labels, logits } = fixture.single;
  const { facts } = collected(
    'single_label_classification',
    Int32Array.from(labels),
    Float32Array.from(logits),
  );
  // -log softmax in float64, of the rows whose largest logit is not the label's.
  const wrong = labels
    .map((label, row) => {
      const own = logits.slice(3 * row, 3 * row + 3);
      const loss = Math.log(own.reduce((sum, one) => sum + Math.exp(one - (own[label] ?? 0)), 0));
      return { row, label, loss, guess: own.indexOf(Math.max(...own)) };
    })
    .filter(({ label, guess }) => label !== guess)
    .toSorted((a, b) => b.loss - a.loss);
  t.equal(facts.wrongRows, wrong.length);
  t.same(
    facts.worst.map(({ row }) => row),
    wrong.slice(0, 50).map(({ row }) => row),
  );
  facts.worst.forEach(({ row, text, label, prediction, loss, probabilities }, i) => {
    t.equal(text, `text ${row}`);
    t.equal(label, names[wrong[i]?.label ?? 0]);
    t.equal(prediction, names[wrong[i]?.guess ?? 0]);
    t.ok(Math.abs(loss - (wrong[i]?.loss ?? 0)) < 1e-5);
    t.equal(probabilities[0]?.[0], prediction, 'the most probable first');
  });
  const secret = collected(
    'single_label_classification',
    Int32Array.from(labels),
    Float32Array.from(logits),
    {
      withTexts: false,
    },
  );
  t.notMatch(JSON.stringify(secret.facts), 'text ');
  t.end();
});

t.test('rows without a label or with logits that are not finite count for nothing', (t) => {
  const labels = Int32Array.of(0, -100, 1);
  const logits = Float32Array.of(0, 1, 0, 1, Number.NaN, 1);
  const task = taskOf('single_label_classification', ['a', 'b']);
  const collector = new EvaluationCollector(task, {}, { withTexts: true });
  collector.add({
    first: 0,
    rows: 3,
    logits,
    labels,
    bounds: Int32Array.of(0, 1, 2, 3),
    encodings: [],
    examples: [{ text: 'x' }, { text: 'y' }, { text: 'z' }],
  });
  const facts = collector.facts({}, null);
  t.same(
    facts.worst.map(({ row }) => row),
    [0],
  );
  t.equal(facts.wrongRows, 1);
  t.end();
});

t.test('a regression has values and errors in place of classes', (t) => {
  const labels = Float32Array.from({ length: 5000 }, (_, row) => row);
  const logits = labels.map((value, row) => value + (row === 77 ? 50 : 1));
  const { facts } = collected('regression', labels, logits, { labelNames: ['LABEL_0'], batch: 64 });
  t.equal(facts.worst[0]?.row, 77);
  t.equal(facts.worst[0]?.loss, 2500);
  t.equal(facts.calibration, null);
  t.same(facts.curves, []);
  const values = facts.values ?? [];
  t.ok(values.length > 300 && values.length <= 1201, `${values.length} of 5000 rows`);
  const steps = new Set(values.slice(1).map(([, gold], i) => gold - (values[i]?.[1] ?? 0)));
  t.equal(steps.size, 1, 'at equal distances');
  t.ok((values.at(-1)?.[1] ?? 0) > 4900, 'up to the end');
  t.end();
});
