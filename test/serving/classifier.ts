// createClassifier: the answers of predict, calls that share steps, and calls that fail, wait or end without harm to others.
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tap, { type Test } from 'tap';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  BertForSequenceClassification,
  ClassifierClosedError,
  createClassifier,
  parseBertConfig,
  predict,
  QueueFullError,
  UsageError,
  type Classifier,
  type ClassifierOptions,
  type EncoderModel,
  type Encoding,
  type Prediction,
  type Step,
  type TextExample,
} from '../../dist/index.js';
import { StepQueue } from '../../dist/serving/step-queue.js';
import { writeCalibration } from '../../dist/tasks/calibration.js';
import { makeToy, toyRow, TOY_CONFIG } from '../fixtures/toy.js';

const folder = tap.testdir();
const paths = makeToy(folder, { train: 4, test: 4 });
const tokenizer = await AutoTokenizer.fromPretrained(paths.model);
const runtime = { threads: 1, dtype: 'float32', device: 'cpu', dataloaderNumWorkers: 0 } as const;
const texts = Array.from({ length: 40 }, (_, row) => toyRow(row).text);
const long = 'a superb film with dull music and a lovely scene '.repeat(12);

interface Kind {
  problemType: 'single_label_classification' | 'multi_label_classification' | 'regression';
  labels: string[];
  calibration?: { temperature?: number; thresholds?: number[] };
  lora?: { rank: number };
}

/** A model of random weights with its tokenizer, saved. */
async function saved(name: string, { calibration, lora, ...task }: Kind): Promise<string> {
  const directory = join(folder, name);
  const config = parseBertConfig({ ...TOY_CONFIG, initializer_range: 0.5 }, 'toy');
  const model = BertForSequenceClassification.fromConfig(config, task);
  await model.open(runtime);
  await model.savePretrained(directory);
  await model.close();
  await tokenizer.savePretrained(directory);
  if (calibration !== undefined) await writeCalibration(directory, calibration, task);
  if (lora === undefined) return directory;
  const adapter = await AutoModelForSequenceClassification.fromPretrained(directory, { lora });
  const session = await adapter.open(runtime);
  for (const { name: tensor, shape } of session.tensors()) {
    // B is zero at first, so that the adapter would change nothing.
    if (!tensor.includes('lora_B')) continue;
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
    await session.write(tensor, { dtype: 'F32', shape, data: new Uint8Array(data.buffer) });
  }
  await adapter.savePretrained(`${directory}-lora`);
  await adapter.close();
  await tokenizer.savePretrained(`${directory}-lora`);
  return `${directory}-lora`;
}

const binary = await saved('binary', {
  problemType: 'single_label_classification',
  labels: ['neg', 'pos'],
});

async function opened(
  t: Test,
  options: ClassifierOptions & { onStep?: (step: Step) => void } = {},
): Promise<Classifier> {
  const classifier = await createClassifier(binary, { ...runtime, ...options });
  t.teardown(() => classifier.close());
  return classifier;
}

/** What predict says of each text by itself. */
async function predicted(
  directory: string,
  own: readonly (string | TextExample)[],
  options: object = {},
): Promise<Prediction[]> {
  await using model = await AutoModelForSequenceClassification.fromPretrained(directory);
  const all: Prediction[] = [];
  for (const text of own) all.push(...(await predict(model, tokenizer, [text], { ...runtime, ...options })));
  return all;
}

/** Same labels, and figures within 1e-6. */
function same(t: Test, found: readonly Prediction[], wanted: readonly Prediction[], what: string): void {
  const numbers = ({ score, probabilities }: Prediction): number[] => [
    score,
    ...Object.values(probabilities),
  ];
  const labels = (all: readonly Prediction[]): unknown[] =>
    all.map(({ label }) => (typeof [label].flat()[0] === 'string' ? label : 'a number'));
  t.same(labels(found), labels(wanted), `${what}: labels`);
  const ours = found.flatMap(numbers);
  const off = wanted.flatMap(numbers).map((value, i) => Math.abs(value - (ours[i] ?? NaN)));
  t.ok(Math.max(...off) < 1e-6, `${what}: figures within ${Math.max(...off)}`);
}

const together = (classifier: Classifier, own: readonly (string | TextExample)[]): Promise<Prediction[]> =>
  Promise.all(own.map((text) => classifier.classify(text)));

