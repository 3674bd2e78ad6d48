// Metrics against scikit-learn, scipy and torch, learning rates against transformers. Expected values:
// scripts/reference/metrics.py and scripts/reference/schedule.py.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import tap from 'tap';
import type { Test } from 'tap';

import { createMetrics, isGreaterBetter, taskKinds, type ProblemType } from '../../dist/tasks/index.js';
import { ranks } from '../../dist/tasks/metrics/regression.js';
import { kwargsOf, plannedTypes } from '../../dist/options/schedulers.js';
import { resolveSteps } from '../../dist/training/plan.js';
import { learningRateAt, type Schedule } from '../../dist/training/schedules.js';

interface MetricCase {
  name: string;
  problemType: ProblemType;
  width: number;
  logits: number[];
  labels: number[];
  expected: Record<string, number | null>;
}

interface ScheduleFixture {
  cases: (Schedule & { rates: [number, number][] })[];
  resolved: [number, number, number][];
}

function fixtureText(name: string): string {
  return readFileSync(join(import.meta.dirname, '../fixtures', name), 'utf8');
}

function labelsOf({ problemType, labels }: MetricCase): Int32Array | Float32Array {
  return problemType === 'single_label_classification' ? Int32Array.from(labels) : Float32Array.from(labels);
}

function names(width: number): string[] {
  return Array.from({ length: width }, (_, i) => `LABEL_${i}`);
}

/** Within `tolerance` of the reference, relative above 1 and absolute below. */
function close(t: Test, actual: number | undefined, wanted: number, tolerance: number, what: string): void {
  const error = Math.abs((actual ?? Number.NaN) - wanted) / Math.max(1, Math.abs(wanted));
  t.ok(error <= tolerance, `${what}: ${actual} against ${wanted}`);
}

const { cases }: { cases: MetricCase[] } = JSON.parse(fixtureText('metrics.json'));

for (const rowsAtOnce of [1, 7, 1_000_000]) {
  await tap.test(`metrics of batches of ${rowsAtOnce} equal the reference`, (t) => {
    for (const one of cases) {
      const { problemType, width, expected } = one;
      const metrics = createMetrics({ problemType, labels: names(width) });
      const logits = Float32Array.from(one.logits);
      const labels = labelsOf(one);
      const rows = logits.length / width;
      const perRow = labels.length / rows;
      for (let first = 0; first < rows; first += rowsAtOnce) {
        const end = Math.min(rows, first + rowsAtOnce);
        const part = labels.slice(first * perRow, end * perRow);
        metrics.add(logits.slice(first * width, end * width), part, end - first);
      }
      const result = metrics.result();
      t.same(Object.keys(result), Object.keys(expected), `${one.name}: names`);
      t.same(Object.keys(result), taskKinds[problemType].metricNames);
      for (const [name, wanted] of Object.entries(expected)) {
        if (wanted === null) t.ok(Number.isNaN(result[name]), `${one.name}: ${name} is not defined`);
        else close(t, result[name], wanted, 1e-9, `${one.name}: ${name}`);
      }
    }
    t.end();
  });
}

await tap.test('metrics of no rows and of broken logits', (t) => {
  for (const problemType of [
    'single_label_classification',
    'multi_label_classification',
    'regression',
  ] as const) {
    const empty = createMetrics({ problemType, labels: names(2) }).result();
    t.same(Object.keys(empty), taskKinds[problemType].metricNames);
    t.ok(Object.values(empty).every(Number.isNaN), `${problemType}: nothing is known of no rows`);
    t.notMatch(JSON.stringify(empty), 'NaN', 'JSON-safe');
  }
  const regression = createMetrics({ problemType: 'regression', labels: names(1) });
  regression.add(Float32Array.of(1, Number.NaN, 3), Float32Array.of(1, 2, 3), 3);
  t.ok(
    Object.values(regression.result()).every(Number.isNaN),
    'a prediction that is NaN shows in every metric',
  );
  const single = createMetrics({ problemType: 'single_label_classification', labels: names(2) });
  single.add(Float32Array.of(Number.NaN, 0), Int32Array.of(1), 1);
  t.ok(Number.isNaN(single.result()['loss']), 'a logit that is NaN shows in the loss');
  t.throws(() => single.add(Float32Array.of(1, 2, 3), Int32Array.of(0), 1), {
    message: 'Expected 2 logits and 1 labels but received 3 and 1',
  });
  t.end();
});

