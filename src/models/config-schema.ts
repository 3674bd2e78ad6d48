// What a config.json may contain: keys, ranges and defaults.

import { z } from 'zod';
import { expected, UsageError } from '../util/errors.js';
import { HIDDEN_ACTIVATIONS } from './activations.js';
import type { HiddenAct } from './activations.js';
import { problemTypes } from '../tasks/index.js';
import { oneLine, quoted } from '../util/text.js';

const SUPPORTED = 'BERT encoders (model_type "bert") with absolute positions';

const MAX_INT32 = 2 ** 31 - 1;
/** Far above any BERT; it keeps a broken file from making us list billions of tensors. */
const MAX_LAYERS = 1000;
/** Ten times what a data set may have; each class has a name in memory. */
const MAX_LABELS = 100_000;

const whole = (max: number) => {
  const error = `a whole number from 1 to ${max}`;
  return z.int({ error }).min(1, error).max(max, error);
};
const size = whole(MAX_INT32);
const dropoutError = 'a number from 0 to below 1';
const dropout = z.number({ error: dropoutError }).min(0, dropoutError).lt(1, dropoutError);
// Below 1 also because transformers takes no whole number here, and JSON.stringify writes 1.0 as 1.
const fractionError = 'a number above 0 and below 1';
const fraction = z.number({ error: fractionError }).gt(0, fractionError).lt(1, fractionError);
const tokenIdError = 'a token id from 0, or null';
const tokenId = z.int({ error: tokenIdError }).min(0, tokenIdError).nullable();

/** The keys that bertune uses. Defaults: transformers 5.18, `configuration_bert.py`. */
const used = {
  model_type: z.string({ error: 'a name' }).optional(),
  architectures: z.array(z.string(), { error: 'a list of names' }).nullish(),
  vocab_size: size.default(30522),
  hidden_size: size.default(768),
  num_hidden_layers: whole(MAX_LAYERS).default(12),
  num_attention_heads: size.default(12),
  intermediate_size: size.default(3072),
  hidden_act: z
    .string({ error: 'a name' })
    .refine((name): name is HiddenAct => Object.hasOwn(HIDDEN_ACTIVATIONS, name), {
      error: `one of ${Object.keys(HIDDEN_ACTIVATIONS).join(', ')}`,
    })
    .default('gelu'),
  hidden_dropout_prob: dropout.default(0.1),
  attention_probs_dropout_prob: dropout.default(0.1),
  classifier_dropout: dropout.nullable().default(null),
  max_position_embeddings: size.default(512),
  type_vocab_size: size.default(2),
  initializer_range: fraction.default(0.02),
  layer_norm_eps: fraction.default(1e-12),
  pad_token_id: tokenId.default(0),
  problem_type: z.enum(problemTypes, { error: `one of ${problemTypes.join(', ')}` }).nullish(),
  num_labels: whole(MAX_LABELS).optional(),
  id2label: z
    .record(z.string(), z.union([z.string(), z.number().transform(String)], { error: 'a class name' }), {
      error: 'an object of class ids and names',
    })
    .refine((map) => Object.keys(map).length > 0, { error: 'at least one class' })
    .nullish(),
  label2id: z.record(z.string(), z.unknown(), { error: 'an object of class names and ids' }).nullish(),
};

/** Keys of other kinds of BERT. They may be there as long as they ask for nothing that is not done. */
const restricted = {
  position_embedding_type: z.literal('absolute', { error: '"absolute"' }).optional(),
  is_decoder: z.literal(false, { error: 'false (an encoder)' }).optional(),
  is_encoder_decoder: z.literal(false, { error: 'false (an encoder)' }).optional(),
  add_cross_attention: z.literal(false, { error: 'false (an encoder)' }).optional(),
  quantization_config: z.null({ error: 'null (weights that are not quantised)' }).optional(),
  per_layer_config: z.null({ error: 'null (all layers alike)' }).optional(),
};

const schema = z.looseObject({ ...used, ...restricted });

/** The content of a config.json, defaults filled in, unknown keys included. */
export type ConfigFile = z.output<typeof schema>;

/**
 * Checks a config.json value by value and against itself.
 *
 * @throws UsageError naming the first wrong key, what it should be, and the file (`where`)
 */
export function checkConfigFile(json: unknown, where: string): ConfigFile {
  const { data, error } = schema.safeParse(json, { reportInput: true });
  if (error) {
    const [issue] = error.issues;
    if (!issue?.path.length) throw expected('a JSON object', where, json);
    throw expected(issue.message, `${oneLine(issue.path.join('.'))} in ${where}`, issue.input);
  }
  checkModelType(data, where);
  const { hidden_size: hidden, num_attention_heads: heads, pad_token_id: pad, vocab_size: vocab } = data;
  if (hidden % heads !== 0) {
    throw new UsageError(
      `hidden_size (${hidden}) is not a multiple of num_attention_heads (${heads}) in ${where}`,
    );
  }
  if (pad !== null && pad >= vocab) {
    throw new UsageError(`pad_token_id (${pad}) is not below vocab_size (${vocab}) in ${where}`);
  }
  return data;
}

/** Whether a key of config.json has a field of its own in `BertConfig`. */
export function isUsedKey(key: string): boolean {
  return Object.hasOwn(used, key);
}

/** Google's first configs have no model_type; there the architecture, if any, decides. */
function checkModelType({ model_type: modelType, architectures }: ConfigFile, where: string): void {
  const foreign = architectures?.find((name) => !name.startsWith('Bert'));
  const found = modelType ?? foreign ?? 'bert';
  if (found !== 'bert') {
    throw new UsageError(`${where} describes a ${quoted(found)} model; bertune supports ${SUPPORTED}`);
  }
}
