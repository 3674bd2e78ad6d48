// Models that do not fit what they say they are, or what is asked of them: each one line that names the fault and what to do.
import { cpSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  BertForTokenClassification,
  BertForSequenceClassification,
  DistilBertForSequenceClassification,
  parseConfig,
  readBertConfig,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
} from '../../dist/index.js';
import { loadTrained } from '../../dist/commands/model-source.js';
import { openSafetensors, writeSafetensors, type TensorData } from '../../dist/formats/safetensors.js';
import { folderOf, readJson } from '../fixtures/families.js';
import { readAll } from '../fixtures/model-files.js';
import { refuses } from '../fixtures/refuses.js';

const root = t.testdir();
const ofFamily = (name: string, form = 'model'): string => folderOf({ name }, form);

/** A copy of a model folder with another config or other tensors. */
async function changed(
  name: string,
  changes: { config?: object; tensors?: (all: TensorData[]) => TensorData[] },
): Promise<string> {
  const copy = mkdtempSync(join(root, `${name}-`));
  cpSync(ofFamily(name), copy, { recursive: true });
  const [config, weights] = [join(copy, 'config.json'), join(copy, 'model.safetensors')];
  writeFileSync(config, JSON.stringify({ ...(readJson(config) as object), ...changes.config }));
  if (changes.tensors === undefined) return copy;
  const file = await openSafetensors(weights);
  const all = await readAll(file.tensors);
  await file.close();
  const tensors = changes.tensors(all);
  await writeSafetensors(weights, tensors, tensors, { format: 'pt' });
  return copy;
}

const without = (part: string) => (all: TensorData[]) => all.filter(({ name }) => !name.includes(part));
const copied = (from: string, to: string) => (all: TensorData[]) => [
  ...all,
  ...all
    .filter(({ name }) => name.includes(from))
    .map((each) => ({ ...each, name: each.name.replace(from, to) })),
];

const load = (folder: string) => AutoModelForSequenceClassification.fromPretrained(folder);

t.test('config.json of another family', async (t) => {
  const cases: [folder: string, fault: RegExp][] = [
    [
      await changed('roberta', { config: { model_type: 'distilbert' } }),
      /config\.json has intermediate_size, a key of bert models, but is of the model type distilbert; correct model_type/,
    ],
    [
      await changed('distilbert', { config: { model_type: 'bert' } }),
      /config\.json has dim, a key of distilbert models, but is of the model type bert/,
    ],
    [
      await changed('electra', { config: { model_type: 'roberta' } }),
      /config\.json has embedding_size, a key of electra models, but is of the model type roberta/,
    ],
    [
      await changed('bert', { config: { model_type: 'deberta' } }),
      /describes a "deberta" model; bertune supports the model types albert, bert, camembert, deberta-v2, distilbert, electra, modernbert, mpnet, roberta, xlm-roberta$/,
    ],
    [
      await changed('distilbert', { config: { dim: 10, n_heads: 4 } }),
      /dim \(10\) is not a multiple of n_heads/,
    ],
    [
      await changed('roberta', { config: { layer_norm_eps: -1 } }),
      /above 0 for layer_norm_eps in .*config\.json/,
    ],
  ];
  for (const [folder, fault] of cases) await refuses(t, fault.source, fault, () => load(folder));
});

t.test('tensors that are missing or have no place', async (t) => {
  const cases: [folder: string, fault: RegExp][] = [
    [
      await changed('roberta', { tensors: without('layer.1.output.dense.bias') }),
      /lacks the tensor roberta\.encoder\.layer\.1\.output\.dense\.bias of shape \[16\] .* check that its config\.json belongs to it/,
    ],
    [
      await changed('distilbert', { tensors: copied('position_embeddings', 'token_type_embeddings') }),
      /has the tensor "distilbert\.embeddings\.token_type_embeddings\.weight", for which a model of its config\.json has no place/,
    ],
    [
      await changed('electra', { tensors: copied('layer.1.', 'layer.2.') }),
      /has the tensor "electra\.encoder\.layer\.2\.attention.*", for which .* has no place; check that the two belong together/,
    ],
    [
      await changed('electra', { tensors: copied('encoder.layer.0.output.dense', 'embeddings_project') }),
      /has the tensor "electra\.embeddings_project\.(weight|bias)", for which .* has no place/,
    ],
    [
      await changed('electra-projected', { config: { embedding_size: 16 } }),
      /has the tensor "electra\.embeddings_project\.(weight|bias)", for which .* has no place/,
    ],
    [
      await changed('roberta', { config: { max_position_embeddings: 41 } }),
      /position_embeddings\.weight with shape \[40, 16\] but its config\.json makes it \[41, 16\]/,
    ],
  ];
  for (const [folder, fault] of cases) await refuses(t, fault.source, fault, () => load(folder));
});

t.test('the class of another family', async (t) => {
  const cases: [read: () => Promise<unknown>, fault: RegExp][] = [
    [
      () => BertForSequenceClassification.fromPretrained(ofFamily('roberta')),
      /is of the model type roberta, not bert; load it with RobertaForSequenceClassification or AutoModelForSequenceClassification/,
    ],
    [() => RobertaForSequenceClassification.fromPretrained(ofFamily('xlm-roberta')), /XLMRobertaFor/],
    [() => XLMRobertaForSequenceClassification.fromPretrained(ofFamily('camembert')), /CamembertFor/],
    [() => DistilBertForSequenceClassification.fromPretrained(ofFamily('bert')), /BertFor/],
    [() => readBertConfig(ofFamily('electra')), /is of the model type electra, not bert; parseConfig reads/],
    [
      async () =>
        BertForSequenceClassification.fromConfig(parseConfig({ model_type: 'electra' }, 'x') as never),
      /The config is of the model type electra, not bert/,
    ],
  ];
  for (const [read, fault] of cases) await refuses(t, fault.source, fault, read);
  const model = await load(ofFamily('camembert'));
  t.equal(model.constructor.name, 'CamembertForSequenceClassification');
  await model.close();
});