await tap.test('the answers of predict', async (t) => {
  const kinds: Record<string, Kind> = {
    'single label': {
      problemType: 'single_label_classification',
      labels: ['a', 'b', 'c'],
      calibration: { temperature: 2.5 },
    },
    'several labels': {
      problemType: 'multi_label_classification',
      labels: ['film', 'music', 'actor'],
      calibration: { temperature: 0.5, thresholds: [0.3, 0.7, 0.1] },
    },
    regression: { problemType: 'regression', labels: ['LABEL_0'] },
    'several values': { problemType: 'regression', labels: ['stars', 'length'] },
    adapter: { problemType: 'single_label_classification', labels: ['neg', 'pos'], lora: { rank: 2 } },
  };
  const pairs = texts.map((text, row) =>
    row % 3 === 0 ? text : { text, textPair: texts[(row + 7) % 40] ?? '' },
  );
  for (const [name, kind] of Object.entries(kinds)) {
    const directory = await saved(name.replace(' ', '-'), kind);
    const wanted = await predicted(directory, pairs);
    const steps: Step[] = [];
    const options = { ...runtime, onStep: (step: Step) => void steps.push(step) };
    await using classifier = await createClassifier(directory, options);
    same(t, await together(classifier, pairs), wanted, name);
    t.ok(steps.length < 5, 'in few steps');
    same(t, await classifier.classify(pairs), wanted, `${name}, in one call`);
    const [first = ''] = pairs;
    same(t, [await classifier.classify(first)], wanted.slice(0, 1), `${name}, alone`);
    if (name === 'adapter')
      t.notSame(
        (await predicted(join(folder, 'adapter'), texts.slice(0, 1)))[0]?.score,
        wanted[0]?.score,
        'the adapter does something',
      );
  }
});

await tap.test('long texts as windows, in the steps of others', async (t) => {
  const own = [long, 'a film', `${long} ${long}`, ...texts.slice(0, 6)];
  for (const pooling of ['mean', 'max'] as const) {
    const reading = { maxSeqLength: 12, stride: 3, pooling };
    const wanted = await predicted(binary, own, reading);
    same(t, await together(await opened(t, { ...reading, maxBatchTokens: 30 }), own), wanted, 'over steps');
    const steps: Step[] = [];
    const classifier = await opened(t, { ...reading, onStep: (step) => void steps.push(step) });
    same(t, await together(classifier, own), wanted, pooling);
    t.equal(steps.length, 1);
    t.ok((steps[0]?.texts ?? 0) > own.length, 'windows share the step');
    await t.rejects(classifier.classify({ text: 'a', textPair: 'b' }), UsageError, 'no pairs with a stride');
  }
  t.notSame(
    await predicted(binary, [long], { maxSeqLength: 12 }),
    await predicted(binary, [long], { maxSeqLength: 12, stride: 3 }),
  );
});

await tap.test('calls made together share steps; a call alone does not wait', async (t) => {
  for (const dataloaderNumWorkers of [0, 1]) {
    const steps: Step[] = [];
    // So long that a wait would show.
    const classifier = await opened(t, {
      dataloaderNumWorkers,
      maxWait: 1000,
      onStep: (step) => void steps.push(step),
    });
    await together(classifier, texts);
    t.same(
      steps.map((step) => step.texts),
      [40],
      `${dataloaderNumWorkers} threads`,
    );
    t.equal(
      steps[0]?.tokens,
      texts.reduce((sum, text) => sum + tokenizer.encode(text).ids.length, 0),
    );
    steps.length = 0;
    const began = performance.now();
    for (const text of texts.slice(0, 3)) await classifier.classify(text);
    t.ok(performance.now() - began < 1000, 'none of the three waited');
    t.same(
      steps.map((step) => step.texts),
      [1, 1, 1],
    );
  }
});

await tap.test('no step has more tokens than it may, and a longer text goes by itself', async (t) => {
  const steps: Step[] = [];
  const classifier = await opened(t, { maxBatchTokens: 30, onStep: (step) => void steps.push(step) });
  same(t, await together(classifier, [...texts, long]), await predicted(binary, [...texts, long]), 'all');
  t.ok(steps.length > 5);
  t.ok(steps.every(({ texts: count, tokens }) => tokens <= 30 || count === 1));
  t.equal(Math.max(...steps.map(({ tokens }) => tokens)), 32, 'the long one is cut to 32');
});

await tap.test('a full queue refuses at once, and takes calls again later', async (t) => {
  const classifier = await opened(t, { maxQueue: 5 });
  const wanted = await predicted(binary, texts.slice(0, 5));
  const waiting = together(classifier, texts.slice(0, 5));
  t.equal(classifier.pending, 5);
  t.ok(classifier.isFull);
  const error = await classifier.classify('a film').catch((caught: unknown) => caught);
  t.ok(error instanceof QueueFullError && error.retryable);
  t.match(error, {
    message: 'The queue is full: 5 texts have no answer yet, of 5 at most (maxQueue); try again later',
  });
  same(t, await waiting, wanted, 'nobody else lost an answer');
  t.equal(classifier.pending, 0);
  t.type(await classifier.classify('a film'), 'object');
  await t.rejects(classifier.classify(texts.slice(0, 6)), {
    name: 'UsageError',
    message: /6 texts.*takes 5/,
  });
});

