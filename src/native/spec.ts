// What a native session is built from: numbers and kinds, never the name of a model. src/models/ derives it from a config.json.

/** `gelu` is the exact form by erf, `gelu_tanh` its tanh approximation. */
export type Activation = 'gelu' | 'gelu_tanh' | 'relu' | 'silu' | 'tanh';

export interface NormSpec {
  eps: number;
  bias: boolean;
}

/**
 * An encoder over packed sequences. Probabilities are those of dropping a value, from 0 to below 1.
 *
 * @example
 * ```ts
 * import { parseConfig, sessionSpec, type EncoderSpec } from 'bertune';
 *
 * const encoder: EncoderSpec = sessionSpec(parseConfig({ model_type: 'bert' }, 'BERT')).encoder;
 * console.log(encoder.hidden, encoder.heads, encoder.layers.length);
 * ```
 */
export interface EncoderSpec {
  hidden: number;
  heads: number;
  embeddings: {
    /** Columns of the tables; a projection leads from here to `hidden` where the two differ or the family has one anyway. */
    width: number;
    vocab: number;
    /** The row of the word table that gets no gradient; null for none. */
    padId: number | null;
    /** `first` is the row of a sequence's first token; null for an encoder without a table of positions. */
    positions: { rows: number; first: number } | null;
    /** Rows of the table of token types; 0 for an encoder without one. */
    tokenTypes: number;
    norm: NormSpec | null;
    dropout: number;
    /** A linear layer with bias from `width` to `hidden`, behind norm and dropout. */
    projection: boolean;
  };
  attention: { bias: boolean; dropout: number; outputDropout: number; relative?: RelativeSpec | null };
  mlp: {
    width: number;
    activation: Activation;
    /** `mlpIn` has 2 * width rows, and the activation of the first half is multiplied by the second. */
    gated: boolean;
    biasIn: boolean;
    biasOut: boolean;
    /** Before the second linear layer. */
    innerDropout: number;
    outputDropout: number;
  };
  /** `post`: norm(x + f(x)). `pre`: x + f(norm(x)). */
  order: 'post' | 'pre';
  norm: NormSpec;
  /** A norm behind the last layer, as pre-norm encoders have it. */
  finalNorm: boolean;
  /** One entry for each layer that runs, in order. */
  layers: readonly LayerSpec[];
}

/**
 * What attention does with the distance between a query and a key, the same in all layers.
 *
 * @example
 * ```ts
 * import type { RelativeSpec } from 'bertune';
 *
 * const relative: RelativeSpec = { kind: 'bias', buckets: 32, maxDistance: 128 };
 * ```
 */
export type RelativeSpec = RelativeBiasSpec | DisentangledSpec;

/**
 * A value a head is added to the score of a query and a key, which is that of the bucket of their distance as in T5: half of the
 * buckets for either side, half of those for one distance each, and the others in logarithmic steps up to `maxDistance`.
 *
 * @example
 * ```ts
 * import type { RelativeBiasSpec } from 'bertune';
 *
 * const mpnet: RelativeBiasSpec = { kind: 'bias', buckets: 32, maxDistance: 128 };
 * ```
 */
export interface RelativeBiasSpec {
  kind: 'bias';
  buckets: number;
  maxDistance: number;
}

/**
 * Disentangled attention: the score of query i and key j is q_i k_j + q_i K + k_j Q, where K and Q are the key and the query of
 * their distance, a row of the table `relative.weight`, divided by the root of the head's size times 1 + the number of these parts.
 *
 * @example
 * ```ts
 * import { parseConfig, sessionSpec, type DisentangledSpec } from 'bertune';
 *
 * const config = parseConfig({ model_type: 'deberta-v2', relative_attention: true, pos_att_type: ['c2p'] }, 'DeBERTa');
 * const { relative } = sessionSpec(config).encoder.attention;
 * const deberta: DisentangledSpec | null = relative?.kind === 'disentangled' ? relative : null;
 * console.log(deberta);
 * ```
 */
export interface DisentangledSpec {
  kind: 'disentangled';
  /** Of the table. */
  rows: number;
  /** For the distances query - key from -n to n; farther ones have the row of the last. */
  rowOfDistance: readonly number[];
  /** Whether queries meet the keys of distances. */
  keys: boolean;
  /** Whether keys meet the queries of distances. */
  queries: boolean;
  /** Whether the layer's own projections give them, with its adapters; else it has `relativeKey` and `relativeQuery`. */
  shared: boolean;
  /** Of the table. */
  norm: NormSpec | null;
  /** Of the table, drawn for each layer. */
  dropout: number;
}

/**
 * What may differ from layer to layer.
 *
 * @example
 * ```ts
 * import type { LayerSpec } from 'bertune';
 *
 * const local: LayerSpec = { parameters: 'layers.1', attentionNorm: true, window: 64, rotaryTheta: 10_000 };
 * ```
 */
