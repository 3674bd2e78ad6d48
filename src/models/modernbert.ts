// ModernBERT (Warner et al. 2024), and the models of its shape: Ettin, mmBERT, gte-modernbert, granite-embedding r2. Norms come before
// what they feed, positions are rotary, the MLP is gated, and most layers see a window of the text only.
import { z } from 'zod';
import type { HeadStage } from '../native/spec.js';
import { expected, UsageError } from '../util/errors.js';
import { isObject } from '../util/json.js';
import {
  activation,
  ACTIVATIONS,
  commonKeys,
  defineFamily,
  dropout,
  flag,
  float,
  layers,
  size,
  tokenId,
  tokenIds,
} from './family.js';

const LAYER_TYPES = ['full_attention', 'sliding_attention'] as const;
type LayerType = (typeof LAYER_TYPES)[number];

/** The bases of rotary positions, and how often a layer sees all of a text, where the file does not say. */
const THETAS: Readonly<Record<LayerType, number>> = { full_attention: 160_000, sliding_attention: 10_000 };
const OLD_THETAS = { full_attention: 'global_rope_theta', sliding_attention: 'local_rope_theta' } as const;
const FULL_EVERY = 3;

const rotary = z.looseObject(
  {
    rope_theta: z.number({ error: 'a number above 0' }).gt(0, 'a number above 0'),
    rope_type: z
      .literal('default', { error: '"default" (rotary positions that are not scaled)' })
      .default('default'),
  },
  { error: 'an object with rope_theta' },
);

export const modernbert = defineFamily({
  modelType: 'modernbert',
  classPrefix: 'ModernBert',
  keys: {
    ...commonKeys,
    vocab_size: size(50368),
    hidden_size: size(768),
    num_hidden_layers: layers(22),
    num_attention_heads: size(12),
    intermediate_size: size(1152),
    hidden_activation: activation,
    max_position_embeddings: size(8192),
    initializer_cutoff_factor: float(2),
    norm_eps: float(1e-5),
    norm_bias: flag(false),
    attention_bias: flag(false),
    mlp_bias: flag(false),
    decoder_bias: flag(true),
    attention_dropout: dropout(0),
    embedding_dropout: dropout(0),
    mlp_dropout: dropout(0),
    classifier_dropout: dropout(0),
    classifier_bias: flag(false),
    classifier_activation: activation,
    classifier_pooling: z.enum(['cls', 'mean'], { error: '"cls" or "mean"' }).default('cls'),
    layer_types: z.array(z.enum(LAYER_TYPES, { error: LAYER_TYPES.join(' or ') }), { error: 'a list' }),
    local_attention: size(128),
    rope_parameters: z.object({ full_attention: rotary, sliding_attention: rotary }),
    deterministic_flash_attn: flag(false),
    sparse_prediction: flag(false),
    sparse_pred_ignore_index: z.int({ error: 'a whole number' }).default(-100),
    pad_token_id: tokenId(50283),
    bos_token_id: tokenId(50281),
    eos_token_id: tokenIds(50282),
    cls_token_id: tokenId(50281),
    sep_token_id: tokenId(50282),
  },
  upgrade: (keys, where) => {
    const { global_rope_theta: _global, local_rope_theta: _local, ...rest } = keys;
    return { ...rest, layer_types: layerTypes(keys, where), rope_parameters: rotaryParameters(keys, where) };
  },
  encoder: (config) => {
    const norm = { eps: config.normEps, bias: config.normBias };
    return {
      hidden: config.hiddenSize,
      heads: config.numAttentionHeads,
      embeddings: {
        width: config.hiddenSize,
        vocab: config.vocabSize,
        padId: config.padTokenId,
        positions: null,
        tokenTypes: 0,
        norm,
        dropout: config.embeddingDropout,
        projection: false,
      },
      attention: {
        bias: config.attentionBias,
        dropout: config.attentionDropout,
        outputDropout: config.attentionDropout,
      },
      mlp: {
        width: config.intermediateSize,
        activation: ACTIVATIONS[config.hiddenActivation],
        gated: true,
        biasIn: config.mlpBias,
        biasOut: config.mlpBias,
        innerDropout: config.mlpDropout,
        outputDropout: 0,
      },
      order: 'pre',
      norm,
      finalNorm: true,
      layers: config.layerTypes.map((type, i) => ({
        parameters: `layers.${i}`,
        attentionNorm: i > 0,
        // A whole window: what is to both sides of a token, and itself where the number is odd.
        window: type === 'sliding_attention' ? Math.floor(config.localAttention / 2) : null,
        rotaryTheta: config.ropeParameters[type].rope_theta,
      })),
    };
  },
  initialisation: ({ initializerRange: std, initializerCutoffFactor: cut, numHiddenLayers, hiddenSize }) => ({
    std,
    outputStd: std / Math.sqrt(2 * numHiddenLayers),
    logitsStd: 1 / Math.sqrt(hiddenSize),
    cut,
    zeroPadding: false,
  }),
  heads: {
    sequence: (config) => [
      { pool: config.classifierPooling === 'cls' ? 'first' : 'mean' },
      ...predictionHead(config),
    ],
    tokens: predictionHead,
    maskedLm: ({ classifierBias: bias, classifierActivation, decoderBias }) => [
      { select: 'labelled' },
      { linear: 'head.dense', bias },
      { activation: ACTIVATIONS[classifierActivation] },
      { norm: 'head.norm' },
      { vocabulary: 'decoder', bias: decoderBias },
    ],
  },
  names: {
    prefix: 'model.',
    words: 'embeddings.tok_embeddings',
    embeddingNorm: 'embeddings.norm',
    layers: 'layers',
    queryKeyValue: ['attn.Wqkv'],
    attentionOutput: 'attn.Wo',
    attentionNorm: 'attn_norm',
    mlpIn: 'mlp.Wi',
    mlpOut: 'mlp.Wo',
    mlpNorm: 'mlp_norm',
    finalNorm: 'final_norm',
  },
  loraTargets: ['Wqkv'],
});

