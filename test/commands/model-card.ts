// The model card that train and merge leave in the output folder, and what becomes of a file that is there.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';

import { findFiles } from '../../dist/commands/data.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { dataset, startHub } from '../fixtures/hub.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 24, test: 8 });

const shape: Options = { config: 'model/config.json', tokenizer: 'model' };
const training: Options = {
  threads: '1',
  'dataloader-num-workers': '0',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'max-steps': '1',
  'save-strategy': 'no',
};

function train(options: Options): Promise<Outcome> {
  return bertune(['train', ...flags({ ...training, ...options })], { cwd: folder });
}

function cardOf(name: string): { text: string; metadata: Record<string, unknown> } {
  const text = readFileSync(join(folder, name, 'README.md'), 'utf8');
  return { text, metadata: parse(text.split('---\n')[1] ?? '') };
}

function resultsOf(name: string): Record<string, number> {
  return JSON.parse(readFileSync(join(folder, name, 'eval_results.json'), 'utf8'));
}

interface ModelIndex {
  name: string;
  results: { dataset: { name: string; type: string }; metrics: { name: string; value: number }[] }[];
}

await t.test('train writes it, with the metrics of the saved model', async (t) => {
  const { code, stderr } = await train({
    ...shape,
    'output-dir': 'out',
    language: ['en', 'no'],
    license: 'mit',
  });
  t.equal(code, 0, stderr);
  const { text, metadata } = cardOf('out');
  t.match(metadata, { language: ['en', 'no'], license: 'mit', pipeline_tag: 'text-classification' });
  t.notOk('base_model' in metadata || 'datasets' in metadata, 'random weights and files have no id');
  const [index] = metadata['model-index'] as ModelIndex[];
  t.same(index?.results[0]?.dataset, { name: 'test.csv', type: 'unknown' });
  const { eval_accuracy: accuracy, eval_f1_macro: f1 } = resultsOf('out');
  const found = Object.fromEntries(index?.results[0]?.metrics.map(({ name, value }) => [name, value]) ?? []);
  t.match(found, { Accuracy: accuracy, 'F1 Macro': f1 });
  t.match(text, /^\| max\\_steps \| 1 \|$/m, 'options that differ');
  t.notMatch(text, /num\\_train\\_epochs|output\\_dir/, 'and no others');
});

await t.test('an edited one stays, and so does another file', async (t) => {
  const path = join(folder, 'out', 'README.md');
  const added = `${readFileSync(path, 'utf8')}\nMine.\n`;
  writeFileSync(path, added);
  const again = await train({ ...shape, 'output-dir': 'out', 'max-steps': '2' });
  t.equal(again.code, 0, again.stderr);
  t.match(cardOf('out').text, /max\\_steps \| 2 [^]*\nMine\.\n$/);
  writeFileSync(path, '# Mine\n');
  const other = await train({ ...shape, 'output-dir': 'out' });
  t.equal(cardOf('out').text, '# Mine\n');
  t.match(other.stderr, /^note: out.README\.md is not a model card of bertune, and so it stays as it is/m);
  const without = await train({ ...shape, 'output-dir': 'out', 'no-model-card': true });
  t.notMatch(without.stderr, 'README');
  rmSync(path);
  mkdirSync(path);
  const refused = await train({ ...shape, 'output-dir': 'out' });
  t.equal(refused.code, 1);
  t.match(refused.stderr, /README\.md is a folder, but a model has a file of that name; move it away/);
  t.equal((await train({ ...shape, 'output-dir': 'out', 'no-model-card': true })).code, 0);
  rmSync(path, { recursive: true });
});

await t.test('an adapter and what merge makes of it', async (t) => {
  const trained = await train({ model: 'out', 'output-dir': 'adapter', 'lora-rank': '2', license: 'mit' });
  t.equal(trained.code, 0, trained.stderr);
  t.match(cardOf('adapter').metadata, { library_name: 'peft', tags: ['bertune', 'lora', 'transformers'] });
  const merged = await bertune(['merge', 'adapter', ...flags({ 'output-dir': 'merged', language: 'de' })], {
    cwd: folder,
  });
  t.equal(merged.code, 0, merged.stderr);
  const { text, metadata } = cardOf('merged');
  t.match(metadata, { library_name: 'transformers', license: 'mit', language: ['de'], tags: ['bertune'] });
  t.equal((metadata['model-index'] as ModelIndex[])[0]?.results[0]?.dataset.name, 'test.csv');
  t.match(text, 'fine-tuned from a model of a local folder on train.csv.');
  t.match(text, 'lora\\_rank | 2');
  rmSync(join(folder, 'adapter/training_options.json'));
  rmSync(join(folder, 'adapter/eval_results.json'));
  const bare = await bertune(['merge', 'adapter', ...flags({ 'output-dir': 'bare' })], { cwd: folder });
  t.equal(bare.code, 0, bare.stderr);
  t.notMatch(cardOf('bare').text, /train\.csv|model-index|## Training/, 'what is not known is left out');
  const none = await bertune(
    ['merge', 'adapter', ...flags({ 'output-dir': 'none', 'no-model-card': true })],
    {
      cwd: folder,
    },
  );
  t.equal(none.code, 0, none.stderr);
  t.notOk(existsSync(join(folder, 'none/README.md')));
});

await t.test('languages and licences that the hub does not know', async (t) => {
  const { code, stderr } = await train({
    ...shape,
    'output-dir': 'x',
    language: ['English', 'en'],
    license: 'MIT',
  });
  t.equal(code, 2);
  t.match(stderr, 'multilingual or code for --language but received "English"');
  t.match(stderr, 'such as apache-2.0 or mit for --license but received "MIT"');
});

await t.test('the splits of a data set are those of the hub', async (t) => {
  const files = { 'data/train.csv': 'text,label\na,b\n', 'data/test.csv': 'text,label\na,b\n' };
  const { home } = await startHub([dataset('org/rows', files)]);
  const { env } = home(t);
  const before = { ...process.env };
  Object.assign(process.env, env);
  t.teardown(() => void (process.env = before));
  const splitsOf = async (options: object): Promise<unknown> =>
    (await findFiles({ dataset: 'org/rows', ...options }, 'train')).hubSplits;
  t.same(await splitsOf({}), { train: 'train', validation: 'test' });
  t.same(await splitsOf({ trainSplit: 'test', validationSplit: 'train' }), {
    train: 'test',
    validation: 'train',
  });
  t.same(await splitsOf({ validationSplit: 0.1 }), { train: 'train' }, 'a share is of the training rows');
});
