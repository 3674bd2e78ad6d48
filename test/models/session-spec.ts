// What a native session is made of, against transformers: parameters of each family with their shapes, decay and initial values,
// places of dropout and config.json. Expected values: scripts/reference/families.py.
import tap, { type Test } from 'tap';

import { configJson, parseConfig, withTask, type ModelConfig } from '../../dist/models/config.js';
import { sessionSpec } from '../../dist/models/session.js';
import type { Lora } from '../../dist/models/lora.js';
import { jsonText } from '../../dist/util/json.js';
import { expectedOf, folderOf, readJson, type Expected } from '../fixtures/families.js';

const FAMILIES = [
  'bert',
  'roberta',
  'xlm-roberta',
  'camembert',
  'distilbert',
  'electra',
  'electra-projected',
  'modernbert',
  'modernbert-mean',
  'albert',
  'albert-groups',
  'mpnet',
  'deberta-v2',
  'deberta-v2-own-keys',
  'deberta-v2-c2p',
];

const specOf = (name: string, lora?: Lora) =>
  sessionSpec(parseConfig(readJson(folderOf({ name }, 'model', 'config.json')), 'config.json'), lora);

const byName = (a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number =>
  a[0] < b[0] ? -1 : 1;

function checkParameters(t: Test, name: string, { parameters: expected, decaying }: Expected): void {
  const { parameters } = specOf(name);
  const tensors = parameters.flatMap(({ shape, tensors: own }) =>
    own.map((tensor): [string, number[]] => [tensor.name, [tensor.rows, ...shape.slice(1)]]),
  );
  t.same(tensors.toSorted(byName), expected.toSorted(byName), 'names and shapes');
  const found = parameters.filter(({ decays }) => decays).flatMap(({ tensors: own }) => own);
  t.same(found.map((tensor) => tensor.name).toSorted(), decaying, "decay, as Trainer's groups");
  for (const { shape, tensors: own, name: canonical } of parameters)
    t.equal(
      own.reduce((sum, { rows }) => sum + rows, 0),
      shape[0],
      `rows of ${canonical}`,
    );
}

/** The dropouts of a step in the order in which transformers calls them, and the head's linear layers among them. */
function dropoutsOf(config: Record<string, unknown>): (number | string)[] {
  const { encoder, head } = sessionSpec(parseConfig(config, 'config.json'));
  const { attention, mlp } = encoder;
  const block = [
    attention.relative?.kind === 'disentangled' ? attention.relative.dropout : 0,
    attention.dropout,
    attention.outputDropout,
    mlp.innerDropout,
    mlp.outputDropout,
  ];
  const stages = head.flatMap((stage): (number | string)[] => {
    if ('linear' in stage) return [stage.linear];
    return 'dropout' in stage ? [stage.dropout] : [];
  });
  return [encoder.embeddings.dropout, ...encoder.layers.flatMap(() => block), ...stages].filter(
    (p) => p !== 0,
  );
}

const writtenOf = (config: ModelConfig): unknown => JSON.parse(jsonText(configJson(config)));

for (const name of FAMILIES)
  await tap.test(name, async (t) => {
    const expected = expectedOf({ name });
    checkParameters(t, name, expected);
    for (const { config, calls } of expected.dropouts) {
      const wanted = calls.map((call) => ('linear' in call ? call.linear : call.dropout));
      t.same(dropoutsOf(config), wanted, 'places and probabilities of dropout');
    }
    for (const { file, written } of expected.configs) {
      const config = withTask(parseConfig(file, 'config.json'), 'sequence-classification', {});
      t.strictSame(writtenOf(config), written, `config.json of ${JSON.stringify(file)}`);
      t.strictSame(writtenOf(parseConfig(written, 'config.json')), written, 'and once more');
    }
  });

await tap.test('initial values', async (t) => {
  const zeroRows = (name: string) =>
    specOf(name).parameters.flatMap(({ name: canonical, initialisation }) =>
      initialisation.kind === 'normal' && initialisation.zeroRow !== undefined
        ? [[canonical, initialisation.zeroRow]]
        : [],
    );
  t.same(zeroRows('bert'), [['embeddings.words.weight', 0]]);
  t.same(zeroRows('distilbert'), [['embeddings.words.weight', 0]]);
  // torch's padding_idx of both tables of RoBERTa, which transformers sets to zeros; CamemBERT's fixture pads with 3, and so does
  // MPNet's, whose padding_idx is 1 all the same.
  for (const [name, row] of [
    ['roberta', 1],
    ['camembert', 3],
    ['mpnet', 1],
  ] as const)
    t.same(zeroRows(name), [
      ['embeddings.words.weight', row],
      ['embeddings.positions.weight', row],
    ]);
  const { parameters } = specOf('electra-projected');
  for (const { name, shape, initialisation } of parameters) {
    const kind = shape.length === 2 ? 'normal' : /norm\.weight$/i.test(name) ? 'ones' : 'zeros';
    t.equal(initialisation.kind, kind, name);
    if (initialisation.kind === 'normal') t.equal(initialisation.std, 0.02, `${name}: initializer_range`);
  }
});

await tap.test('the order of random numbers is that of earlier versions', async (t) => {
  const layer = (i: number) =>
    ['queryKeyValue', 'attentionOutput', 'attentionNorm', 'mlpIn', 'mlpOut', 'mlpNorm'].map(
      (part) => `layers.${i}.${part}`,
    );
  const both = (names: string[]) => names.flatMap((name) => [`${name}.weight`, `${name}.bias`]);
  t.same(
    specOf('bert').parameters.map(({ name }) => name),
    [
      'embeddings.words.weight',
      'embeddings.positions.weight',
      'embeddings.types.weight',
      ...both(['embeddings.norm', ...layer(0), ...layer(1), 'bert.pooler.dense', 'classifier']),
    ],
  );
});

await tap.test('an adapter: rows of the fused matrix, initial values, scaling', async (t) => {
  const self = 'bert.encoder.layer.1.attention.self';
  const lora = {
    rank: 2,
    alpha: 6,
    dropout: 0.1,
    isRankStabilised: false,
    modules: [`${self}.key`, `${self}.value`, 'bert.pooler.dense'],
    saved: [],
    modulesToSave: [],
    base: '.',
    revision: null,
    taskType: 'SEQ_CLS',
  };
  const { parameters, lora: spec } = specOf('bert', lora);
  const names = (module: string) => ({ a: `${module}.lora_A.weight`, b: `${module}.lora_B.weight` });
  t.same(spec, {
    rank: 2,
    scaling: 3,
    dropout: 0.1,
    adapters: [
      { linear: 'layers.1.queryKeyValue', firstRow: 16, rows: 16, ...names(`${self}.key`) },
      { linear: 'layers.1.queryKeyValue', firstRow: 32, rows: 16, ...names(`${self}.value`) },
      { linear: 'bert.pooler.dense', firstRow: 0, rows: 16, ...names('bert.pooler.dense') },
    ],
  });
  // torch's kaiming_uniform with a = sqrt(5) over 16 inputs: a bound of 1 / sqrt(16).
  const last = parameters.slice(-6);
  t.same(
    last.map(({ shape, initialisation }) => ({ shape, initialisation })),
    Array.from({ length: 3 }, () => [
      { shape: [2, 16], initialisation: { kind: 'uniform', bound: 0.25 } },
      { shape: [16, 2], initialisation: { kind: 'zeros' } },
    ]).flat(),
  );
  t.ok(last.every(({ decays }) => decays));
});

tap.test('distances of DeBERTa that lie beyond its table have its first or last row', (t) => {
  const config = {
    model_type: 'deberta-v2',
    vocab_size: 20,
    hidden_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 8,
    relative_attention: true,
    pos_att_type: ['c2p', 'p2c'],
    position_buckets: 8,
    max_relative_positions: 6,
  };
  const { relative } = sessionSpec(parseConfig(config, 'config.json')).encoder.attention;
  // transformers 5.18: clamp(make_log_bucket_position(arange(-6, 7), 8, 6) + 8, 0, 15)
  const rows = [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 15];
  t.same(relative?.kind === 'disentangled' ? relative.rowOfDistance : null, rows);
  t.end();
});
