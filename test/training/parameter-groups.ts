// Tensors trained each in its own way: against torch.optim's parameter groups (scripts/reference/parameter_groups.py),
// what freezing saves, checkpoints of partly trained models, and patterns.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';

import { trainingArguments } from '../../dist/index.js';
import { openSafetensors } from '../../dist/formats/safetensors.js';
import { parameterShapes, matchingNames } from '../../dist/models/parameters.js';
import { parseBertConfig, parseConfig } from '../../dist/models/config.js';
import type { TensorSettings } from '../../dist/native/index.js';
import { parameterGroups } from '../../dist/training/parameter-groups.js';
import { divisorOf, pack, worst, type Batch } from '../fixtures/parity.js';
import { largestDifference, timelessLog, toyRun, weightsOf } from '../fixtures/run.js';
import { readAll, seededSession, TINY } from '../fixtures/session.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import type { BertShape } from '../fixtures/bert-spec.mjs';

interface Case {
  name: string;
  config: BertShape;
  scale: number;
  batches: Batch[];
  options: Parameters<Awaited<ReturnType<typeof seededSession>>['update']>[0];
  phases: { step: number; settings: TensorSettings[] }[];
  losses: number[];
  gradNorms: number[];
  weights: Record<string, number[]>;
  rounding: { loss: number; gradNorm: number; weight: number };
}

const { cases } = JSON.parse(
  readFileSync(new URL('../fixtures/parameter-groups.json', import.meta.url), 'utf8'),
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own script wrote it
) as { cases: Case[] };

await tap.test('five steps equal torch.optim.AdamW with a group a tensor', async (group) => {
  for (const reference of cases) {
    await group.test(reference.name, async (t) => {
      const { config, scale, phases, options, rounding } = reference;
      const session = await seededSession(config, scale);
      const before = await readAll(session);
      let [lossError, normError] = [0, 0];
      for (const [step, batch] of reference.batches.entries()) {
        const phase = phases.find((entry) => entry.step === step);
        if (phase !== undefined) await session.configure(phase.settings);
        await session.accumulate(pack(config, batch), { divisor: divisorOf(batch) });
        await session.update(options);
        const { loss, gradNorm } = await session.stats();
        lossError = Math.max(lossError, Math.abs(loss - (reference.losses[step] ?? NaN)));
        normError = Math.max(normError, Math.abs(gradNorm / (reference.gradNorms[step] ?? NaN) - 1));
      }
      const weights = await readAll(session);
      const weight = worst(weights, reference.weights);
      t.ok(lossError + rounding.loss <= 1e-5, `losses differ by ${lossError.toExponential(1)}`);
      t.ok(normError + rounding.gradNorm <= 1e-4, `norms differ by ${normError.toExponential(1)}`);
      t.ok(
        weight.error + rounding.weight <= 1e-4,
        `weights differ by ${weight.error.toExponential(1)} (${weight.name})`,
      );
      const always = new Set(session.tensors().map(({ name }) => name));
      for (const { settings } of phases) {
        const frozen = new Set(
          settings.filter(({ trainable }) => trainable === false).map(({ name }) => name),
        );
        for (const name of always) if (!frozen.has(name)) always.delete(name);
      }
      const stateful = new Set((await session.optimizerState()).map(({ name }) => name));
      for (const { name } of session.tensors()) {
        t.equal(stateful.has(name), !always.has(name), `${name} has state if it was trained`);
        if (always.has(name)) t.same(weights.get(name), before.get(name), `${name} keeps its bits`);
      }
      await session.close();
    });
  }
});

await tap.test('the norm counts what is trained, and a frozen tensor has no gradient', async (t) => {
  const session = await seededSession(TINY, 0.3);
  await session.configure([
    { name: 'bert.encoder.layer.1.attention.self.key.weight', trainable: false },
    { name: 'classifier.weight', trainable: false },
  ]);
  const batch = { name: 'norm', lengths: [5, 9], pairs: false, labels: [2, 0] };
  await session.accumulate(pack(TINY, batch), { divisor: 2 });
  await t.rejects(session.read('classifier.weight', 'gradient'), { message: /no gradient/ });
  await t.rejects(session.configure([]), { message: /between accumulate and update/ });
  const norms: number[] = [];
  for (const { name } of session.tensors()) {
    const isFrozen = name === 'classifier.weight' || name.endsWith('1.attention.self.key.weight');
    if (!isFrozen) norms.push(Math.hypot(...(await session.read(name, 'gradient'))));
  }
  await session.update({
    learningRate: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradNorm: 1,
  });
  const { gradNorm } = await session.stats();
  t.ok(Math.abs(gradNorm / Math.hypot(...norms) - 1) < 1e-5);
  await t.rejects(session.configure([{ name: 'bert.nothing' }]), {
    message: /no tensor named 'bert.nothing'/,
  });
  const all = session.tensors().map(({ name }) => ({ name, trainable: false }));
  await t.rejects(session.configure(all), { message: /nothing to train/ });
  await t.rejects(session.configure([{ name: 'classifier.bias', learningRateFactor: -1 }]), {
    name: 'UsageError',
    message: /learningRateFactor/,
  });
  await session.close();
});

