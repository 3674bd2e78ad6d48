// ALBERT (Lan et al. 2020): layers in groups that share their parameters, and narrow embeddings that a projection widens.
import type { LayerSpec } from '../native/spec.js';
import { UsageError } from '../util/errors.js';
import { bertEncoder, bertNames, encoderKeys } from './bert.js';
import {
  activation,
  ACTIVATIONS,
  defineFamily,
  dropout,
  layers,
  maskedLmHead,
  size,
  tokenId,
  tokenIds,
} from './family.js';

/** Of layers, far above any encoder. */
const MOST_RUNS = 1000;

export const albert = defineFamily({
  modelType: 'albert',
  classPrefix: 'Albert',
  keys: {
    ...encoderKeys,
    vocab_size: size(30000),
    embedding_size: size(128),
    hidden_size: size(4096),
    num_hidden_groups: layers(1),
    inner_group_num: layers(1),
    num_attention_heads: size(64),
    intermediate_size: size(16384),
    hidden_act: activation.unwrap().default('gelu_new'),
    hidden_dropout_prob: dropout(0),
    attention_probs_dropout_prob: dropout(0),
    classifier_dropout_prob: dropout(0.1),
    type_vocab_size: size(2),
    bos_token_id: tokenId(2),
    eos_token_id: tokenIds(3),
  },
  upgrade: (keys, where) => {
    const { num_hidden_layers: count = 12, num_hidden_groups: groups = 1, inner_group_num: inner = 1 } = keys;
    if (Number(groups) > Number(count))
      throw new UsageError(
        `num_hidden_groups (${Number(groups)}) in ${where} is more than num_hidden_layers (${Number(count)})`,
      );
    if (Number(count) * Number(inner) > MOST_RUNS)
      throw new UsageError(
        `num_hidden_layers (${Number(count)}) times inner_group_num (${Number(inner)}) in ${where} is more than ${MOST_RUNS}`,
      );
    return { ...keys };
  },
  encoder: (config) => {
    const encoder = bertEncoder(config);
    return {
      ...encoder,
      embeddings: { ...encoder.embeddings, width: config.embeddingSize, projection: true },
      mlp: { ...encoder.mlp, outputDropout: 0 },
      layers: groupedLayers(config.numHiddenLayers, config.numHiddenGroups, config.innerGroupNum),
    };
  },
  heads: {
    sequence: (config) => [
      { pool: 'first' },
      { linear: 'albert.pooler' },
      { activation: 'tanh' },
      { dropout: config.classifierDropoutProb },
      { linear: 'classifier' },
    ],
    tokens: (config) => [{ dropout: config.classifierDropoutProb }, { linear: 'classifier' }],
    maskedLm: ({ hiddenAct }) =>
      maskedLmHead('predictions.dense', 'predictions.LayerNorm', {
        activation: ACTIVATIONS[hiddenAct],
        vocabulary: 'predictions',
      }),
  },
  names: {
    ...bertNames,
    prefix: 'albert.',
    projection: 'encoder.embedding_hidden_mapping_in',
    layers: 'encoder.albert_layer_groups',
    innerLayers: 'albert_layers',
    queryKeyValue: ['attention.query', 'attention.key', 'attention.value'],
    attentionOutput: 'attention.dense',
    attentionNorm: 'attention.LayerNorm',
    mlpIn: 'ffn',
    mlpOut: 'ffn_output',
    mlpNorm: 'full_layer_layer_norm',
  },
  loraTargets: ['query', 'value'],
});

/** Each of `count` layers runs all that its group consists of. Source: transformers 5.18, `AlbertTransformer.forward`. */
function groupedLayers(count: number, groups: number, inner: number): LayerSpec[] {
  const common = { attentionNorm: true, window: null, rotaryTheta: null };
  return Array.from({ length: count }, (_, i) => Math.floor(i / (count / groups))).flatMap((group) =>
    Array.from({ length: inner }, (_, n) => ({ parameters: `layers.${group}.${n}`, ...common })),
  );
}