export interface LayerSpec {
  /** The prefix of its parameters: the same twice is a shared layer. */
  parameters: string;
  /** Whether a norm comes before attention; always true with `post`. */
  attentionNorm: boolean;
  /** The most tokens between a query and a key that it sees; null for all of a sequence. */
  window: number | null;
  /** The base of rotary positions, which turn queries and keys; null for none. */
  rotaryTheta: number | null;
}

/**
 * One stage behind the encoder. `linear` and `norm` name the parameters `NAME.weight` and `NAME.bias`, which may have no bias. Before `pool` a stage works
 * on every token, behind it on sequences; without a `pool` logits are per token.
 *
 * @example
 * ```ts
 * import type { HeadStage } from 'bertune';
 *
 * const head: HeadStage[] = [{ pool: 'first' }, { dropout: 0.1 }, { linear: 'classifier' }];
 * ```
 */
export type HeadStage =
  | { pool: 'first' | 'mean' }
  /** Of a head that ends with a vocabulary: only the tokens that have a label, where the batch has labels. */
  | { select: 'labelled' }
  | { linear: string; bias?: boolean }
  | { activation: Activation }
  | { norm: string }
  | { dropout: number }
  /** The last: the product with the table of the word embeddings, and `NAME.bias` unless `bias` is false. */
  | { vocabulary: string; bias?: boolean };

/**
 * Losses are sums over the labels of a batch. `cross_entropy` takes class ids (-100: none) or one probability a class;
 * the others take one value a logit.
 *
 * @example
 * ```ts
 * import type { LossKind } from 'bertune';
 *
 * const loss: LossKind = 'cross_entropy';
 * ```
 */
export type LossKind = 'cross_entropy' | 'binary_cross_entropy' | 'mean_squared_error';

export type Initialisation =
  /** `zeroRow`: a row that starts as zeros, as that of the padding token. */
  | { kind: 'normal'; std: number; zeroRow?: number }
  /** `cut`: standard deviations from 0 beyond which nothing is drawn. */
  | { kind: 'truncated_normal'; std: number; cut: number }
  | { kind: 'uniform'; bound: number }
  | { kind: 'zeros' }
  | { kind: 'ones' };

/**
 * One parameter, by its canonical name:
 *
 *     embeddings.{words,positions,types,projection}.weight, embeddings.projection.bias, embeddings.norm.{weight,bias},
 *     layers.N.{queryKeyValue,attentionOutput,mlpIn,mlpOut,attentionNorm,mlpNorm}.{weight,bias}   (layers.N is LayerSpec.parameters, or layers.N.M)
 *     relativeBias.weight, relative.weight, relative.norm.{weight,bias}, layers.N.{relativeKey,relativeQuery}.{weight,bias}
 *     finalNorm.{weight,bias}, and the names of the head's stages
 *
 * Weights of linear layers are [outputs, inputs]; queryKeyValue has the rows of query, key and value, in this order.
 *
 * @example
 * ```ts
 * import { parseConfig, sessionSpec, type ParameterSpec } from 'bertune';
 *
 * const parameters: readonly ParameterSpec[] = sessionSpec(parseConfig({ model_type: 'bert' }, 'BERT')).parameters;
 * for (const { tensors, shape } of parameters) console.log(tensors[0]?.name, shape);
 * ```
 */
export interface ParameterSpec {
  name: string;
  shape: readonly number[];
  initialisation: Initialisation;
  /** Whether weight decay applies. */
  decays: boolean;
  /** What its rows are called outside, from the first row on: one tensor, or several side by side. */
  tensors: readonly { name: string; rows: number }[];
}

/**
 * A low-rank adapter (LoRA) of some rows of a linear layer: W x + scaling * B A x. `a` and `b` name its parameters.
 *
 * @example
 * ```ts
 * import type { AdapterSpec } from 'bertune';
 *
 * const query: AdapterSpec = {
 *   linear: 'layers.0.attention.qkv',
 *   firstRow: 0,
 *   rows: 768,
 *   a: 'layers.0.attention.query.lora_a',
 *   b: 'layers.0.attention.query.lora_b',
 * };
 * ```
 */
export interface AdapterSpec {
  /** The canonical name of the linear layer, without `.weight`. */
  linear: string;
  firstRow: number;
  rows: number;
  a: string;
  b: string;
}

/**
 * All that the native side knows of a model.
 *
 * @example
 * ```ts
 * import { parseConfig, sessionSpec, type SessionSpec } from 'bertune';
 *
 * const spec: SessionSpec = sessionSpec(parseConfig({ model_type: 'bert' }, 'BERT'));
 * console.log(spec.loss, spec.parameters.length);
 * ```
 */
export interface SessionSpec {
  encoder: EncoderSpec;
  head: readonly HeadStage[];
  loss: LossKind;
  /** All parameters, in the order in which random initial values are drawn for them. */
  parameters: readonly ParameterSpec[];
  lora?: { rank: number; scaling: number; dropout: number; adapters: readonly AdapterSpec[] };
}
