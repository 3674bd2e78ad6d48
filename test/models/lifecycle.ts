// A model from `fromPretrained` to `close`: the files that it holds, random weights that predict, and use after the end.
import { cpSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import tap, { type Test } from 'tap';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  BertForSequenceClassification,
  classify,
  evaluate,
  loadDataset,
  parseBertConfig,
  predict,
  RobertaForSequenceClassification,
  RunError,
  Trainer,
  trainingArguments,
  type EncoderModel,
} from '../../dist/index.js';
import { bertune } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const folder = tap.testdir();
const paths = makeToy(folder, { train: 8, test: 4 });
const runtime = { threads: 1, dtype: 'float32', device: 'cpu', dataloaderNumWorkers: 0 } as const;
const labels = ['neg', 'pos'];
const tokenizer = await AutoTokenizer.fromPretrained(paths.model);

const directory = join(folder, 'saved');
{
  await using model = ofConfig();
  await model.open({ threads: 1, dtype: 'float32' });
  await model.savePretrained(directory);
  await tokenizer.savePretrained(directory);
}

function ofConfig(): EncoderModel {
  return BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), { labels });
}

const load = (from = directory): Promise<EncoderModel> =>
  AutoModelForSequenceClassification.fromPretrained(from);
/** Its head is for two labels. */
const withNewHead = (): Promise<EncoderModel> =>
  AutoModelForSequenceClassification.fromPretrained(directory, { labels: ['a', 'b', 'c'] });

/** The files of a folder that this process has open. */
function openFiles(within: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const path = readlinkSync(join('/proc/self/fd', name));
      return path.startsWith(within) ? [path] : [];
    } catch {
      return []; // that of the listing itself
    }
  });
}

const isLinux = process.platform === 'linux';
await tap.test('a model holds no file open', { skip: isLinux ? false : 'looks into /proc' }, async (t) => {
  const model = await load();
  t.same(openFiles(directory), [], 'that is loaded');
  await model.open(runtime);
  t.same(openFiles(directory), [], 'that is open');
  await model.close();
  await t.rejects(RobertaForSequenceClassification.fromPretrained(directory));
  t.same(openFiles(directory), [], 'that is refused');
});

await tap.test('the weights are those that were checked', async (t) => {
  const copy = join(t.testdir(), 'copy');
  cpSync(directory, copy, { recursive: true });
  const weights = join(copy, 'model.safetensors');
  const changed = { name: RunError.name, message: /model\.safetensors was replaced or changed .*; load the/ };

  const replaced = await load(copy);
  await using other = ofConfig();
  await other.open({ ...runtime, seed: 1 });
  await other.savePretrained(copy); // of the same size and the same tensors
  await t.rejects(replaced.open(runtime), changed, 'another file');
  await t.rejects(replaced.open(runtime), changed, 'and again');
  if (isLinux) t.same(openFiles(copy), []);
  await replaced.close();

  const overwritten = await load(copy);
  writeFileSync(weights, readFileSync(join(directory, 'model.safetensors')));
  utimesSync(weights, 1, 1);
  await t.rejects(overwritten.open(runtime), changed, 'other content');
  await overwritten.close();

  await using unchanged = await load(copy);
  const session = await unchanged.open(runtime);
  await using original = await load();
  const name = 'classifier.weight';
  t.same(await session.read(name), await (await original.open(runtime)).read(name));
});

/** The warnings of untrained models that a call makes. */
async function warningsOf(call: () => Promise<unknown>): Promise<string[]> {
  const found: string[] = [];
  const listen = ({ name, message }: Error): void => {
    if (name === 'UntrainedModel') found.push(message);
  };
  process.on('warning', listen);
  try {
    await call();
    await setImmediate(); // a warning is emitted a tick later
  } finally {
    process.off('warning', listen);
  }
  return found;
}