await tap.test('a resumed run with frozen and unfrozen layers ends with the same bits', async (t) => {
  // 40 rows in batches of 8: 5 steps an epoch; step 7 lies in the second phase of four
  const settings = {
    numTrainEpochs: 4,
    loggingSteps: 2,
    freeze: ['bert.embeddings.position_embeddings'],
    gradualUnfreezing: 'epoch' as const,
    layerLrDecay: 2.6,
    lrFactors: { classifier: 3 },
  };
  const whole = await toyRun(t.testdir(), { ...settings, saveStrategy: 'steps', saveSteps: 7 });
  await whole.trainer.train();
  const weights = await weightsOf(whole.model);
  const log = timelessLog(whole.trainer.state);
  await whole.close();

  const folder = join(t.testdirName, 'out');
  const file = await openSafetensors(join(folder, 'checkpoint-7', 'optimizer.safetensors'));
  t.ok(file.tensors.has('exp_avg.classifier.weight'));
  t.notOk(
    file.tensors.has('exp_avg.bert.embeddings.word_embeddings.weight'),
    'what was frozen has no moments',
  );
  await file.close();
  for (const name of readdirSync(folder))
    if (name !== 'checkpoint-7') rmSync(join(folder, name), { recursive: true });
  const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true });
  await again.trainer.train();
  t.equal(largestDifference(weights, await weightsOf(again.model)), 0);
  t.same(timelessLog(again.trainer.state), log);
  await again.close();
});

const names = [...parameterShapes(parseBertConfig({ ...TOY_CONFIG, num_hidden_layers: 12 }, 'toy')).keys()];

await tap.test('rates by depth and phases by step', (t) => {
  const groups = parameterGroups(
    { layerLrDecay: 2, gradualUnfreezing: 10, lrFactors: { 'classifier.*': 4 } },
    names,
    5,
  );
  t.same(
    [0, 9, 10, 129, 130, 1e6].map((step) => groups.depthAt(step)),
    [0, 0, 1, 12, 13, 13],
  );
  const factorOf = (name: string, depth: number): unknown =>
    groups.settings(depth).find((entry) => entry.name === name);
  t.match(factorOf('classifier.bias', 13), { trainable: true, learningRateFactor: 4 });
  t.equal(factorOf('bert.pooler.dense.bias', 13), undefined, 'as usual');
  t.match(factorOf('bert.encoder.layer.11.output.dense.bias', 13), { learningRateFactor: 0.5 });
  t.match(factorOf('bert.encoder.layer.0.output.dense.bias', 13), { learningRateFactor: 2 ** -12 });
  t.match(factorOf('bert.embeddings.LayerNorm.bias', 13), { learningRateFactor: 2 ** -13, trainable: true });
  t.match(factorOf('bert.embeddings.LayerNorm.bias', 12), { trainable: false });
  t.match(factorOf('bert.encoder.layer.10.output.dense.bias', 1), { trainable: false });
  t.same(parameterGroups({}, names, 5).settings(undefined), [], 'without options nothing is set');
  t.end();
});

