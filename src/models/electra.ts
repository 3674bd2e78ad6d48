// ELECTRA (Clark et al. 2020): embeddings may be narrower than the hidden states, and a projection leads from one to the other.
import { bertEncoder, bertKeys, bertNames, headDropout, tokenHead } from './bert.js';
import { dropout, flag, maskedLmHead, size, text, defineFamily } from './family.js';

export const electra = defineFamily({
  modelType: 'electra',
  classPrefix: 'Electra',
  keys: {
    ...bertKeys,
    embedding_size: size(128),
    hidden_size: size(256),
    num_attention_heads: size(4),
    intermediate_size: size(1024),
    // Of its multiple-choice head alone.
    summary_type: text('first'),
    summary_use_proj: flag(true),
    summary_activation: text('gelu'),
    summary_last_dropout: dropout(0.1),
  },
  encoder: (config) => {
    const encoder = bertEncoder(config);
    const { embeddingSize: width, hiddenSize } = config;
    return { ...encoder, embeddings: { ...encoder.embeddings, width, projection: width !== hiddenSize } };
  },
  heads: {
    sequence: (config) => [
      { pool: 'first' },
      headDropout(config),
      { linear: 'classifier.dense' },
      { activation: 'gelu' },
      headDropout(config),
      { linear: 'classifier.out_proj' },
    ],
    tokens: tokenHead,
    // That of the generator.
    maskedLm: () =>
      maskedLmHead('generator_predictions.dense', 'generator_predictions.LayerNorm', {
        activation: 'gelu',
        vocabulary: 'generator_lm_head',
      }),
  },
  names: { ...bertNames, prefix: 'electra.' },
  loraTargets: ['query', 'value'],
});