await tap.test('one warning where a random head predicts', async (t) => {
  const rows = [{ text: 'good', label: 'a' }];
  const calls: [string, (model: EncoderModel) => Promise<unknown>][] = [
    ['classify', (model) => classify(model, tokenizer, ['good'])],
    ['predict', (model) => predict(model, tokenizer, ['good'])],
    ['evaluate', (model) => evaluate(model, tokenizer, rows)],
  ];
  for (const [name, call] of calls) {
    await using model = await withNewHead();
    t.same(
      await warningsOf(() => call(model)),
      [
        'The model predicts with random weights: its checkpoint lacks classifier.weight, classifier.bias, which are newly ' +
          'initialised; train it first',
      ],
      name,
    );
    t.same(await warningsOf(() => call(model)), [], `${name} once more`);
  }
  await quiet(t, 'a whole checkpoint', load());
  await quiet(t, 'random on purpose', Promise.resolve(ofConfig()));
  const loaded = await withNewHead();
  await loaded.open(runtime);
  const saved = join(t.testdir(), 'three');
  await loaded.savePretrained(saved);
  await loaded.loadWeights(saved);
  await quiet(t, 'the weights of another folder', Promise.resolve(loaded));
});

async function quiet(t: Test, what: string, loading: Promise<EncoderModel>): Promise<void> {
  await using model = await loading;
  t.same(await warningsOf(() => classify(model, tokenizer, ['good'])), [], what);
}

await tap.test('no warning of what a Trainer or the command line trains', async (t) => {
  const out = join(t.testdir(), 'out');
  const rows = ['a', 'b', 'c'].map((label) => ({ text: 'good film', label }));
  await using data = await loadDataset({ train: rows, validation: rows });
  await using model = await withNewHead();
  const args = trainingArguments({ ...runtime, outputDir: out, maxSteps: 1, saveStrategy: 'no' });
  const parts = { model, tokenizer, args, trainDataset: data.train, evalDataset: data.validation };
  await using trainer = new Trainer(parts);
  const trained = await warningsOf(async () => {
    await trainer.train();
    await classify(model, tokenizer, ['good']);
  });
  t.same(trained, []);

  const csv = `text,label\n${rows.map(({ text, label }) => `${text},${label}`).join('\n')}\n`;
  const files = t.testdir({ 'train.csv': csv, 'dev.csv': csv });
  const flags =
    '--train-file train.csv --validation-file dev.csv --output-dir out --max-steps 1 --eval-on-start --label-list a b c';
  const { code, stderr } = await bertune(
    ['train', '--model', directory, ...flags.split(' '), '--threads', '1', '--dataloader-num-workers', '0'],
    { cwd: files },
  );
  t.equal(code, 0, stderr);
  t.equal(stderr.match(/note: classifier is newly initialised/g)?.length, 1);
  t.notMatch(stderr, /UntrainedModel/);
});

await tap.test('what a checkpoint lacks starts as in a model without one', async (t) => {
  await using loaded = await withNewHead();
  await using random = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), {
    labels: ['a', 'b', 'c'],
  });
  for (const model of [loaded, random]) await model.open({ ...runtime, seed: 7 });
  for (const name of loaded.newlyInitialised)
    t.same(await loaded.session.read(name), await random.session.read(name), name);
  t.ok((await loaded.session.read('classifier.weight')).some((value) => value !== 0));
});

await tap.test('a closed model says what to do', async (t) => {
  const closed = {
    name: RunError.name,
    message: 'The model is closed: load it again, or close it only after its last use',
  };
  const used = await load();
  await used.open(runtime);
  await used.close();
  const unused = await load();
  await unused.close();
  for (const model of [used, unused]) {
    await t.rejects(predict(model, tokenizer, ['good']), closed);
    await t.rejects(classify(model, tokenizer, ['good']), closed);
    await t.rejects(evaluate(model, tokenizer, paths.test), closed);
    await t.rejects(model.savePretrained(join(folder, 'new')), closed);
    t.throws(() => model.session, closed);
    await model.close();
  }
});
