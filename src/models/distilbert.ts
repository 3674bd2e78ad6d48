// DistilBERT (Sanh et al. 2019): keys and names of its own, no token types, no dropout behind attention.
import { activation, ACTIVATIONS, commonKeys, dropout, flag, layers, size, tokenId } from './config-keys.js';
import { defineFamily } from './family.js';

/** Fixed in transformers, without a key. */
const NORM = { eps: 1e-12, bias: true };

export const distilbert = defineFamily({
  modelType: 'distilbert',
  classPrefix: 'DistilBert',
  keys: {
    ...commonKeys,
    vocab_size: size(30522),
    dim: size(768),
    n_layers: layers(6),
    n_heads: size(12),
    hidden_dim: size(3072),
    activation,
    dropout: dropout(0.1),
    attention_dropout: dropout(0.1),
    qa_dropout: dropout(0.1),
    seq_classif_dropout: dropout(0.2),
    max_position_embeddings: size(512),
    sinusoidal_pos_embds: flag(false),
    pad_token_id: tokenId(0),
  },
  aliases: { hidden_size: 'dim', num_hidden_layers: 'n_layers', num_attention_heads: 'n_heads' },
  encoder: (config) => ({
    hidden: config.dim,
    heads: config.nHeads,
    embeddings: {
      width: config.dim,
      vocab: config.vocabSize,
      padId: config.padTokenId,
      positions: { rows: config.maxPositionEmbeddings, first: 0 },
      tokenTypes: 0,
      norm: NORM,
      dropout: config.dropout,
      projection: false,
    },
    attention: { bias: true, dropout: config.attentionDropout, outputDropout: 0 },
    mlp: {
      width: config.hiddenDim,
      activation: ACTIVATIONS[config.activation],
      biasIn: true,
      biasOut: true,
      outputDropout: config.dropout,
    },
    order: 'post',
    norm: NORM,
    finalNorm: false,
    layers: Array.from({ length: config.nLayers }, (_, i) => ({ parameters: `layers.${i}` })),
  }),
  heads: {
    sequence: (config) => [
      { pool: 'first' },
      { linear: 'pre_classifier' },
      { activation: 'relu' },
      { dropout: config.seqClassifDropout },
      { linear: 'classifier' },
    ],
  },
  names: {
    prefix: 'distilbert.',
    words: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    layers: 'transformer.layer',
    queryKeyValue: ['attention.q_lin', 'attention.k_lin', 'attention.v_lin'],
    attentionOutput: 'attention.out_lin',
    attentionNorm: 'sa_layer_norm',
    mlpIn: 'ffn.lin1',
    mlpOut: 'ffn.lin2',
    mlpNorm: 'output_layer_norm',
  },
  loraTargets: ['q_lin', 'v_lin'],
});
