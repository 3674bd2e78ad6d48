// Adapters as files and on the command line: trained, resumed, evaluated, merged, and exchanged with PEFT.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

import { writtenBytes } from '../../dist/commands/output.js';
import { BertForSequenceClassification, readBertConfig } from '../../dist/index.js';
import { openSafetensors, writeSafetensors } from '../../dist/formats/safetensors.js';
import type { PackedBatch } from '../../dist/native/index.js';
import { bertune, flags, startBertune, type Options } from '../fixtures/cli.js';
import { bytesOf } from '../fixtures/model-files.js';
import { makeToy } from '../fixtures/toy.js';

const folder = tap.testdir();
makeToy(folder, { train: 40, test: 20 });
const here = { cwd: folder };
const IDS = [
  [1, 5, 7, 2],
  [1, 9, 2],
];
const PACKED: PackedBatch = {
  inputIds: Int32Array.from(IDS.flat()),
  cuSeqlens: Int32Array.from([0, 4, 7]),
};

const run = (command: string, options: Options): ReturnType<typeof bertune> =>
  bertune([command, ...flags(options)], here);
const training = {
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'learning-rate': '2e-3',
  'save-strategy': 'no',
  threads: '1',
  'dataloader-num-workers': '0',
};
const adapted = {
  ...training,
  model: 'base',
  'lora-rank': '2',
  'lora-dropout': '0.1',
  'lora-target-modules': 'all-linear',
  'save-strategy': 'steps',
  'save-steps': '4',
  'logging-steps': '2',
  'num-train-epochs': '4',
};

async function logitsOf(directory: string): Promise<number[]> {
  const model = await BertForSequenceClassification.fromPretrained(join(folder, directory));
  const session = await model.open({ threads: 1, dtype: 'float32', device: 'cpu' });
  const logits = await session.predict(PACKED);
  await model.close();
  return [...logits];
}

const far = (a: readonly number[], b: readonly number[]): number =>
  a.length === b.length ? Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN)))) : NaN;

