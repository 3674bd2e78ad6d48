// DeBERTa-v2 and v3 (He et al. 2020, arXiv 2006.03654, and 2021, arXiv 2111.09543), one model type: the layers of BERT, whose
// attention also compares words with distances. Without the convolution of v2's xlarge models.
import { z } from 'zod';
import type { DisentangledSpec } from '../native/spec.js';
import { expected } from '../util/errors.js';
import { bertEncoder, bertNames, encoderKeys } from './bert.js';
import {
  activation,
  ACTIVATIONS,
  defineFamily,
  dropout,
  flag,
  float,
  layers,
  maskedLmHead,
  size,
  text,
  type CamelCased,
} from './family.js';

const HIDDEN = 1536;
const HEADS = 24;
const POSITIONS = 512;
/** Far above any encoder's; the native side gets a row for each distance. */
const MOST_DISTANCES = 32_768;

const wholeNumber = z.int({ error: 'a whole number' });

const keys = {
  ...encoderKeys,
  vocab_size: size(128_100),
  hidden_size: size(HIDDEN),
  num_hidden_layers: layers(24),
  num_attention_heads: size(HEADS),
  intermediate_size: size(6144),
  type_vocab_size: z.int({ error: 'a whole number from 0' }).min(0, 'a whole number from 0').default(0),
  layer_norm_eps: float(1e-7),
  relative_attention: flag(false),
  max_relative_positions: wholeNumber.default(-1),
  position_biased_input: flag(true),
  pos_att_type: z
    .array(z.enum(['c2p', 'p2c'], { error: '"c2p" or "p2c"' }), { error: 'a list of "c2p" and "p2c"' })
    .nullable()
    .default(null),
  pooler_dropout: dropout(0),
  pooler_hidden_act: activation,
  pooler_hidden_size: wholeNumber.default(HIDDEN),
  legacy: flag(true),
  // Of no class in transformers 5.18, but read by its layers; written where the file has them.
  position_buckets: wholeNumber.optional(),
  norm_rel_ebd: text('none').unwrap().optional(),
  share_att_key: z.boolean({ error: 'true or false' }).optional(),
  cls_dropout: dropout(0).unwrap().nullish(),
  embedding_size: wholeNumber.optional(),
  attention_head_size: wholeNumber.optional(),
  conv_kernel_size: z
    .int({ error: '0 (no convolution)' })
    .max(0, '0 (no convolution, which is not supported)')
    .optional(),
};

type Fields = CamelCased<z.output<z.ZodObject<typeof keys>>>;

export const debertaV2 = defineFamily({
  modelType: 'deberta-v2',
  classPrefix: 'DebertaV2',
  keys,
  upgrade: (file, where) => {
    const { hidden_size: hidden = HIDDEN, num_attention_heads: heads = HEADS, pos_att_type: parts } = file;
    requireSupported(file, where);
    return {
      ...file,
      pooler_hidden_size: file['pooler_hidden_size'] ?? hidden,
      ...(typeof parts === 'string' && { pos_att_type: partsIn(parts) }),
      // Refused by the schema where it is no number.
      num_attention_heads: heads,
    };
  },
  encoder: (config) => {
    const encoder = bertEncoder(config);
    const { embeddings, attention } = encoder;
    const relative = relativeSpec(config);
    return {
      ...encoder,
      embeddings: { ...embeddings, positions: config.positionBiasedInput ? embeddings.positions : null },
      attention: { ...attention, ...(relative !== undefined && { relative }) },
    };
  },
  heads: {
    sequence: (config) => [
      { pool: 'first' },
      { dropout: config.poolerDropout },
      { linear: 'pooler.dense' },
      { activation: ACTIVATIONS[config.poolerHiddenAct] },
      { dropout: config.clsDropout ?? config.hiddenDropoutProb },
      { linear: 'classifier' },
    ],
    tokens: ({ hiddenDropoutProb }) => [{ dropout: hiddenDropoutProb }, { linear: 'classifier' }],
    // `legacy` false: the published files of v3.
    maskedLm: ({ hiddenAct, legacy }) => {
      const transform = legacy ? 'cls.predictions.transform' : 'lm_predictions.lm_head';
      return maskedLmHead(`${transform}.dense`, `${transform}.LayerNorm`, {
        activation: ACTIVATIONS[hiddenAct],
        vocabulary: legacy ? 'cls.predictions' : 'lm_predictions.lm_head',
      });
    },
  },
  names: {
    ...bertNames,
    prefix: 'deberta.',
    queryKeyValue: ['attention.self.query_proj', 'attention.self.key_proj', 'attention.self.value_proj'],
    relative: 'encoder.rel_embeddings',
    relativeNorm: 'encoder.LayerNorm',
    relativeKey: 'attention.self.pos_key_proj',
    relativeQuery: 'attention.self.pos_query_proj',
  },
  loraTargets: ['query_proj', 'value_proj'],
});

