// Thresholds and temperature. Expected values: scripts/reference/tuning.py, which tries all cuts with scikit-learn and
// finds the temperature with scipy.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  classify,
  createMetrics,
  loadDataset,
  parseBertConfig,
  predictionOf,
  Progress,
  Trainer,
  trainingArguments,
  type Prediction,
  type Task,
} from '../../dist/index.js';
import { bestTemperature, meanLoss, tuneThresholds } from '../../dist/evaluation/tuning.js';
import { taskOf, writeCalibration, type ProblemType } from '../../dist/tasks/index.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

interface Fixture {
  thresholds: {
    name: string;
    logits: number[][];
    labels: number[][];
    global: number;
    per_label: number[];
    before: number;
    after_global: number;
    after_per_label: number;
    tuned: Record<string, number> & { per_class: number[][] };
  }[];
  temperature: {
    name: string;
    logits: number[][];
    labels: number[] | number[][];
    temperature: number | null;
    before: number;
    after: number | null;
    error: number | null;
  }[];
}
const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/tuning.json'), 'utf8'),
) as Fixture;

const lossOf = (problemType: ProblemType) => taskOf(problemType, []).kind.loss;

const isClose = (a: number, b: number, tolerance: number): boolean =>
  Math.abs(a - b) <= tolerance * Math.abs(b);

await t.test('thresholds are the best of all', (t) => {
  for (const { name, logits, labels, ...expected } of fixture.thresholds) {
    const width = labels[0]?.length ?? 0;
    const data = {
      logits: Float32Array.from(logits.flat()),
      labels: Float32Array.from(labels.flat()),
      width,
      loss: lossOf('multi_label_classification'),
    };
    const [overall, own] = [tuneThresholds(data, 'global'), tuneThresholds(data, 'per_label')];
    const near = (found: readonly number[], wanted: readonly number[]): boolean =>
      found.length === wanted.length && found.every((value, i) => isClose(value, wanted[i] ?? 9, 1e-15));
    t.ok(
      near(
        overall.thresholds,
        Array.from({ length: width }, () => expected.global),
      ),
      `${name}: global`,
    );
    t.ok(near(own.thresholds, expected.per_label), `${name}: each label's`);
    const scores = [overall.before, overall.after, own.before, own.after];
    const wanted = [expected.before, expected.after_global, expected.before, expected.after_per_label];
    t.ok(near(scores, wanted), `${name}: F1 before and after`);
  }
  t.end();
});

await t.test('the temperature has the least loss', (t) => {
  for (const { name, logits, labels, temperature, before, after } of fixture.temperature) {
    const isSingle = typeof labels[0] === 'number';
    const flat = labels.flat();
    const data = {
      logits: Float32Array.from(logits.flat()),
      labels: isSingle ? Int32Array.from(flat) : Float32Array.from(flat),
      width: logits[0]?.length ?? 0,
      loss: lossOf(isSingle ? 'single_label_classification' : 'multi_label_classification'),
    };
    t.ok(isClose(meanLoss(data, 1), before, 1e-12), `${name}: the loss before`);
    const found = bestTemperature(data);
    if (temperature === null || after === null || found === undefined) {
      t.equal(found ?? null, temperature, `${name}: there is none`);
      continue;
    }
    t.ok(isClose(found, temperature, 1e-9), `${name}: ${found} is ${temperature}`);
    t.ok(isClose(meanLoss(data, found), after, 1e-12), `${name}: the loss after`);
  }
  t.end();
});