await tap.test('an aborted call leaves the queue; others keep their answers', async (t) => {
  const steps: Step[] = [];
  const classifier = await opened(t, { maxBatchTokens: 1, onStep: (step) => void steps.push(step) });
  const wanted = await predicted(binary, texts.slice(0, 8));
  const stop = new AbortController();
  const { signal: stays } = new AbortController();
  const calls = texts
    .slice(0, 8)
    .map((text, row) => classifier.classify(text, { signal: row % 2 === 1 ? stop.signal : stays }));
  await calls[0]; // the second runs now, the others wait
  stop.abort(new Error('gone'));
  const results = await Promise.allSettled(calls);
  same(
    t,
    results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    wanted.filter((_, row) => row % 2 === 0),
    'the others',
  );
  for (const row of [1, 3, 5, 7]) t.match(results[row], { status: 'rejected', reason: { message: 'gone' } });
  t.equal(classifier.pending, 0);
  t.equal(classifier.waiting, 0);
  t.equal(steps.length, 5, 'four answers, and the one step that ran');
  await t.rejects(classifier.classify('a', { signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  });
  t.equal(steps.length, 5);
});

await tap.test('a call that is aborted while it is tokenized has its place until that is done', async (t) => {
  const classifier = await opened(t, { maxQueue: 2, dataloaderNumWorkers: 1 });
  const stop = new AbortController();
  const calls = texts.slice(0, 2).map((text) => classifier.classify(text, { signal: stop.signal }));
  stop.abort(new Error('gone'));
  for (const call of calls) await t.rejects(call, { message: 'gone' });
  t.equal(classifier.pending, 2);
  await t.rejects(classifier.classify('a film'), { name: 'QueueFullError' });
  while (classifier.pending > 0) await sleep(1);
  t.type(await classifier.classify('a film'), 'object');
});

await tap.test('one bad text fails its own call', async (t) => {
  const classifier = await opened(t);
  const wanted = await predicted(binary, texts);
  const bad = classifier.classify(5 as unknown as string);
  const [answers] = await Promise.all([
    together(classifier, texts),
    t.rejects(bad, {
      name: 'UsageError',
      message: /Expected a text, or \{ text, textPair \} for texts but received 5/,
    }),
    t.rejects(classifier.classify({ text: 'a', textPair: 1 as unknown as string }), UsageError),
    t.rejects(classifier.classify(['a film', null as unknown as string]), UsageError),
  ]);
  same(t, answers, wanted, 'the others');
  t.same(await classifier.classify([]), []);
});

await tap.test('a step that fails is done again text by text', async (t) => {
  await using model = await AutoModelForSequenceClassification.fromPretrained(binary);
  const session = await model.open(runtime);
  const real = session.predict.bind(session);
  // A failure of the device, which some batches bring about.
  session.predict = (batch) =>
    batch.inputIds.includes(tokenizer.tokenToId('dull') ?? -1)
      ? Promise.reject(new Error('no memory'))
      : real(batch);
  await using classifier = await createClassifier(model, { ...runtime, tokenizer });
  const own = ['a good film', 'a dull film', 'a great plot'];
  const results = await Promise.allSettled(own.map((text) => classifier.classify(text)));
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  const two = await Promise.allSettled([
    classifier.classify(['a fine film', 'a dull film']),
    classifier.classify('a plot'),
  ]);
  t.same(
    two.map(({ status }) => status),
    ['rejected', 'fulfilled'],
    'a call of two texts fails as a whole',
  );
});

await tap.test('a folder that is no model is refused for what it lacks first', async (t) => {
  for (const path of ['empty', 'stopped/checkpoint-4', 'no-tokenizer'])
    mkdirSync(join(folder, path), { recursive: true });
  for (const name of ['config.json', 'model.safetensors'])
    copyFileSync(join(binary, name), join(folder, 'no-tokenizer', name));
  for (const [name, message] of [
    ['empty', /empty is not a model: it has no config\.json; give the folder that a training or /],
    ['stopped', /only checkpoints of a training .* use one of them, such as .*checkpoint-4$/],
    ['no-tokenizer', /^No tokenizer\.json, /],
  ] as const)
    await t.rejects(createClassifier(join(folder, name), runtime), { name: 'UsageError', message });
});

await tap.test('close waits for the answers, and takes no more calls', async (t) => {
  const classifier = await createClassifier(binary, { ...runtime, maxBatchTokens: 20 });
  const wanted = await predicted(binary, texts);
  const answers = together(classifier, texts);
  const closed = classifier.close();
  const late = await classifier.classify('late').catch((error: unknown) => error);
  t.ok(late instanceof ClassifierClosedError, 'refused while it drains');
  same(t, await answers, wanted, 'drained');
  await closed;
  t.equal(classifier.close(), classifier.close(), 'closing twice does nothing');
  await t.rejects(classifier.model.open(), /closed/, 'it closed the model that it loaded');

  await using model: EncoderModel = await AutoModelForSequenceClassification.fromPretrained(binary);
  {
    await using other = await createClassifier(model, { ...runtime, tokenizer });
    t.type((await other.classify('a film')).label, 'string');
  }
  t.ok(await model.open(), "the caller's model stays open");
});

await tap.test('an aborted call does not keep close waiting', async (t) => {
  const classifier = await createClassifier(binary, { ...runtime, maxBatchTokens: 1 });
  const stop = new AbortController();
  const calls = texts.map((text) => classifier.classify(text, { signal: stop.signal }));
  const settled = Promise.allSettled(calls);
  const closed = classifier.close();
  stop.abort();
  await closed;
  t.ok((await settled).every(({ status }) => status === 'rejected'));
});

await tap.test('a step waits for texts that are being tokenized, but no longer than maxWait', async (t) => {
  const steps: number[] = [];
  const predictStub = (encodings: readonly Encoding[]): Promise<Float32Array> => {
    steps.push(encodings.length);
    return Promise.resolve(Float32Array.from(encodings, ({ ids }) => ids[0] ?? 0));
  };
  const queue = new StepQueue(predictStub, { maxTokens: 100, maxWait: 20 });
  const text = (id: number): Encoding[] => [{ ids: Int32Array.of(id), typeIds: null }];
  const soon = queue.run(() => sleep(5, text(2)));
  const stop = new AbortController();
  const never = queue.run(() => new Promise(() => undefined), stop.signal);
  const began = performance.now();
  const first = await queue.run(() => Promise.resolve(text(1)));
  t.ok(performance.now() - began >= 15, 'it waited');
  t.same([first, await soon], [[Float32Array.of(1)], [Float32Array.of(2)]]);
  t.same(steps, [2], 'with the one that came in time');
  stop.abort(new Error('stopped'));
  await t.rejects(never, { message: 'stopped' });
  const failed = queue.run(() => sleep(5).then(() => Promise.reject(new Error('no text'))));
  const other = queue.run(() => Promise.resolve(text(4)));
  await t.rejects(failed, { message: 'no text' });
  t.same(await other, [Float32Array.of(4)]);
  t.same(steps, [2, 1]);
});

await tap.test('models and options that cannot be used', async (t) => {
  const create = (model: string | EncoderModel, options: object) => createClassifier(model, options);
  await t.rejects(create(join(folder, 'none'), {}), UsageError);
  await t.rejects(create(binary, { maxQueue: 0 }), { name: 'UsageError', message: /for maxQueue/ });
  await t.rejects(create(binary, { maxWait: -1 }), { name: 'UsageError', message: /for maxWait/ });
  await t.rejects(create(binary, { batchSize: 8 }), { message: /batchSize/ });
  await t.rejects(create(binary, { perDeviceEvalBatchSize: 8 }), {
    message: 'perDeviceEvalBatchSize has no meaning for createClassifier()',
  });
  await t.rejects(create(binary, { maxSeqLength: 999 }), { message: /has 32 positions/ });
  await t.rejects(create(binary, { pooling: 'max' }), UsageError);
  await t.rejects(create(binary, { problemType: 'regression' }), UsageError);
  await using model = await AutoModelForSequenceClassification.fromPretrained(binary);
  await t.rejects(create(model, {}), { name: 'UsageError', message: /tokenizer is needed beside a model/ });
  const broken = await AutoModelForSequenceClassification.fromPretrained(binary);
  const session = await broken.open(runtime);
  const data = new Uint8Array(Float32Array.of(NaN, NaN).buffer);
  await session.write('classifier.bias', { dtype: 'F32', shape: [2], data });
  await t.rejects(createClassifier(broken, { ...runtime, tokenizer }), {
    name: 'RunError',
    message: /not finite/,
  });
  await broken.close();
  const typed = await createClassifier(binary, { ...runtime, problemType: 'single_label_classification' });
  const { label } = await typed.classify('a film');
  t.type(label.toUpperCase(), 'string');
  await typed.close();
});
