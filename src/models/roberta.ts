// RoBERTa (Liu et al. 2019) and the models of its shape, XLM-RoBERTa and CamemBERT. Positions begin behind that of the padding
// token, and the head has its dense layer inside, so that nothing of it comes from pre-training.
import { bertEncoder, bertKeys, bertNames, headDropout, tokenHead } from './bert.js';
import { maskedLmHead, size, tokenId, tokenIds, wholeId, defineFamily, type ModelFamily } from './family.js';

function robertaKind(modelType: string, classPrefix: string, vocabSize: number): ModelFamily {
  return defineFamily({
    modelType,
    classPrefix,
    keys: {
      ...bertKeys,
      vocab_size: size(vocabSize),
      pad_token_id: wholeId.default(1),
      bos_token_id: tokenId(0),
      eos_token_id: tokenIds(2),
    },
    encoder: (config) => {
      const encoder = bertEncoder(config);
      const positions = { rows: config.maxPositionEmbeddings, first: config.padTokenId + 1 };
      return { ...encoder, embeddings: { ...encoder.embeddings, positions } };
    },
    heads: {
      sequence: (config) => [
        { pool: 'first' },
        headDropout(config),
        { linear: 'classifier.dense' },
        { activation: 'tanh' },
        headDropout(config),
        { linear: 'classifier.out_proj' },
      ],
      tokens: tokenHead,
      maskedLm: () =>
        maskedLmHead('lm_head.dense', 'lm_head.layer_norm', { activation: 'gelu', vocabulary: 'lm_head' }),
    },
    names: { ...bertNames, prefix: 'roberta.' },
    loraTargets: ['query', 'value'],
  });
}

export const roberta = robertaKind('roberta', 'Roberta', 50265);
export const xlmRoberta = robertaKind('xlm-roberta', 'XLMRoberta', 30522);
export const camembert = robertaKind('camembert', 'Camembert', 30522);
