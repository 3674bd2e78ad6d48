// config.json as transformers writes it.

import type { BertConfig } from '../models/config.js';
import { areDefaultLabels } from '../models/labels.js';

/** The version whose files we write; it is noted in them, as transformers notes its own. */
const TRANSFORMERS_VERSION = '5.18.0';

/** Keys without a use here that transformers writes for every BERT, with their defaults. */
const ALWAYS_WRITTEN = {
  add_cross_attention: false,
  bos_token_id: null,
  eos_token_id: null,
  is_decoder: false,
  tie_word_embeddings: true,
  use_cache: true,
};

/**
 * The content of config.json for a float32 `BertForSequenceClassification`, keys sorted, as `save_pretrained`
 * of transformers 5.18 writes it. As there, the label maps are left out when they are the default two.
 */
export function bertConfigJson(config: BertConfig): Record<string, unknown> {
  const hasDefaultLabels = config.numLabels === 2 && areDefaultLabels(config.id2label);
  const labelMaps = {
    id2label: Object.fromEntries(config.id2label.entries()),
    label2id: sorted(Object.fromEntries(config.label2id)),
  };
  const json = {
    ...ALWAYS_WRITTEN,
    ...config.raw,
    ...(!hasDefaultLabels && labelMaps),
    ...(config.problemType !== null && { problem_type: config.problemType }),
    architectures: ['BertForSequenceClassification'],
    attention_probs_dropout_prob: config.attentionProbsDropoutProb,
    classifier_dropout: config.classifierDropout,
    dtype: 'float32',
    hidden_act: config.hiddenAct,
    hidden_dropout_prob: config.hiddenDropoutProb,
    hidden_size: config.hiddenSize,
    initializer_range: config.initializerRange,
    intermediate_size: config.intermediateSize,
    layer_norm_eps: config.layerNormEps,
    max_position_embeddings: config.maxPositionEmbeddings,
    model_type: 'bert',
    num_attention_heads: config.numAttentionHeads,
    num_hidden_layers: config.numHiddenLayers,
    pad_token_id: config.padTokenId,
    transformers_version: TRANSFORMERS_VERSION,
    type_vocab_size: config.typeVocabSize,
    vocab_size: config.vocabSize,
  };
  return sorted(json);
}

function sorted(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
