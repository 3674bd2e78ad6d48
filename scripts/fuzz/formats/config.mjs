// config.json.
import { parameterShapes } from '../../../dist/models/parameters.js';
import { configJson, parseBertConfig } from '../../../dist/models/config.js';
import { readBertConfig } from '../../../dist/models/pretrained.js';
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
  ],
  mutate: (files, dice) => ({ 'config.json': mutateJson(files['config.json'] ?? new Uint8Array(), dice) }),
  async read(folder) {
    const found = await readBertConfig(folder);
    // What a training would do with it in the end.
    const saved = JSON.stringify(configJson(found));
    return { found, shapes: parameterShapes(found), again: parseBertConfig(JSON.parse(saved), 'saved') };
  },
  check({ found, shapes, again }) {
    const sizes = [
      found.vocabSize,
      found.hiddenSize,
      found.numHiddenLayers,
      found.numLabels,
      found.maxPositionEmbeddings,
    ];
    if (!sizes.every((size) => Number.isInteger(size) && size > 0 && size < 2 ** 31))
      return `accepted the sizes ${sizes.join()}`;
    if (found.hiddenSize % found.numAttentionHeads !== 0) return 'accepted heads that do not divide the size';
    if (new Set(found.id2label).size !== found.numLabels)
      return 'accepted labels that are not one name for each id';
    if (Object.getPrototypeOf(found.raw) !== Object.prototype) return 'the kept keys have another prototype';
    if (shapes.size !== 5 + 16 * found.numHiddenLayers + 4) return `has ${shapes.size} tensors`;
    if (again.id2label.join('\0') !== found.id2label.join('\0'))
      return 'has other labels when it is saved and read again';
    return null;
  },
});