/** The logits that PEFT gives; null where no Python that has it is given. */
function peft(
  action: 'make' | 'load',
  base: string,
  directory: string,
  targets?: string | readonly string[],
): number[] | null {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return null;
  const script = fileURLToPath(new URL('../../scripts/reference/peft_adapter.py', import.meta.url));
  const args = [script, action, join(folder, base), join(folder, directory), '--ids', JSON.stringify(IDS)];
  if (targets !== undefined) args.push('--targets', JSON.stringify(targets));
  const output = execFileSync(python, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  return (JSON.parse(String(output)) as number[][]).flat();
}

const weightsIn = (directory: string): Buffer =>
  readFileSync(join(folder, directory, 'adapter_model.safetensors'));

await tap.test('a base to adapt', async (t) => {
  const base = await run('train', {
    ...training,
    config: 'model/config.json',
    tokenizer: 'model',
    'output-dir': 'base',
    'max-steps': '3',
  });
  t.equal(base.code, 0, base.stderr);
});

await tap.test('trained, evaluated and merged', async (t) => {
  const trained = await run('train', { ...adapted, 'output-dir': 'adapter' });
  t.equal(trained.code, 0, trained.stderr);
  const files = readdirSync(join(folder, 'adapter'));
  t.ok(files.includes('adapter_model.safetensors') && files.includes('adapter_config.json'));
  t.notOk(files.includes('model.safetensors'), 'the weights of the base are not copied');
  const config = JSON.parse(readFileSync(join(folder, 'adapter', 'adapter_config.json'), 'utf8')) as object;
  t.match(config, { peft_type: 'LORA', task_type: 'SEQ_CLS', r: 2, lora_alpha: 8, lora_dropout: 0.1 });

  // bfloat16 rounds the merged weights, but not the sum of base and adapter.
  const exactly = { 'validation-file': 'test.csv', threads: '1', dtype: 'float32' };
  const evaluation = await run('evaluate', { model: 'adapter', ...exactly });
  t.equal(evaluation.code, 0, evaluation.stderr);
  const metrics = JSON.parse(evaluation.stdout) as Record<string, number>;
  const merged = await bertune(['merge', 'adapter', '--output-dir', 'merged'], here);
  t.equal(merged.code, 0, merged.stderr);
  t.notOk(existsSync(join(folder, 'merged', 'adapter_config.json')), 'merged, it is a plain model');
  const [withAdapter, whole, base] = [
    await logitsOf('adapter'),
    await logitsOf('merged'),
    await logitsOf('base'),
  ];
  t.ok(far(whole, withAdapter) < 1e-5, `the merged model answers alike (${far(whole, withAdapter)})`);
  t.ok(far(base, withAdapter) > 1e-3, 'and unlike the base');
  const again = await run('evaluate', { model: 'merged', ...exactly });
  const more = JSON.parse(again.stdout) as Record<string, number>;
  t.ok(Math.abs((more['eval_loss'] ?? NaN) - (metrics['eval_loss'] ?? NaN)) < 1e-5);

  const theirs = peft('load', 'base', 'adapter');
  if (theirs === null) t.comment('BERTUNE_PYTHON is not set, not loaded with PEFT');
  else t.ok(far(theirs, withAdapter) < 1e-5, `PEFT gives the same logits (${far(theirs, withAdapter)})`);
});

await tap.test('killed and resumed: the same bits', async (t) => {
  const started = startBertune(
    ['train', ...flags({ ...adapted, 'output-dir': 'killed', 'dataloader-num-workers': '2' })],
    here,
  );
  const isSaved = (): boolean => existsSync(join(folder, 'killed', 'checkpoint-8'));
  const watch = setInterval(() => {
    if (isSaved()) started.kill('SIGKILL');
  }, 2);
  const { signal } = await started.outcome;
  clearInterval(watch);
  t.equal(signal, 'SIGKILL', 'it was killed before its end');
  const resumed = await run('train', {
    ...adapted,
    'output-dir': 'killed',
    'resume-from-checkpoint': true,
  });
  t.equal(resumed.code, 0, resumed.stderr);
  t.match(resumed.stderr, /Resuming from/);
  t.ok(weightsIn('killed').equals(weightsIn('adapter')), 'the adapter has the same bytes');
  const moments = (name: string): Buffer =>
    readFileSync(join(folder, name, 'checkpoint-20', 'optimizer.safetensors'));
  t.ok(moments('killed').equals(moments('adapter')), 'and so have its moments');
  const changed = await run('train', {
    ...adapted,
    'lora-rank': '3',
    'output-dir': 'killed',
    'resume-from-checkpoint': true,
  });
  t.equal(changed.code, 2);
  t.match(changed.stderr, /lora/i, 'a changed adapter is named');
});

await tap.test('the disk space that is asked for is what is written', async (t) => {
  const config = await readBertConfig(join(folder, 'base'));
  const written = (name: string, options: Options): number => {
    const output = join(folder, name);
    const saves = options['save-strategy'] !== 'no';
    const folders = saves ? [output, join(output, `checkpoint-${String(options['max-steps'])}`)] : [output];
    return folders
      .flatMap((each) => readdirSync(each).map((file) => join(each, file)))
      .filter((path) => path.endsWith('.safetensors'))
      .reduce((sum, path) => sum + statSync(path).size, 0);
  };
  const plain = { saveStrategy: 'steps', saveOnlyModel: false, optim: 'adamw_torch', momentum: 0 } as const;
  const steps = { ...training, model: 'base', 'save-strategy': 'steps', 'max-steps': '1' };
  const freeze = ['bert.embeddings', 'bert.encoder.layer.0'];
  const cases: [string, Options, Partial<Parameters<typeof writtenBytes>[0]>][] = [
    ['space-whole', steps, {}],
    ['space-frozen', { ...steps, freeze }, { freeze }],
    ['space-sgd', { ...steps, optim: 'sgd', momentum: '0.9' }, { optim: 'sgd', momentum: 0.9 }],
    ['space-lora', { ...steps, 'lora-rank': '2' }, {}],
    ['space-lora-no', { ...steps, 'lora-rank': '2', 'save-strategy': 'no' }, { saveStrategy: 'no' }],
  ];
  for (const [name, options, more] of cases) {
    const outcome = await run('train', { ...options, 'output-dir': name });
    t.equal(outcome.code, 0, outcome.stderr);
    const isAdapter = 'lora-rank' in options;
    const model = isAdapter ? await BertForSequenceClassification.fromPretrained(join(folder, name)) : null;
    await model?.close();
    const bytes = writtenBytes({ ...plain, ...more }, config, model?.lora);
    const actual = written(name, options);
    // Above it are the headers of the files, and a step for each tensor.
    t.ok(bytes <= actual && actual - bytes < 40_000, `${name}: ${bytes} of ${actual}`);
  }
  t.equal(writtenBytes({ ...plain, crossValidation: 5 }, config), 0);
  t.throws(
    () => writtenBytes({ ...plain, freeze: ['bert.embedings'] }, config),
    /did you mean bert\.embeddings/,
  );
});

const skip = process.env['BERTUNE_PYTHON'] === undefined && 'BERTUNE_PYTHON is not set';

await tap.test('what PEFT wrote', { skip }, async (t) => {
  // Both take in the pooler.
  for (const [directory, targets] of [
    ['peft-all', 'all-linear'],
    ['peft-dense', ['dense']],
  ] as const)
    t.ok(far(peft('make', 'base', directory, targets) ?? [], await logitsOf(directory)) < 1e-5, directory);
  const theirs = peft('make', 'base', 'peft') ?? [];
  const ours = await logitsOf('peft');
  t.ok(far(theirs, ours) < 1e-5, `the logits are PEFT's (${far(theirs, ours)})`);
  const merged = await bertune(['merge', 'peft', '--output-dir', 'peft-merged'], here);
  t.equal(merged.code, 0, merged.stderr);
  t.ok(far(theirs, await logitsOf('peft-merged')) < 1e-5, 'merged, with the tokenizer of the base');
});

await tap.test('the folder of the base is no place for what needs it', async (t) => {
  symlinkSync('base', join(folder, 'link'));
  symlinkSync('adapter', join(folder, 'own'));
  const before = readFileSync(join(folder, 'base/model.safetensors'));
  for (const [outcome, message] of [
    [await run('train', { ...adapted, 'output-dir': 'link' }), /--output-dir is the folder of the base/],
    [
      await bertune(['merge', 'adapter', '--output-dir', 'link'], here),
      /--output-dir is the folder of the base/,
    ],
    [
      await bertune(['merge', 'adapter', '--output-dir', 'own'], here),
      /--output-dir is the adapter's own folder/,
    ],
  ] as const) {
    t.equal(outcome.code, 2, outcome.stderr);
    t.match(outcome.stderr, message);
  }
  const base = join(folder, 'base');
  const model = await BertForSequenceClassification.fromPretrained(base, { lora: { rank: 2 } });
  await model.open({ threads: 1, device: 'cpu' });
  await t.rejects(model.savePretrained(join(folder, 'link')), {
    name: 'UsageError',
    message: /folder of the base/,
  });
  await model.close();
  t.ok(readFileSync(join(base, 'model.safetensors')).equals(before), 'it is untouched');
});

await tap.test('adapters that cannot be used', async (t) => {
  const damaged = (name: string, change: Record<string, unknown>): string => {
    cpSync(join(folder, 'adapter'), join(folder, name), { recursive: true });
    const path = join(folder, name, 'adapter_config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...config, ...change }));
    return name;
  };
  const cases: [string, RegExp][] = [
    [damaged('dora', { use_dora: true }), /use_dora/],
    [
      damaged('bias', { bias: 'all' }),
      /adapter_config.json: bias must be none: trained biases are not read$/m,
    ],
    [
      damaged('pissa', { init_lora_weights: 'pissa' }),
      /init_lora_weights must be .*: the others change the base/,
    ],
    [damaged('fan', { fan_in_fan_out: true }), /fan_in_fan_out/],
    [damaged('rank', { rank_pattern: { query: 4 } }), /rank_pattern/],
    [damaged('other', { peft_type: 'IA3' }), /peft_type must be LORA, the one kind/],
    [damaged('gone', { base_model_name_or_path: '/no/such/base' }), /no\/such\/base.*--base-model/],
    [damaged('size', { r: 5 }), /lora_[AB]|rank|r\b/],
  ];
  mkdirSync(join(folder, 'cut'));
  cpSync(join(folder, 'adapter'), join(folder, 'cut'), { recursive: true });
  rmSync(join(folder, 'cut', 'adapter_model.safetensors'));
  cases.push(['cut', /adapter_model\.safetensors/]);
  for (const [model, message] of cases) {
    const { code, stderr } = await run('evaluate', { model, 'validation-file': 'test.csv' });
    t.equal(code, 2, `${model}: ${stderr}`);
    t.match(stderr, message);
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
  }
  for (const [options, message] of [
    [{ ...adapted, 'lora-rank': '0' }, /lora-rank/],
    [{ ...adapted, 'lora-rank': '9999' }, /rank is 9999.*hidden size/],
    [{ ...adapted, 'lora-target-modules': 'qury' }, /qury/],
    [{ ...training, model: 'base', 'lora-alpha': '4' }, /lora-rank/],
    [{ ...adapted, 'lora-dropout': '1' }, /lora-dropout/],
  ] as const) {
    const { code, stderr } = await run('train', { ...options, 'output-dir': 'refused' });
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
  const notOne = await bertune(['merge', 'base', '--output-dir', 'nothing'], here);
  t.equal(notOne.code, 2);
  t.match(notOne.stderr, /base is not an adapter to merge/);
  t.notOk(existsSync(join(folder, 'nothing')));
});

await tap.test('initialisations that leave the base alone', async (t) => {
  const path = join(folder, 'adapter', 'adapter_config.json');
  const config = readFileSync(path, 'utf8');
  const before = await logitsOf('adapter');
  for (const init_lora_weights of ['gaussian', 'eva', 'orthogonal', 'mica', 'MiCA', false]) {
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(config) as object), init_lora_weights }));
    t.same(await logitsOf('adapter'), before, String(init_lora_weights));
  }
  writeFileSync(path, config);
});

