// A model from `fromPretrained` to `close`: the files that it holds, and use after the end.
import { cpSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  BertForSequenceClassification,
  classify,
  evaluate,
  parseBertConfig,
  predict,
  RobertaForSequenceClassification,
  RunError,
  type EncoderModel,
} from '../../dist/index.js';
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