await t.test('metrics with what was tuned are scikit-learn’s', (t) => {
  for (const { name, logits, labels, per_label: thresholds, tuned } of fixture.thresholds) {
    const task = {
      problemType: 'multi_label_classification' as const,
      labels: thresholds.map((_, id) => `label ${id}`),
    };
    const metrics = createMetrics(task, { thresholds });
    const plain = createMetrics(task);
    for (const one of [metrics, plain])
      one.add(Float32Array.from(logits.flat()), Float32Array.from(labels.flat()), logits.length);
    const { per_class: figures, ...scores } = tuned;
    const wanted = Object.entries(scores).map(([key, value]) => [`tuned_${key}`, value] as const);
    const result = metrics.result();
    t.same(Object.keys(result), [...Object.keys(plain.result()), ...wanted.map(([key]) => key)]);
    for (const [key, value] of wanted) t.ok(Math.abs((result[key] ?? 9) - value) < 1e-9, `${name}: ${key}`);
    t.match(result, plain.result(), `${name}: beside the plain ones`);
    const found = Object.values(metrics.details()?.tuned_per_class ?? {}).map((of) => Object.values(of));
    t.same(found.flat().map(rounded), figures.flat().map(rounded), `${name}: each label`);
    t.same(metrics.details()?.per_class, plain.details()?.per_class);
  }
  for (const { name, logits, labels, temperature, after, error } of fixture.temperature) {
    if (temperature === null || after === null) continue;
    const names = (logits[0] ?? []).map((_, id) => `label ${id}`);
    const isSingle = typeof labels[0] === 'number';
    const problemType = isSingle ? 'single_label_classification' : 'multi_label_classification';
    const metrics = createMetrics({ problemType, labels: names }, { temperature });
    const flat = labels.flat();
    metrics.add(
      Float32Array.from(logits.flat()),
      isSingle ? Int32Array.from(flat) : Float32Array.from(flat),
      logits.length,
    );
    const result = metrics.result();
    t.ok(Math.abs((result['tuned_loss'] ?? 9) - after) < 1e-9, `${name}: loss`);
    const tuned = Object.keys(result).filter((key) => key.startsWith('tuned_'));
    t.same(tuned, ['tuned_loss', ...(isSingle ? ['tuned_expected_calibration_error'] : [])]);
    if (error !== null)
      t.ok(Math.abs((result['tuned_expected_calibration_error'] ?? 9) - error) < 1e-9, `${name}: error`);
    t.equal(metrics.details()?.tuned_per_class, undefined, 'no label changes');
  }
  t.end();
});

function rounded(value: number): number {
  return Math.round(value * 1e9);
}

const multiTask = taskOf('multi_label_classification', ['neg', 'pos', 'film']);

await t.test('a prediction with them', (t) => {
  const single = taskOf('single_label_classification', ['neg', 'pos']);
  const logits = [1, 3];
  t.same(predictionOf(logits, single, { temperature: 1 }), predictionOf(logits, single), 'the same bits');
  const cooled = predictionOf(logits, single, { temperature: 4 });
  t.equal(cooled.label, 'pos');
  t.ok(isClose(cooled.score, 1 / (1 + Math.exp(-0.5)), 1e-15));
  t.equal(
    predictionOf([0, 1e-7], single, { temperature: 1e9 }).label,
    'pos',
    'not even where probabilities are equal',
  );

  const flagged = [-1, 0.5, 2];
  t.same(predictionOf(flagged, multiTask).label, ['pos', 'film']);
  const tuned = predictionOf(flagged, multiTask, { thresholds: [0.2, 0.9, 0.5], temperature: 2 });
  t.same(tuned.label, ['neg', 'film'], 'thresholds are for probabilities before the temperature');
  t.ok(isClose(tuned.score, 1 / (1 + Math.exp(-1)), 1e-15));
  t.ok(isClose(tuned.probabilities['neg'] ?? 0, 1 / (1 + Math.exp(0.5)), 1e-15));
  t.end();
});

const folder = t.testdir();
makeToy(folder, { train: 1, test: 1 });

async function saveModel(name: string, task: Pick<Task, 'problemType' | 'labels'>): Promise<void> {
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, name), task);
  await model.savePretrained(join(folder, name));
  await model.close();
  await (await BertTokenizer.fromPretrained(join(folder, 'model'))).savePretrained(join(folder, name));
}

function run(command: string, options: Options): Promise<Outcome> {
  const cheap = { threads: '1', 'dataloader-num-workers': '0' };
  return bertune([command, ...flags({ ...cheap, ...options })], { cwd: folder });
}

async function predictionsOf(model: string): Promise<Prediction[]> {
  const { stdout, stderr, code } = await run('predict', { model, 'test-file': 'multi.jsonl' });
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Prediction);
}

const rows = Array.from({ length: 60 }, (_, row) => toyRow(row));
const given = rows.map(({ text, label }) => [label, ...(text.includes('film') ? ['film'] : [])]);
const CALIBRATION = join(folder, 'multi/bertune_calibration.json');

function calibration(): { temperature?: number; thresholds?: Record<string, number> } {
  return JSON.parse(readFileSync(CALIBRATION, 'utf8')) as ReturnType<typeof calibration>;
}

