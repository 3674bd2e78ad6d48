// The schedules that go by the metric, against torch's ReduceLROnPlateau and transformers' GreedyLR. Expected values from
// scripts/reference/adaptive_schedule.py. Those that go by the step are in metrics.ts.
import { readFileSync } from 'node:fs';
import tap from 'tap';

import { trainingArguments, type TrainingArguments } from '../../dist/index.js';
import { isAdaptive, parseTrainingArguments, type SchedulerType } from '../../dist/options/index.js';
import { adaptiveTypes } from '../../dist/options/schedulers.js';
import { createLearningRate } from '../../dist/training/schedules.js';

interface Fixture {
  peak: number;
  metrics: Record<string, number[]>;
  cases: {
    type: SchedulerType;
    kwargs: TrainingArguments['lrSchedulerKwargs'];
    metrics: string;
    rates: number[];
  }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/adaptive-schedule.json', import.meta.url), 'utf8'),
);

await tap.test('every evaluation is followed by the rate of the reference', (t) => {
  t.same(new Set(fixture.cases.map(({ type }) => type)), new Set(adaptiveTypes));
  for (const { type, kwargs, metrics, rates } of fixture.cases) {
    const args = trainingArguments({
      outputDir: 'o',
      learningRate: fixture.peak,
      lrSchedulerType: type,
      lrSchedulerKwargs: kwargs ?? {},
      evalStrategy: 'epoch',
    });
    const rate = createLearningRate(args, 100);
    t.equal(rate.at(0), fixture.peak);
    const found = (fixture.metrics[metrics] ?? []).map((metric, i) => {
      // As a resumed run would, in the middle.
      if (i === 25) rate.restore(JSON.parse(JSON.stringify(rate.state)));
      rate.evaluated({ eval_loss: metric });
      return rate.at(i);
    });
    const worst = Math.max(...found.map((value, i) => Math.abs(value / (rates[i] ?? 0) - 1)));
    t.ok(
      found.length === rates.length && worst < 1e-12,
      `${type} ${JSON.stringify(kwargs)} ${metrics}: ${worst}`,
    );
  }
  t.end();
});

await tap.test(
  'the direction is that of the metric, and a metric that is not defined is no improvement',
  (t) => {
    const args = (more: object): TrainingArguments =>
      trainingArguments({
        outputDir: 'o',
        learningRate: 1,
        lrSchedulerType: 'reduce_lr_on_plateau',
        lrSchedulerKwargs: { patience: 0, ...more },
        evalStrategy: 'epoch',
        metricForBestModel: 'accuracy',
      });
    const rate = createLearningRate(args({}), 10);
    for (const accuracy of [0.5, 0.6, 0.7]) rate.evaluated({ eval_accuracy: accuracy });
    t.equal(rate.at(0), 1, 'more is better');
    rate.evaluated({ eval_accuracy: Number.NaN });
    t.equal(rate.at(0), 0.1);
    const given = createLearningRate(args({ mode: 'min' }), 10);
    for (const accuracy of [0.5, 0.6]) given.evaluated({ eval_accuracy: accuracy });
    t.equal(given.at(0), 0.1, 'a mode that is given wins');
    t.end();
  },
);

await tap.test('what does not fit is refused', (t) => {
  const base = { outputDir: 'o', evalStrategy: 'epoch', lrSchedulerType: 'reduce_lr_on_plateau' };
  const cases: [object, string][] = [
    [
      { evalStrategy: 'no' },
      'lrSchedulerType reduce_lr_on_plateau needs evaluations to compare; set evalStrategy to epoch or steps',
    ],
    [
      { lrSchedulerType: 'greedy' },
      'minLr in lrSchedulerKwargs is 0.001, which must be below learningRate 0.00005',
    ],
    [{ lrSchedulerKwargs: { minLr: 1 } }, 'must be below learningRate'],
    [{ lrSchedulerKwargs: { factor: 1 } }, 'Expected a number above 0 and below 1 for factor'],
    [{ lrSchedulerKwargs: { smooth: true } }, 'takes no smooth in lrSchedulerKwargs; it takes mode, factor'],
    [{ lrSchedulerKwargs: { mode: 'up' } }, 'Expected one of min, max for mode'],
  ];
  for (const [more, message] of cases) {
    t.throws(
      () => parseTrainingArguments({ ...base, ...more }),
      { message: new RegExp(message.replaceAll('.', '\\.')) },
      message,
    );
  }
  t.notOk(isAdaptive('linear'));
  const { notes, options } = parseTrainingArguments({ ...base, warmupSteps: 5 });
  t.match(notes, [/^warmupSteps has no effect: lrSchedulerType is reduce_lr_on_plateau/]);
  t.equal(options.metricForBestModel, 'loss');
  t.end();
});