t.test('a config that was changed by hand is checked where it is used', (t) => {
  const config = parseConfig({ model_type: 'distilbert' }, 'x');
  const wrong = { ...config, dropout: 2 };
  t.throws(() => AutoModelForSequenceClassification.fromConfig(wrong), {
    name: 'UsageError',
    message: /a number from 0 to below 1 for dropout in the distilbert config/,
  });
  t.end();
});

t.test('a head for another task', async (t) => {
  const architectures = ['ElectraForQuestionAnswering'];
  const tagger = await changed('electra', {
    config: { architectures },
    tensors: (all) => [
      ...without('classifier')(all),
      { name: 'classifier.weight', dtype: 'F32', shape: [3, 16], data: new Uint8Array(4 * 3 * 16) },
      { name: 'classifier.bias', dtype: 'F32', shape: [3], data: new Uint8Array(4 * 3) },
    ],
  });
  const refused = /is an ElectraForQuestionAnswering, not a sequence classifier; train one from it first/;
  await refuses(t, 'evaluated', refused, () => loadTrained({ model: tagger }));
  // BERT's head for tokens has an output layer of the same name, which says nothing about texts.
  const bert = await changed('bert', {
    config: { architectures: ['BertForTokenClassification'] },
    tensors: without('pooler'),
  });
  const problemType = 'multi_label_classification';
  const asked = { model: bert, problemType } as const;
  await refuses(t, 'evaluated', /is a BertForTokenClassification, not/, () => loadTrained(asked));
  const model = await load(bert);
  t.same(model.notes, [
    'bert.pooler.dense is newly initialised: the checkpoint has none',
    'classifier is newly initialised: the checkpoint is a BertForTokenClassification',
  ]);
  t.equal(model.config.problemType, null, 'the labels decide');
  await model.close();
  // And the other way round: the class decides what the head is for, but not against what is asked for.
  const texts = await changed('bert', { config: { architectures: ['BertForSequenceClassification'] } });
  const tokens = await AutoModelForTokenClassification.fromPretrained(texts);
  t.type(tokens, BertForTokenClassification);
  t.equal(tokens.task.problemType, 'token_classification');
  t.same(tokens.notes, [
    'classifier is newly initialised: the checkpoint is a BertForSequenceClassification',
  ]);
  await tokens.close();
  const loaded = () => AutoModelForTokenClassification.fromPretrained(texts, { problemType });
  await refuses(
    t,
    'classes',
    /is none of token classification; load the model with AutoModelForSequence/,
    loaded,
  );
});

t.test('a head whose labels get other names keeps its weights, and says so', async (t) => {
  const names = { id2label: { 0: 'ham', 1: 'spam', 2: 'news' }, label2id: { ham: 0, spam: 1, news: 2 } };
  const trained = await changed('bert', { config: names });
  const open = (labels: string[]) =>
    AutoModelForSequenceClassification.fromPretrained(trained, {
      labels,
      problemType: 'single_label_classification',
    });
  for (const [labels, notes] of [
    [['neg', 'pos', 'odd'], [/of the labels ham, spam, news are now those of neg, pos, odd, in this order/]],
    [['ham', 'spam', 'news'], []],
    [['a', 'b'], [/^classifier is newly initialised: the checkpoint's is for 3 labels, not 2$/]],
  ] as const) {
    const model = await open([...labels]);
    t.match(model.notes, notes, labels.join());
    t.equal(model.notes.length, notes.length);
    await model.close();
  }
  t.end();
});

t.test('an adapter on the base of another family', async (t) => {
  const folder = mkdtempSync(join(root, 'adapter-'));
  cpSync(ofFamily('roberta', 'adapter'), folder, { recursive: true });
  const onBert = () =>
    AutoModelForSequenceClassification.fromPretrained(folder, { baseModel: ofFamily('bert') });
  await refuses(t, 'other names', /has no LoRA tensors of this model|not part of a LoRA adapter/, onBert);
  cpSync(join(ofFamily('roberta'), 'config.json'), join(folder, 'config.json'));
  const stated =
    /is an adapter of a roberta model, but its base is of the model type bert; name the right base/;
  await refuses(t, 'stated', stated, onBert);
});

t.test('LoRA targets that are not there', async (t) => {
  const withTarget = (name: string, target: string) => () =>
    AutoModelForSequenceClassification.fromPretrained(ofFamily(name), {
      lora: { rank: 2, targetModules: [target] },
    });
  const cases: [name: string, target: string, fault: RegExp][] = [
    [
      'distilbert',
      'query',
      /"query" matches no linear layer .*there are q_lin, k_lin, v_lin, attention\.out_lin, ffn/,
    ],
    ['distilbert', 'pre_classifier', /"pre_classifier" matches no linear layer/],
    ['roberta', 'classifier.dense', /"classifier\.dense" matches no linear layer/],
    ['bert', 'qurey', /did you mean query\?.*pooler\.dense/],
    ['electra', 'embeddings_project', /"embeddings_project" matches no linear layer/],
  ];
  for (const [name, target, fault] of cases) await refuses(t, target, fault, withTarget(name, target));
});