await t.test('evaluate tunes, predict and classify use it', async (t) => {
  await saveModel('multi', multiTask);
  const lines = rows.map(({ text }, row) => `${JSON.stringify({ text, label: given[row] })}\n`);
  writeFileSync(join(folder, 'multi.jsonl'), lines.join(''));
  const evaluation = { model: 'multi', 'validation-file': 'multi.jsonl' };
  const plain = await predictionsOf('multi');
  const logit = (p: number): number => Math.log(p / (1 - p));
  const data = {
    logits: Float32Array.from(plain.flatMap(({ probabilities }) => Object.values(probabilities).map(logit))),
    labels: Float32Array.from(
      given.flatMap((own) => multiTask.labels.map((label) => (own.includes(label) ? 1 : 0))),
    ),
    width: 3,
    loss: lossOf('multi_label_classification'),
  };

  const heated = await run('evaluate', { ...evaluation, 'tune-temperature': true });
  t.equal(heated.code, 0, heated.stderr);
  t.match(heated.stderr, /Temperature [\d.]+: the loss goes from [\d.]+ to [\d.]+\n/);
  t.match(JSON.parse(heated.stdout), { eval_samples: 60 }, 'metrics as ever');
  const { temperature = 0 } = calibration();
  t.ok(isClose(temperature, bestTemperature(data) ?? 0, 1e-4), `${temperature}`);
  const warm = await predictionsOf('multi');
  t.same(
    warm.map(({ label }) => label),
    plain.map(({ label }) => label),
    'no label changes',
  );
  const expected = plain.map(
    ({ probabilities }) => 1 / (1 + Math.exp(-logit(probabilities['pos'] ?? 0) / temperature)),
  );
  t.ok(warm.every(({ probabilities }, i) => isClose(probabilities['pos'] ?? 0, expected[i] ?? 0, 1e-9)));

  for (const mode of ['global', 'per_label'] as const) {
    const cut = await run('evaluate', { ...evaluation, 'tune-thresholds': mode });
    t.equal(cut.code, 0, cut.stderr);
    const { thresholds } = tuneThresholds(data, mode);
    const saved = calibration();
    t.equal(saved.temperature, temperature, 'what was tuned before stays');
    t.same(Object.keys(saved.thresholds ?? {}), multiTask.labels);
    const found = Object.values(saved.thresholds ?? {});
    t.ok(
      found.every((value, i) => isClose(value, thresholds[i] ?? 9, 1e-5)),
      `${mode}: ${found.join()}`,
    );
    const { stderr } = await run('predict', { model: 'multi', 'test-file': 'multi.jsonl' });
    t.match(stderr, /^Labels are given by the thresholds that bertune evaluate tuned$/m);
    const after = await predictionsOf('multi');
    const wanted = plain.map(({ probabilities }) =>
      multiTask.labels.filter((label) => (probabilities[label] ?? 0) > (saved.thresholds?.[label] ?? 9)),
    );
    t.same(
      after.map(({ label }) => label),
      wanted,
      `${mode}: labels above their thresholds`,
    );
    t.notSame(
      wanted,
      plain.map(({ label }) => label),
    );
    t.same(
      after.map(({ score }) => score),
      warm.map(({ score }) => score),
    );

    const model = await BertForSequenceClassification.fromPretrained(join(folder, 'multi'));
    const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'multi'));
    const typed = await classify(
      model,
      tokenizer,
      rows.map(({ text }) => text),
    );
    t.same(
      typed.map(({ label }) => label),
      wanted,
      'classify',
    );
    await model.close();
  }

  const { thresholds = {}, temperature: saved = 0 } = calibration();
  const again = await run('evaluate', evaluation);
  t.equal(again.code, 0, again.stderr);
  t.match(again.stderr, /With the tuned thresholds and temperature [\d.]+ that predict uses \(eval_tuned_\*/);
  const results = JSON.parse(again.stdout) as Record<string, number> & Record<'eval_per_class', object>;
  const metrics = createMetrics(multiTask, { thresholds: Object.values(thresholds), temperature: saved });
  metrics.add(data.logits, data.labels, 60);
  for (const name of ['tuned_f1_micro', 'tuned_f1_macro', 'tuned_subset_accuracy', 'f1_micro'])
    t.equal(results[`eval_${name}`], metrics.result()[name], name);
  t.ok(Math.abs((results['eval_tuned_loss'] ?? 9) - (metrics.result()['tuned_loss'] ?? 0)) < 1e-6);
  t.same(results['eval_tuned_per_class'], metrics.details()?.tuned_per_class);
  t.notSame(results['eval_tuned_per_class'], results['eval_per_class']);
});

await t.test('thresholds are saved also where there is no best temperature', async (t) => {
  await saveModel('even', multiTask);
  // The same text with and without its only label: what is predicted for it says nothing.
  const lines = [['neg'], ['pos', 'film']].map((label) => `${JSON.stringify({ text: 'film', label })}\n`);
  writeFileSync(join(folder, 'constant.jsonl'), lines.join(''));
  const both = { 'tune-thresholds': 'global', 'tune-temperature': true } as const;
  const { code, stderr } = await run('evaluate', {
    model: 'even',
    'validation-file': 'constant.jsonl',
    ...both,
  });
  t.equal(code, 2, stderr);
  t.match(stderr, /Thresholds \(global\).*\nSaved for predict.*\n.*There is no best temperature: /);
  const saved = readFileSync(join(folder, 'even/bertune_calibration.json'), 'utf8');
  t.same(Object.keys(JSON.parse(saved) as object), ['thresholds']);
});