await tap.test('rates by depth in other families', (t) => {
  const cases: [modelType: string, factors: Record<string, number>][] = [
    [
      'roberta',
      {
        'roberta.embeddings.position_embeddings.weight': 2 ** -3,
        'roberta.encoder.layer.0.output.dense.bias': 2 ** -2,
        'roberta.encoder.layer.1.attention.self.key.weight': 2 ** -1,
        'classifier.dense.weight': 1,
      },
    ],
    [
      'distilbert',
      {
        'distilbert.embeddings.LayerNorm.bias': 2 ** -3,
        'distilbert.transformer.layer.0.ffn.lin1.weight': 2 ** -2,
        'distilbert.transformer.layer.1.sa_layer_norm.weight': 2 ** -1,
        'pre_classifier.bias': 1,
      },
    ],
    ['electra', { 'electra.embeddings_project.bias': 2 ** -3, 'classifier.out_proj.bias': 1 }],
    [
      'modernbert',
      {
        'model.embeddings.norm.weight': 2 ** -3,
        'model.layers.0.attn.Wqkv.weight': 2 ** -2,
        'model.layers.1.mlp.Wo.weight': 2 ** -1,
        'model.final_norm.weight': 1,
      },
    ],
    [
      'albert',
      {
        'albert.encoder.embedding_hidden_mapping_in.weight': 2 ** -2,
        'albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.bias': 2 ** -1,
        'albert.pooler.weight': 1,
      },
    ],
    [
      'mpnet',
      {
        'mpnet.encoder.relative_attention_bias.weight': 2 ** -3,
        'mpnet.encoder.layer.0.attention.attn.o.weight': 2 ** -2,
      },
    ],
    [
      'deberta-v2',
      {
        'deberta.encoder.rel_embeddings.weight': 2 ** -3,
        'deberta.encoder.LayerNorm.bias': 2 ** -3,
        'deberta.encoder.layer.0.attention.self.query_proj.bias': 2 ** -2,
        'pooler.dense.weight': 1,
      },
    ],
  ];
  for (const [model_type, factors] of cases) {
    const layers = model_type === 'distilbert' ? 'n_layers' : 'num_hidden_layers';
    const relative = model_type === 'deberta-v2' && {
      relative_attention: true,
      pos_att_type: 'c2p',
      norm_rel_ebd: 'layer_norm',
    };
    const config = parseConfig({ model_type, [layers]: 2, ...relative }, 'toy');
    const own = [...parameterShapes(config).keys()];
    const settings = parameterGroups({ layerLrDecay: 2 }, own, 5).settings(undefined);
    for (const [name, factor] of Object.entries(factors)) {
      t.ok(own.includes(name), name);
      t.equal(settings.find((entry) => entry.name === name)?.learningRateFactor ?? 1, factor, name);
    }
  }
  t.end();
});

await tap.test('wrong options', (t) => {
  const wrong: [object, RegExp][] = [
    [{ layerLrDecay: 0.5 }, /Expected a number of at least 1 for layerLrDecay but received 0.5/],
    [{ gradualUnfreezing: 'epochs' }, /Expected epoch, or a whole number of steps .* for gradualUnfreezing/],
    [{ gradualUnfreezing: 0 }, /gradualUnfreezing/],
    [{ lrFactors: { classifier: -1 } }, /number of at least 0 each.* for lrFactors/],
    [{ lrFactors: 'classifier' }, /lrFactors/],
    [{ lrFactors: ['a=1', 'a=2'] }, /lrFactors/],
    [{ freeze: [''] }, /freeze/],
  ];
  for (const [options, message] of wrong)
    t.throws(() => trainingArguments({ outputDir: 'out', ...options }), { name: 'UsageError', message });
  const written: object = { lrFactors: ['classifier=10', 'a.*=1e-1'] };
  const { lrFactors } = trainingArguments({ outputDir: 'out', ...written });
  t.same(lrFactors, { classifier: 10, 'a.*': 0.1 }, 'as the command line gives it');
  t.end();
});

await tap.test('patterns', (t) => {
  const layersOf = (pattern: string): string[] => [
    ...new Set(matchingNames(pattern, names, 'freeze').map((name) => /layer\.(\d+)/.exec(name)?.[1] ?? name)),
  ];
  t.same(layersOf('bert.encoder.layer.{0,1}.*'), ['0', '1']);
  t.same(layersOf('bert.encoder.layer.{9..11}'), ['9', '10', '11']);
  t.same(layersOf('bert.encoder.layer.1'), ['1'], 'not 10 and 11');
  t.equal(matchingNames('bert.embeddings', names, 'freeze').length, 5);
  t.equal(matchingNames('*.LayerNorm.*', names, 'freeze').length, 50);
  t.same(matchingNames('classifier.bias', names, 'freeze'), ['classifier.bias']);
  const refusals: [string, RegExp][] = [
    [
      'bert.embedings.*',
      /freeze "bert.embedings.\*" matches no tensor of the model \(did you mean bert.embeddings.\*\?\)/,
    ],
    ['clasifier', /did you mean classifier\?/],
    ['bert.encoder.layer.12', /did you mean bert.encoder.layer.1\d?\?/],
    ['distilbert.transformer', /there are bert.embeddings, bert.encoder, bert.pooler, classifier/],
  ];
  for (const [pattern, message] of refusals)
    t.throws(() => matchingNames(pattern, names, 'freeze'), { name: 'UsageError', message });
  t.throws(() => parameterGroups({ freeze: ['*'] }, names, 5), { message: /leaves nothing to train/ });
  t.throws(
    () => parameterGroups({ freeze: ['classifier', 'bert.pooler'], gradualUnfreezing: 'epoch' }, names, 5),
    {
      message: /nothing to train in the first steps/,
    },
  );
  t.end();
});
