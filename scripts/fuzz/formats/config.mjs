// config.json.
import { configJson, maxTokensOf, parseConfig } from '../../../dist/models/config.js';
import { FAMILIES } from '../../../dist/models/registry.js';
import { readConfig } from '../../../dist/models/pretrained.js';
import { sessionSpec } from '../../../dist/models/session.js';
import { jsonText } from '../../../dist/util/json.js';
import { defineFormat, utf8 } from '../format.mjs';
import { mutateJson } from '../mutate-json.mjs';

const FULL = {
  model_type: 'bert',
  architectures: ['BertForSequenceClassification'],
  auto_map: { AutoModel: 'modeling_evil.EvilModel' },
  attention_probs_dropout_prob: 0.1,
  classifier_dropout: null,
  hidden_act: 'gelu',
  hidden_dropout_prob: 0.1,
  hidden_size: 4,
  id2label: { 0: 'negative', 1: 'positive', 2: 'neither' },
  label2id: { negative: 0, positive: 1, neither: 2 },
  initializer_range: 0.02,
  intermediate_size: 4,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 8,
  num_attention_heads: 1,
  num_hidden_layers: 1,
  pad_token_id: 0,
  position_embedding_type: 'absolute',
  problem_type: 'single_label_classification',
  torch_dtype: 'float32',
  type_vocab_size: 2,
  vocab_size: 8,
  custom: { nested: [1, 2, { three: 'four' }] },
};

export const config = defineFormat({
  name: 'config',
  seeds: async () => [
    { 'config.json': utf8(JSON.stringify(FULL)) },
    { 'config.json': utf8(JSON.stringify({ vocab_size: 30522, num_labels: 3 })) },
    ...FAMILIES.map(({ modelType: model_type }) => {
      const small = { vocab_size: 30, max_position_embeddings: 8 };
      return {
        'config.json': utf8(jsonText({ ...small, ...configJson(parseConfig({ model_type }, 'x')) })),
      };
    }),
  ],
  mutate: (files, random) => ({
    'config.json': mutateJson(files['config.json'] ?? new Uint8Array(), random),
  }),
  async read(folder) {
    const found = await readConfig(folder);
    // What a training would do with it in the end.
    const saved = jsonText(configJson(found));
    return { found, spec: sessionSpec(found), again: parseConfig(JSON.parse(saved), 'saved') };
  },
  check({ found, spec, again }) {
    const { hidden, heads, embeddings, layers, mlp, order } = spec.encoder;
    const sizes = [
      hidden,
      heads,
      embeddings.vocab,
      embeddings.width,
      layers.length,
      mlp.width,
      ...(embeddings.positions === null ? [] : [maxTokensOf(found)]),
    ];
    if (![...sizes, found.numLabels].every((size) => Number.isInteger(size) && size > 0 && size < 2 ** 31))
      return `accepted the sizes ${sizes.join()}`;
    if (hidden % heads !== 0) return 'accepted heads that do not divide the size';
    if (new Set(found.id2label).size !== found.numLabels)
      return 'accepted labels that are not one name for each id';
    if (Object.getPrototypeOf(found.raw) !== Object.prototype)
      return 'the unknown keys have another prototype';
    const tensors = spec.parameters.flatMap(({ tensors: named }) => named.map(({ name }) => name));
    const own = new Set(layers.map(({ parameters }) => parameters)).size; // ALBERT's layers are shared
    const least = order === 'post' ? 4 + 16 * own + 4 : 2 + 6 * own + 4;
    if (new Set(tensors).size !== tensors.length || tensors.length < least)
      return `has ${tensors.length} tensors`;
    if (again.id2label.join('\0') !== found.id2label.join('\0'))
      return 'has other labels when it is saved and read again';
    return null;
  },
});