/** What the heads have in common, on texts and on tokens. */
function predictionHead(config: {
  readonly classifierBias: boolean;
  readonly classifierActivation: keyof typeof ACTIVATIONS;
  readonly classifierDropout: number;
}): readonly HeadStage[] {
  return [
    { linear: 'head.dense', bias: config.classifierBias },
    { activation: ACTIVATIONS[config.classifierActivation] },
    { norm: 'head.norm' },
    { dropout: config.classifierDropout },
    { linear: 'classifier' },
  ];
}

/** As named, or every nth that sees all, as files of transformers 4 say it. */
function layerTypes(keys: Readonly<Record<string, unknown>>, where: string): unknown {
  const { layer_types: named, num_hidden_layers: count = 22 } = keys;
  const { global_attn_every_n_layers: every = FULL_EVERY } = keys;
  if (typeof every !== 'number' || !Number.isInteger(every) || every < 1)
    throw expected('a whole number from 1', `global_attn_every_n_layers in ${where}`, every);
  if (typeof count !== 'number' || !Number.isInteger(count)) return named ?? []; // which the schema refuses
  if (named === undefined || named === null)
    return Array.from({ length: Math.min(count, 1000) }, (_, i): LayerType =>
      i % every === 0 ? 'full_attention' : 'sliding_attention',
    );
  if (Array.isArray(named) && named.length !== count)
    throw new UsageError(
      `layer_types in ${where} has ${named.length} entries for num_hidden_layers ${count}`,
    );
  return named;
}

/** One base for each type of layer; of the older keys a null stands for the base of the layers that see all. */
function rotaryParameters(keys: Readonly<Record<string, unknown>>, where: string): Record<string, unknown> {
  const { rope_parameters: given = {}, rope_scaling: scaling = null } = keys;
  if (scaling !== null) throw expected('null', `rope_scaling in ${where}`, scaling);
  const named = given ?? {};
  if (!isObject(named) || 'rope_theta' in named || 'rope_type' in named)
    throw expected(
      'one object for each of full_attention and sliding_attention',
      `rope_parameters in ${where}`,
      given,
    );
  const old = (type: LayerType): unknown => keys[OLD_THETAS[type]];
  const global = old('full_attention') ?? THETAS.full_attention;
  const fallback: Readonly<Record<LayerType, unknown>> = {
    full_attention: global,
    sliding_attention:
      old('sliding_attention') === null ? global : (old('sliding_attention') ?? THETAS.sliding_attention),
  };
  return Object.fromEntries(
    LAYER_TYPES.map((type) => {
      const own = named[type] ?? {};
      // What is no object the schema refuses.
      return [type, isObject(own) ? { rope_theta: fallback[type], rope_type: 'default', ...own } : own];
    }),
  );
}