await t.test('not for other weights or another head', async (t) => {
  const other = { labels: ['a', 'b', 'c'], problemType: 'multi_label_classification' as const };
  const model = await BertForSequenceClassification.fromPretrained(join(folder, 'multi'), other);
  t.same(model.calibration, {}, 'a new head');
  await model.close();
  const saved = readFileSync(CALIBRATION, 'utf8');
  await saveModel('multi', multiTask);
  t.notOk(existsSync(CALIBRATION), 'new weights in the same folder');
  writeFileSync(CALIBRATION, saved);
});

await t.test('not when the model is trained further, nor with the weights of another', async (t) => {
  const where = join(folder, 'tuned');
  const { problemType, labels } = multiTask;
  await saveModel('tuned', multiTask);
  const tuned = { temperature: 2, thresholds: [0.2, 0.9, 0.5] };
  await writeCalibration(where, tuned, multiTask);
  const open = () => BertForSequenceClassification.fromPretrained(where, { problemType, labels });

  const other = await open();
  t.same(other.calibration, tuned, 'its own labels, given by name');
  await other.open({ threads: 1 });
  await other.loadWeights(where);
  t.same(other.calibration, {}, 'other weights');
  await other.close();

  writeFileSync(
    join(folder, 'further.jsonl'),
    rows.map(({ text }, row) => `${JSON.stringify({ text, label: given[row] })}\n`).join(''),
  );
  const data = await loadDataset(
    { train: join(folder, 'further.jsonl') },
    { modelLabels: labels, problemType },
  );
  const model = await open();
  const trainer = new Trainer({
    model,
    args: trainingArguments({
      outputDir: join(folder, 'further'),
      maxSteps: 1,
      saveStrategy: 'no',
      threads: 1,
    }),
    tokenizer: await BertTokenizer.fromPretrained(where),
    trainDataset: data.train,
    progress: new Progress({ write: () => true }),
  });
  t.same(model.calibration, tuned);
  await trainer.train();
  t.same(model.calibration, {}, 'trained further');
  await trainer.close();
  await model.close();
  await data.close();
});

await t.test('what cannot be', async (t) => {
  await saveModel('single', { problemType: 'single_label_classification', labels: ['neg', 'pos'] });
  await saveModel('value', { problemType: 'regression', labels: ['LABEL_0'] });
  writeFileSync(
    join(folder, 'single.csv'),
    `text,label\n${rows.map(({ text, label }) => `${text},${label}\n`).join('')}`,
  );
  const constant = `text,label\n${rows.map(({ label }) => `film,${label}\n`).join('')}`;
  writeFileSync(join(folder, 'constant.csv'), constant);
  const single = { model: 'single', 'validation-file': 'single.csv' };
  const multi = { model: 'multi', 'validation-file': 'multi.jsonl' };
  const refusals: [Options, RegExp][] = [
    [
      { ...single, 'tune-thresholds': 'global' },
      /--tune-thresholds is for models that give several labels a row, and single is for single_label_/,
    ],
    [
      { ...single, model: 'value', 'tune-temperature': true },
      /--tune-temperature is for probabilities, and value is for regression/,
    ],
    [
      { ...multi, 'tune-thresholds': 'best' },
      /Expected one of global, per_label for --tune-thresholds but received "best"/,
    ],
    [
      { ...single, 'validation-file': 'constant.csv', 'tune-temperature': true },
      /There is no best temperature: /,
    ],
  ];
  const label = '"neg": 0.5, "pos": 0.5';
  const damages: [string, RegExp][] = [
    ['{', /bertune_calibration\.json is not valid JSON/],
    ['{"temperature": 0}', /does not fit the model: .*Remove it, or tune again/],
    ['{"temperature": 1, "more": 1}', /does not fit the model: .*more/],
    [`{"thresholds": {${label}}}`, /does not fit the model: it has no threshold for the label "film"/],
    [
      `{"thresholds": {${label}, "film": 0.5, "x": 0.5}}`,
      /does not fit the model: the model has no label "x"/,
    ],
    [`{"thresholds": {${label}, "film": 1.5}}`, /does not fit the model: .*1/],
  ];
  for (const [options, message] of refusals) {
    const outcome = await run('evaluate', options);
    t.equal(outcome.code, 2, message.source);
    t.match(outcome.stderr, message);
  }
  t.notOk(existsSync(join(folder, 'single/bertune_calibration.json')), 'nothing is left behind');
  for (const [content, message] of damages) {
    writeFileSync(CALIBRATION, content);
    await t.rejects(BertForSequenceClassification.fromPretrained(join(folder, 'multi')), {
      name: 'UsageError',
      message,
    });
  }
  rmSync(CALIBRATION);
});
