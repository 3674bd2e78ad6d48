// Adapters on the hub: `--model org/adapter`, whose base is on the hub too. From a loopback server, as in test/hub.ts.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { BertForSequenceClassification, BertTokenizer, parseBertConfig } from '../../dist/index.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { HubServer, type Files } from '../fixtures/hub-server.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 24, test: 20 });
const task = { problemType: 'single_label_classification' as const, labels: ['neg', 'pos'] };
const BATCH = { inputIds: Int32Array.of(2, 5, 7, 3, 2, 9, 3), cuSeqlens: Int32Array.of(0, 4, 7) };
const onCpu = { threads: 1, dtype: 'float32', device: 'cpu' } as const;

const random = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), task);
await random.open(onCpu);
await random.savePretrained(join(folder, 'base'));
await random.close();
const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));
await tokenizer.savePretrained(join(folder, 'base'));

/** An adapter that does change the logits. */
const adapted = await BertForSequenceClassification.fromPretrained(join(folder, 'base'), {
  lora: { rank: 2, baseName: 'org/base', baseRevision: 'v2' },
});
const session = await adapted.open(onCpu);
for (const { name, shape } of session.tensors().filter((tensor) => tensor.name.endsWith('lora_B.weight'))) {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i + 1));
  await session.write(name, { dtype: 'F32', shape, data: new Uint8Array(values.buffer) });
}
await adapted.savePretrained(join(folder, 'adapter'));
const expected = [...(await session.predict(BATCH))];
await adapted.close();

function filesOf(directory: string, names: readonly string[]): Files {
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, directory, name))]));
}

const base = filesOf('base', readdirSync(join(folder, 'base')));
// As PEFT pushes it: no config.json and no tokenizer.
const bare = filesOf('adapter', ['adapter_config.json', 'adapter_model.safetensors']);
const lame = { ...base, 'vocab.txt': 'of another revision\n', 'tokenizer.json': '{}' };
const repo = (id: string, branches: Record<string, Files>) => ({ type: 'model' as const, id, branches });
const server = await HubServer.start([
  repo('org/base', { main: lame, v2: base }),
  repo('org/adapter', {
    main: { ...bare, 'README.md': 'x', 'adapter_model.bin': 'pickled', 'training_args.bin': 'pickled' },
    later: { ...bare, ...filesOf('adapter', ['config.json']) },
  }),
  repo('org/pickled', { main: { 'adapter_config.json': '{}', 'adapter_model.bin': 'pickled' } }),
  repo('org/half', { main: { 'adapter_config.json': bare['adapter_config.json'] ?? '' } }),
  repo('org/whole', { main: { ...base, ...bare } }),
]);
t.teardown(() => server.stop());

const env = (cache: string): NodeJS.ProcessEnv => ({
  HF_ENDPOINT: server.endpoint,
  HF_HOME: join(folder, cache),
});
const silently = { progress: () => undefined };

async function logitsOf(
  id: string,
  options: Parameters<typeof BertForSequenceClassification.fromPretrained>[1],
) {
  const model = await BertForSequenceClassification.fromPretrained(id, { ...silently, ...options });
  const logits = [...(await (await model.open(onCpu)).predict(BATCH))];
  await model.close();
  return { logits, lora: model.lora };
}

await t.test('an adapter and its base, at the revision that it names', async (t) => {
  const { logits, lora } = await logitsOf('org/adapter', { env: env('hub') });
  t.same(logits, expected);
  t.match(lora, { base: 'org/base', revision: 'v2', rank: 2 });
  const asked = server.seen.map(({ path }) => path).filter((path) => path.includes('/resolve/'));
  t.notOk(
    asked.some((path) => path.includes('.bin') || path.includes('README')),
    'nothing else is downloaded',
  );
  server.reset();
  const again = await logitsOf('org/adapter', { env: { ...env('hub'), HF_HUB_OFFLINE: '1' } });
  t.same(again.logits, expected, 'and once more without the hub');
  t.same(server.seen, []);

  const local = await logitsOf('org/adapter', { env: env('hub'), baseModel: join(folder, 'base') });
  t.same(local.logits, expected, 'on another base');
  t.match(
    local.lora,
    { base: join(folder, 'base'), revision: null },
    'whose revision is not that of the first',
  );
  t.same((await logitsOf('org/adapter', { env: env('hub'), revision: 'later' })).logits, expected);
  const whole = await logitsOf('org/whole', { env: env('hub') });
  t.equal(whole.lora, undefined, 'weights of a whole model win, as in a folder');
});

await t.test('repositories that hold no adapter to use', async (t) => {
  for (const [id, message] of [
    ['org/pickled', /org\/pickled" has adapter_model\.bin but no adapter_model\.safetensors, and pickled/],
    ['org/half', /org\/half" has no adapter_model\.safetensors/],
  ] as const)
    await t.rejects(logitsOf(id, { env: env('hub') }), { name: 'UsageError', message });
});

await t.test('a base beside the adapter is found there, wherever one stands', async (t) => {
  const path = join(folder, 'adapter', 'adapter_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...config, base_model_name_or_path: '../base', revision: null }));
  const { logits, lora } = await logitsOf(join(folder, 'adapter'), {});
  t.same(logits, expected);
  t.equal(lora?.base, join(folder, 'base'));
});

await t.test('on the command line', async (t) => {
  const wrapper = ['env', 'HF_HUB_OFFLINE=0', `HF_ENDPOINT=${server.endpoint}`];
  const run = (command: string, options: Options): Promise<Outcome> =>
    bertune([command, ...flags({ model: 'org/adapter', ...options })], { cwd: folder, wrapper });
  const cheap = { threads: '1', dtype: 'float32', 'dataloader-num-workers': '0' };

  const evaluated = await run('evaluate', { ...cheap, 'validation-file': 'test.csv' });
  t.equal(evaluated.code, 0, evaluated.stderr);
  const merged = await run('merge', { 'output-dir': 'merged' });
  t.equal(merged.code, 0, merged.stderr);
  const again = await run('evaluate', { ...cheap, model: 'merged', 'validation-file': 'test.csv' });
  const lossOf = ({ stdout }: Outcome): number => (JSON.parse(stdout) as { eval_loss: number }).eval_loss;
  t.ok(Math.abs(lossOf(evaluated) - lossOf(again)) < 1e-6, 'merged, it is the same');

  const trained = await run('train', {
    ...cheap,
    'train-file': 'train.csv',
    'output-dir': 'further',
    'max-steps': '1',
    'save-strategy': 'no',
  });
  t.equal(trained.code, 0, trained.stderr);
  const saved = JSON.parse(readFileSync(join(folder, 'further/adapter_config.json'), 'utf8')) as object;
  t.match(saved, { base_model_name_or_path: 'org/base', revision: 'v2', r: 2 }, 'trained further');
  const notOne = await run('merge', { model: 'org/base', 'model-revision': 'v2', 'output-dir': 'x' });
  t.equal(notOne.code, 2);
  t.match(notOne.stderr, /org\/base is not an adapter to merge/);
});