await tap.test('ranks share ties, and 200,000 rows stay small', (t) => {
  t.same([...ranks(Float32Array.of(3, 1, 3, 2, 3))], [4, 1, 4, 2, 4]);
  t.same([...ranks(Float32Array.of(0, -0))], [1.5, 1.5], 'minus zero equals zero');
  const metrics = createMetrics({ problemType: 'regression', labels: names(1) });
  const before = process.memoryUsage().arrayBuffers;
  const batch = Float32Array.from({ length: 1000 }, (_, i) => i);
  for (let i = 0; i < 200; i++) metrics.add(batch, batch, 1000);
  const perRow = (process.memoryUsage().arrayBuffers - before) / 200_000;
  t.ok(perRow < 40, `${perRow} bytes a row`);
  close(t, metrics.result()['spearman'], 1, 1e-12, 'spearman of equal columns');
  t.end();
});

await tap.test('which way each metric is better', (t) => {
  for (const name of ['loss', 'eval_loss', 'mse', 'mae', 'eval_mae']) t.notOk(isGreaterBetter(name), name);
  for (const name of [
    'accuracy',
    'f1_macro',
    'f1_micro',
    'subset_accuracy',
    'pearson',
    'spearman',
    'eval_accuracy',
  ])
    t.ok(isGreaterBetter(name), name);
  t.end();
});

await tap.test("learning rates equal transformers'", (t) => {
  const schedule: ScheduleFixture = JSON.parse(fixtureText('schedule.json'));
  t.same(new Set(schedule.cases.map(({ type }) => type)), new Set(plannedTypes), 'every type is compared');
  const worst = new Map<string, number>();
  for (const { rates, ...run } of schedule.cases) {
    for (const [step, wanted] of rates) {
      const actual = learningRateAt(step, run);
      const difference = wanted === 0 ? Math.abs(actual) : Math.abs(actual / wanted - 1);
      worst.set(run.type, Math.max(worst.get(run.type) ?? 0, difference));
    }
  }
  for (const [type, difference] of worst)
    t.ok(difference <= 1e-12, `${type}: largest relative difference ${difference}`);
  for (const type of plannedTypes) {
    const runs = schedule.cases.filter((run) => run.type === type);
    const used = new Set(runs.flatMap(({ kwargs = {} }) => Object.keys(kwargs)));
    t.same(used, new Set(kwargsOf[type]), `every argument of ${type} is compared`);
  }
  for (const [steps, total, wanted] of schedule.resolved)
    t.equal(resolveSteps(steps, total), wanted, `${steps} of ${total} steps`);
  t.end();
});

await tap.test('schedules where the formulas leave something open', (t) => {
  const run = { peak: 1, warmupSteps: 0, totalSteps: 10 };
  const rates = (schedule: Schedule): number[] =>
    Array.from({ length: schedule.totalSteps + 1 }, (_, step) => learningRateAt(step, schedule));

  const noDecay: Schedule = { ...run, type: 'polynomial', warmupSteps: 10, kwargs: { lrEnd: 0.25 } };
  t.equal(rates(noDecay).at(-1), 0.25, 'HF divides by zero');

  // floor(0.1 * 19) is 1, so that the fall takes 9 steps of the 18 that are left.
  const slanted: Schedule = { ...run, type: 'slanted_triangular', totalSteps: 19 };
  t.equal(Math.min(...rates(slanted)), 1 / 32, 'never below the peak divided by the ratio');
  t.same(
    rates({ ...slanted, totalSteps: 2, warmupSteps: 5 }).slice(0, 2),
    [1 / 32, 1],
    'a short run rises for one step',
  );

  t.throws(() => rates({ ...run, type: 'warmup_stable_decay' }), {
    message: /needs numDecaySteps in kwargs/,
  });
  t.throws(() => rates({ ...run, type: 'cosine_with_min_lr' }), {
    message: /needs minLr or minLrRate in kwargs/,
  });
  t.end();
});