function partsIn(names: string): string[] {
  return names.split('|').map((name) => name.trim().toLowerCase());
}

/** What two keys of a file say together. What is of the wrong type is left to the schema. */
function requireSupported(file: Readonly<Record<string, unknown>>, where: string): void {
  const number = (key: string, fallback: number): number => {
    const value = file[key] ?? fallback;
    return typeof value === 'number' ? value : fallback;
  };
  const hidden = number('hidden_size', HIDDEN);
  const perHead = hidden / number('num_attention_heads', HEADS);
  for (const [key, only, what] of [
    ['embedding_size', hidden, 'hidden_size: narrower embeddings are not supported'],
    ['attention_head_size', perHead, 'hidden_size / num_attention_heads'],
    ['pooler_hidden_size', hidden, 'hidden_size'],
  ] as const) {
    const value = file[key] ?? only;
    if (value !== only) throw expected(`${only} (${what})`, `${key} in ${where}`, value);
  }
  const { pos_att_type: parts } = file;
  const hasParts = (typeof parts === 'string' && parts !== '') || (Array.isArray(parts) && parts.length > 0);
  if ((file['relative_attention'] === true) !== hasParts)
    throw expected(
      hasParts ? 'true where there is a pos_att_type' : 'false without a pos_att_type',
      `relative_attention in ${where}`,
      file['relative_attention'] ?? false,
    );
  if (!hasParts) return;
  const buckets = number('position_buckets', -1);
  const most = number('max_relative_positions', -1);
  const reach = most < 1 ? number('max_position_embeddings', POSITIONS) : most;
  const key = most < 1 ? 'max_position_embeddings' : 'max_relative_positions';
  const least = buckets > 0 ? Math.floor(buckets / 2) + 2 : 1;
  if (buckets > 0 && buckets < 4) throw expected('4 or more', `position_buckets in ${where}`, buckets);
  if (reach < least || reach > MOST_DISTANCES)
    throw expected(`a whole number from ${least} to ${MOST_DISTANCES}`, `${key} in ${where}`, reach);
}

function relativeSpec(config: Fields): DisentangledSpec | undefined {
  if (!config.relativeAttention) return undefined;
  const { maxRelativePositions: most, positionBuckets: buckets = -1, posAttType } = config;
  const reach = most < 1 ? config.maxPositionEmbeddings : most;
  const span = buckets > 0 ? buckets : reach;
  const norms = (config.normRelEbd ?? 'none').toLowerCase().split('|');
  return {
    kind: 'disentangled',
    rows: 2 * span,
    rowOfDistance: rowsOfDistances(reach, buckets),
    keys: posAttType?.includes('c2p') ?? false,
    queries: posAttType?.includes('p2c') ?? false,
    shared: config.shareAttKey ?? false,
    norm: norms.some((name) => name.trim() === 'layer_norm')
      ? { eps: config.layerNormEps, bias: true }
      : null,
    dropout: config.hiddenDropoutProb,
  };
}

/**
 * The row of the table for each distance from -n to n, beyond which it stays the same: one for each distance, or where there are
 * `buckets`, one for each of the nearest and then logarithmically fewer. Source: transformers 5.18, `make_log_bucket_position` and
 * `disentangled_attention_bias`.
 */
function rowsOfDistances(reach: number, buckets: number): number[] {
  const span = buckets > 0 ? buckets : reach;
  const middle = Math.floor(buckets / 2);
  const bucketOf = (distance: number): number => {
    if (buckets <= 0 || distance <= middle) return distance;
    const share = Math.log(distance / middle) / Math.log((reach - 1) / middle);
    return Math.ceil(share * (middle - 1)) + middle;
  };
  let farthest = 1;
  while (bucketOf(farthest) < span) farthest++;
  return Array.from({ length: 2 * farthest + 1 }, (_, i) => {
    const distance = i - farthest;
    const row = span + Math.sign(distance) * bucketOf(Math.abs(distance));
    return Math.min(Math.max(row, 0), 2 * span - 1); // where few distances share the last buckets, these lie farther than the table
  });
}