/** Takes tensors out of a file. */
async function without(path: string, part: string): Promise<void> {
  const file = await openSafetensors(path);
  const left = [...file.tensors.values()].filter(({ name }) => !name.includes(part));
  const data = await Promise.all(left.map(async (tensor) => ({ ...tensor, data: await bytesOf(tensor) })));
  await file.close();
  await writeSafetensors(path, data, left, { format: 'pt' });
}

await tap.test('layers of a head that neither base nor adapter has', async (t) => {
  cpSync(join(folder, 'base'), join(folder, 'headless'), { recursive: true });
  await without(join(folder, 'headless/model.safetensors'), 'pooler');
  const base = join(folder, 'headless');
  const model = await BertForSequenceClassification.fromPretrained(base, { lora: { rank: 2 } });
  await model.open({ threads: 1, device: 'cpu' });
  await model.savePretrained(join(folder, 'of-peft'));
  await model.close();
  // As PEFT saves it: the classifier and nothing else of the head.
  await without(join(folder, 'of-peft/adapter_model.safetensors'), 'pooler');
  const path = join(folder, 'of-peft/adapter_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...config, modules_to_save: ['classifier', 'score'] }));

  const again = await BertForSequenceClassification.fromPretrained(join(folder, 'of-peft'));
  const pooler = ['bert.pooler.dense.weight', 'bert.pooler.dense.bias'];
  t.same(again.newlyInitialised, pooler);
  await again.open({ threads: 1, device: 'cpu' });
  await again.savePretrained(join(folder, 'whole-head'));
  await again.close();
  const file = await openSafetensors(join(folder, 'whole-head/adapter_model.safetensors'));
  t.ok(
    pooler.every((name) => file.tensors.has(`base_model.model.${name}`)),
    'saved with the adapter',
  );
  await file.close();
  const saved = JSON.parse(readFileSync(join(folder, 'whole-head/adapter_config.json'), 'utf8')) as object;
  t.match(saved, { modules_to_save: ['classifier', 'score', 'pooler'] }, 'and PEFT reads it from there');
  t.same((await logitsOf('whole-head')).length, 4);

  // Without config.json, as PEFT leaves a folder: told, and of what problem type it is taken.
  rmSync(join(folder, 'of-peft/config.json'));
  const evaluated = await run('evaluate', {
    model: 'of-peft',
    tokenizer: 'model',
    'validation-file': 'test.csv',
  });
  t.equal(evaluated.code, 2);
  t.match(
    evaluated.stderr,
    /it lacks bert\.pooler\.dense\.weight.* PEFT saves new layers of the head only where/,
  );
});

await tap.test('the problem type of an adapter without config.json', async (t) => {
  cpSync(join(folder, 'adapter'), join(folder, 'bare'), { recursive: true });
  rmSync(join(folder, 'bare/config.json'));
  rmSync(join(folder, 'bare/bertune_reading.json'));
  const base = join(folder, 'untold');
  cpSync(join(folder, 'base'), base, { recursive: true });
  const { problem_type: _, ...rest } = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  writeFileSync(join(base, 'config.json'), JSON.stringify(rest));
  const texts = { model: 'bare', 'base-model': base, text: 'a film', threads: '1' };
  const plain = await run('predict', texts);
  t.match(
    plain.stderr,
    /^note: neither the adapter nor its base has a problem type: it is taken for single_label_classification; --problem-type gives another$/m,
  );
  const several = await run('predict', { ...texts, 'problem-type': 'multi_label_classification' });
  t.notMatch(several.stderr, 'problem type');
  const [softmax, sigmoid] = [plain, several].map(({ stdout }) =>
    Object.values((JSON.parse(stdout) as { probabilities: Record<string, number> }).probabilities),
  );
  const [a = 0, b = 0] = sigmoid ?? [];
  // softmax of two logits is the sigmoid of their difference, which the odds of the two sigmoids give.
  const odds = (p: number): number => p / (1 - p);
  t.ok(Math.abs(odds(b) / odds(a) - odds(softmax?.[1] ?? 0)) < 1e-4, 'each label by a sigmoid of its own');

  const own = { model: 'bare', 'base-model': base };
  const problemTypeOf = (name: string): unknown =>
    (JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8')) as { problem_type?: unknown })
      .problem_type;
  const merged = await run('merge', { ...own, 'output-dir': 'merged-plain' });
  t.match(merged.stderr, /^note: neither the adapter nor its base has a problem type/m);
  const asTold = { ...own, 'output-dir': 'merged-told', 'problem-type': 'multi_label_classification' };
  t.equal((await run('merge', asTold)).code, 0);
  t.equal(problemTypeOf('merged-told'), 'multi_label_classification', 'which Python reads as well');
});
