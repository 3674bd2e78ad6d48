// BERT (Devlin et al. 2019). Others of this shape differ in a few keys and names: see their files.
import type { z } from 'zod';

import type { EncoderSpec, HeadStage } from '../native/spec.js';
import {
  activation,
  ACTIVATIONS,
  commonKeys,
  dropout,
  flag,
  float,
  layers,
  maskedLmHead,
  off,
  optionalDropout,
  size,
  tokenId,
  defineFamily,
  uniformLayers,
  type CamelCased,
  type EncoderNames,
} from './family.js';

/** What all encoders of this shape have. */
export const encoderKeys = {
  ...commonKeys,
  vocab_size: size(30522),
  hidden_size: size(768),
  num_hidden_layers: layers(12),
  num_attention_heads: size(12),
  intermediate_size: size(3072),
  hidden_act: activation,
  hidden_dropout_prob: dropout(0.1),
  attention_probs_dropout_prob: dropout(0.1),
  max_position_embeddings: size(512),
  layer_norm_eps: float(1e-12),
  pad_token_id: tokenId(0),
};

export const bertKeys = {
  ...encoderKeys,
  classifier_dropout: optionalDropout,
  type_vocab_size: size(2),
  use_cache: flag(true),
  is_decoder: off,
  add_cross_attention: off,
};

export type BertFields = CamelCased<z.output<z.ZodObject<typeof bertKeys>>>;

export function bertEncoder(
  config: CamelCased<z.output<z.ZodObject<typeof encoderKeys>>> & Pick<BertFields, 'typeVocabSize'>,
): EncoderSpec {
  const { hiddenDropoutProb } = config;
  const norm = { eps: config.layerNormEps, bias: true };
  return {
    hidden: config.hiddenSize,
    heads: config.numAttentionHeads,
    embeddings: {
      width: config.hiddenSize,
      vocab: config.vocabSize,
      padId: config.padTokenId,
      positions: { rows: config.maxPositionEmbeddings, first: 0 },
      tokenTypes: config.typeVocabSize,
      norm,
      dropout: hiddenDropoutProb,
      projection: false,
    },
    attention: { bias: true, dropout: config.attentionProbsDropoutProb, outputDropout: hiddenDropoutProb },
    mlp: {
      width: config.intermediateSize,
      activation: ACTIVATIONS[config.hiddenAct],
      gated: false,
      biasIn: true,
      biasOut: true,
      innerDropout: 0,
      outputDropout: hiddenDropoutProb,
    },
    order: 'post',
    norm,
    finalNorm: false,
    layers: uniformLayers(config.numHiddenLayers),
  };
}

/** The dropout of a head: `classifier_dropout`, or that of the hidden states where it is null. */
export const headDropout = (config: Pick<BertFields, 'classifierDropout' | 'hiddenDropoutProb'>) => ({
  dropout: config.classifierDropout ?? config.hiddenDropoutProb,
});

/** Of each token by itself, as most families have it. */
export const tokenHead = (
  config: Pick<BertFields, 'classifierDropout' | 'hiddenDropoutProb'>,
): readonly HeadStage[] => [headDropout(config), { linear: 'classifier' }];

export const bertNames = {
  words: 'embeddings.word_embeddings',
  positions: 'embeddings.position_embeddings',
  types: 'embeddings.token_type_embeddings',
  embeddingNorm: 'embeddings.LayerNorm',
  projection: 'embeddings_project',
  layers: 'encoder.layer',
  queryKeyValue: ['attention.self.query', 'attention.self.key', 'attention.self.value'],
  attentionOutput: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  mlpIn: 'intermediate.dense',
  mlpOut: 'output.dense',
  mlpNorm: 'output.LayerNorm',
} as const satisfies Partial<EncoderNames>;

export const bert = defineFamily({
  modelType: 'bert',
  classPrefix: 'Bert',
  keys: bertKeys,
  encoder: bertEncoder,
  heads: {
    sequence: (config) => [
      { pool: 'first' },
      { linear: 'bert.pooler.dense' },
      { activation: 'tanh' },
      headDropout(config),
      { linear: 'classifier' },
    ],
    tokens: tokenHead,
    maskedLm: ({ hiddenAct }) =>
      maskedLmHead('cls.predictions.transform.dense', 'cls.predictions.transform.LayerNorm', {
        activation: ACTIVATIONS[hiddenAct],
        vocabulary: 'cls.predictions',
      }),
  },
  names: { ...bertNames, prefix: 'bert.' },
  loraTargets: ['query', 'value'],
});
