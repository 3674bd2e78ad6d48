// MPNet (Song et al. 2020), and the sentence encoders of its shape. Attention has a bias by the distance of two tokens, from one table
// for all layers; there are no token types.
import { z } from 'zod';
import { bertEncoder, bertNames, encoderKeys } from './bert.js';
import { defineFamily, maskedLmHead, size, tokenId, tokenIds } from './family.js';

/** Fixed in transformers, whatever the config says. */
const PADDING = 1;
const BUCKETS = 32;
const MAX_DISTANCE = 128;

export const mpnet = defineFamily({
  modelType: 'mpnet',
  classPrefix: 'MPNet',
  keys: {
    ...encoderKeys,
    vocab_size: size(30527),
    relative_attention_num_buckets: z
      .literal(BUCKETS, { error: `${BUCKETS}, the buckets that transformers tells apart` })
      .default(BUCKETS),
    pad_token_id: tokenId(1),
    bos_token_id: tokenId(0),
    eos_token_id: tokenIds(2),
  },
  encoder: (config) => {
    const encoder = bertEncoder({ ...config, typeVocabSize: 0 });
    const positions = { rows: config.maxPositionEmbeddings, first: PADDING + 1 };
    const relative = { kind: 'bias', buckets: BUCKETS, maxDistance: MAX_DISTANCE } as const;
    return {
      ...encoder,
      embeddings: { ...encoder.embeddings, padId: PADDING, positions },
      attention: { ...encoder.attention, relative },
    };
  },
  heads: {
    sequence: ({ hiddenDropoutProb }) => [
      { pool: 'first' },
      { dropout: hiddenDropoutProb },
      { linear: 'classifier.dense' },
      { activation: 'tanh' },
      { dropout: hiddenDropoutProb },
      { linear: 'classifier.out_proj' },
    ],
    tokens: ({ hiddenDropoutProb }) => [{ dropout: hiddenDropoutProb }, { linear: 'classifier' }],
    maskedLm: () =>
      maskedLmHead('lm_head.dense', 'lm_head.layer_norm', { activation: 'gelu', vocabulary: 'lm_head' }),
  },
  names: {
    ...bertNames,
    prefix: 'mpnet.',
    relativeBias: 'encoder.relative_attention_bias',
    queryKeyValue: ['attention.attn.q', 'attention.attn.k', 'attention.attn.v'],
    attentionOutput: 'attention.attn.o',
    attentionNorm: 'attention.LayerNorm',
  },
  loraTargets: ['q', 'v'],
});
