// Families of models on the command line: trained from random weights, evaluated, resumed, adapted and merged; and what each of them
// refuses.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import {
  AutoModelForSequenceClassification,
  BertTokenizer,
  classify,
  parseConfig,
} from '../../dist/index.js';
import { bertune, flags, tree, type Options } from '../fixtures/cli.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import { cheap, json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write } = workspace(folder);

const { hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, ...others } = TOY_CONFIG;
const ROBERTA = { ...TOY_CONFIG, model_type: 'roberta', pad_token_id: 0, max_position_embeddings: 33 };
const CONFIGS = {
  roberta: ROBERTA,
  distilbert: {
    ...others,
    model_type: 'distilbert',
    dim: hidden_size,
    n_layers: num_hidden_layers,
    n_heads: num_attention_heads,
    hidden_dim: intermediate_size,
  },
  electra: { ...TOY_CONFIG, model_type: 'electra', embedding_size: 16 },
  modernbert: { ...TOY_CONFIG, model_type: 'modernbert', pad_token_id: 0, local_attention: 8 },
  albert: { ...TOY_CONFIG, model_type: 'albert', embedding_size: 16 },
  mpnet: { ...TOY_CONFIG, model_type: 'mpnet', max_position_embeddings: 34 },
  'deberta-v2': {
    ...TOY_CONFIG,
    model_type: 'deberta-v2',
    relative_attention: true,
    pos_att_type: 'p2c|c2p',
    position_buckets: 8,
    norm_rel_ebd: 'layer_norm',
    share_att_key: true,
    position_biased_input: false,
  },
};
/** The classes of transformers. */
const IN_PYTHON: Record<string, string> = {
  roberta: 'RobertaForSequenceClassification',
  distilbert: 'DistilBertForSequenceClassification',
  electra: 'ElectraForSequenceClassification',
  modernbert: 'ModernBertForSequenceClassification',
  albert: 'AlbertForSequenceClassification',
  mpnet: 'MPNetForSequenceClassification',
  'deberta-v2': 'DebertaV2ForSequenceClassification',
};
for (const [name, config] of Object.entries(CONFIGS)) write(`${name}.json`, JSON.stringify(config));

const run = async (test: Test, command: string, options: Options): Promise<string> => {
  const outcome = await bertune([command, ...flags({ ...cheap, ...options })], here);
  succeeded(test, command, outcome);
  return outcome.stderr;
};

for (const name of Object.keys(CONFIGS))
  await t.test(name, async (t) => {
    const config = `${name}.json`;
    const files = { 'validation-file': 'test.csv', 'output-dir': name };
    const log = await run(t, 'train', { ...toyTraining, ...files, config });
    t.match(log, `in Python ${IN_PYTHON[name]}.from_pretrained loads it too`);
    const { accuracy = 0 } = evaluated(name);
    t.ok(accuracy > 0.9, `learns the task: ${accuracy}`);
    const adapter = { ...toyTraining, config: undefined, tokenizer: undefined, model: name };
    await run(t, 'train', {
      ...adapter,
      'lora-rank': '2',
      'num-train-epochs': '1',
      'validation-file': 'test.csv',
      'output-dir': `${name}-adapter`,
    });
    const ofAdapter = evaluated(`${name}-adapter`);
    await run(t, 'merge', {
      threads: undefined,
      'dataloader-num-workers': undefined,
      model: `${name}-adapter`,
      'output-dir': `${name}-merged`,
    });
    const predicted = { 'test-file': 'test.csv', 'output-file': `${name}.jsonl` };
    await run(t, 'predict', { ...predicted, model: `${name}-merged` });
    const lines = readFileSync(join(folder, `${name}.jsonl`), 'utf8')
      .trim()
      .split('\n');
    const labels = readFileSync(join(folder, 'test.csv'), 'utf8').trim().split('\n').slice(1);
    const right = lines.filter((line, i) =>
      labels[i]?.endsWith(`,${(JSON.parse(line) as { label: string }).label}`),
    );
    t.equal(right.length / labels.length, ofAdapter.accuracy, 'the merged model gives the same labels');
  });

function evaluated(name: string): { accuracy: number | undefined } {
  const results = json(readFileSync(join(folder, name, 'eval_results.json')));
  return { accuracy: results['eval_accuracy'] };
}

t.test('pairs in a family without token types', async (t) => {
  const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));
  t.notSame(tokenizer.encode('good', 'bad').typeIds, null, 'the tokenizer gives them');
  const model = AutoModelForSequenceClassification.fromConfig(
    parseConfig({ ...CONFIGS.distilbert }, 'distilbert.json'),
  );
  const pair = [{ text: 'the film was good', textPair: 'a dull plot' }];
  const [first] = await classify(model, tokenizer, pair);
  t.equal(typeof first?.score, 'number');
  const single = { ...tokenizer.spec.tokenizerConfig, model_input_names: ['input_ids', 'attention_mask'] };
  const without = BertTokenizer.fromSpec({ ...tokenizer.spec, tokenizerConfig: single });
  t.equal(without.encode('good', 'bad').typeIds, null, 'another gives none');
  await t.rejects(classify(model, without, pair, { stride: 1 }), {
    name: 'UsageError',
    message: 'A stride goes with single texts, not with pairs; leave the stride out',
  });
  await t.rejects(
    model.session.predict({
      inputIds: Int32Array.of(2, 5, 3),
      cuSeqlens: Int32Array.of(0, 3),
      tokenTypeIds: Int32Array.of(0, 0, 1),
    }),
    { message: /the encoder has no token types; leave tokenTypeIds out/ },
  );
  await model.close();
});

t.test('a length beyond the positions of the family', async (t) => {
  const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(ROBERTA, 'roberta.json'));
  t.equal(model.maxTokens, 32, 'positions begin behind that of the padding token');
  const long = Array.from({ length: 40 }, () => 'film').join(' ');
  t.equal((await classify(model, tokenizer, [long], { maxLength: 32 })).length, 1);
  t.equal((await classify(model, tokenizer, [long])).length, 1, 'cut at what the model has by default');
  await t.rejects(classify(model, tokenizer, ['film'], { maxLength: 33 }), {
    name: 'UsageError',
    message: 'maxLength is 33 but the model has 32 positions; use at most 32',
  });
  await model.close();
});

t.test('what does not fit the family', async (t) => {
  write('mixed.json', JSON.stringify({ ...ROBERTA, model_type: 'distilbert' }));
  write('unknown.json', JSON.stringify({ ...TOY_CONFIG, model_type: 'gpt2' }));
  const cases: [options: Options, message: RegExp][] = [
    [
      { config: 'roberta.json', 'max-seq-length': '33' },
      /^bertune: --max-seq-length is 33 but the model has 32 positions; use at most 32\n$/m,
    ],
    [
      { config: 'mixed.json' },
      /^bertune: mixed\.json has .*, a key of bert models, but is of the model type distilbert/m,
    ],
    [
      { config: 'unknown.json' },
      /^bertune: unknown\.json describes a "gpt2" model; bertune supports the model types albert, bert,/m,
    ],
  ];
  const before = tree(folder);
  for (const [options, message] of cases) {
    const { code, stderr } = await bertune(['train', ...flags({ ...toyTraining, ...options })], here);
    t.equal(code, 2);
    t.match(stderr, message);
  }
  t.same(tree(folder), before, 'nothing is written');
});
