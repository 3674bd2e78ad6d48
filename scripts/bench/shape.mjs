// The shape of the model that is measured, and the arithmetic that it takes.
import { SetupError } from '../setup/errors.mjs';

/** @typedef {{ layers: number, hidden: number, heads: number, intermediate: number, modelType: ModelType }} Shape */

/** Families whose steps can be measured, by model_type, and what they call the sizes of a shape. */
const KEYS = {
  layers: 'num_hidden_layers',
  hidden: 'hidden_size',
  heads: 'num_attention_heads',
  intermediate: 'intermediate_size',
};
const ROBERTA = { keys: KEYS, firstPosition: 2, typeRows: 1 };
const FAMILIES = {
  bert: { keys: KEYS, firstPosition: 0 },
  roberta: ROBERTA,
  'xlm-roberta': ROBERTA,
  camembert: ROBERTA,
  distilbert: {
    keys: { layers: 'n_layers', hidden: 'dim', heads: 'n_heads', intermediate: 'hidden_dim' },
    firstPosition: 0,
  },
  electra: { keys: KEYS, firstPosition: 0 },
  modernbert: { keys: KEYS, firstPosition: 0 },
  albert: { keys: KEYS, firstPosition: 0 },
  mpnet: { keys: KEYS, firstPosition: 2 },
  'deberta-v2': { keys: KEYS, firstPosition: 0 },
};

/** What the models of v3 have in common. */
const DEBERTA_V3 = {
  relative_attention: true,
  position_buckets: 256,
  norm_rel_ebd: 'layer_norm',
  share_att_key: true,
  pos_att_type: ['p2c', 'c2p'],
  position_biased_input: false,
};

/** @typedef {keyof typeof FAMILIES} ModelType */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.keys has the keys
export const MODEL_TYPES = /** @type {ModelType[]} */ (Object.keys(FAMILIES));

/** The longest text of every measured model. */
export const MAX_TOKENS = 512;

/** MiniLM has 12 narrow heads; the other BERTs have heads of 64. */
const MINILM_HIDDEN = 384;

/**
 * Reads `6x384` or `6x384x12`: layers, hidden size, attention heads. The feed-forward layer is 4 times the hidden size, that of
 * ModernBERT 1.5 times.
 *
 * @param {string} text
 * @param {ModelType} modelType
 * @returns {Shape}
 * @throws {SetupError} (exit code 2)
 */
export function shapeOf(text, modelType = 'bert') {
  const [, layers, size, given] = /^([1-9]\d{0,3})x([1-9]\d{0,4})(?:x([1-9]\d{0,3}))?$/.exec(text) ?? [];
  if (layers === undefined)
    throw new SetupError(
      `Expected LAYERSxHIDDEN or LAYERSxHIDDENxHEADS, such as 6x384x12, for --model-shape but received "${text}"`,
      2,
    );
  const hidden = Number(size);
  const heads = Number(given ?? (hidden === MINILM_HIDDEN ? 12 : hidden / 64));
  if (!Number.isInteger(hidden / heads) || !Number.isInteger(heads))
    throw new SetupError(
      given === undefined
        ? `A hidden size of ${hidden} is not a multiple of 64; give the attention heads too: ${text}xHEADS`
        : `A hidden size of ${hidden} does not divide into ${heads} attention heads`,
      2,
    );
  // Half of what leads into a gated MLP is its gate: 1.5 is what ModernBERT-base has.
  const intermediate = modelType === 'modernbert' ? 1.5 * hidden : 4 * hidden;
  return { layers: Number(layers), hidden, heads, intermediate, modelType };
}

/**
 * Floating-point operations of one training step: the matrix products of the encoder layers, attention included,
 * forward once and backward twice; 6 * weights + 12 * layers * length * hidden a token. Embeddings, the head,
 * element-wise work and anything computed twice do not count.
 *
 * @param {Shape} shape
 * @param {readonly number[]} lengths tokens of each sequence
 */
export function trainingFlops({ layers, hidden, intermediate, modelType }, lengths) {
  const isModern = modelType === 'modernbert';
  const weights = layers * (4 * hidden * hidden + (isModern ? 3 : 2) * hidden * intermediate);
  // Every third layer of ModernBERT sees all of a text, and the others 64 tokens to both sides.
  const full = isModern ? Math.ceil(layers / 3) : layers;
  /** @param {number} n */
  const seen = (n) => full * n + (layers - full) * Math.min(n, 129);
  return lengths.reduce((sum, n) => sum + n * (6 * weights + 12 * seen(n) * hidden), 0);
}

/** @param {Shape} shape */
export function describeShape({ layers, hidden, heads, intermediate, modelType }) {
  const name = modelType === 'bert' ? 'BERT' : modelType;
  return `${name} of ${layers} layers x ${hidden}, ${heads} heads, feed-forward ${intermediate}, random weights`;
}

/**
 * config.json of the model, which both sides read. What is left out has the defaults of its class: dropout 0.1, gelu.
 *
 * @param {Shape} shape
 * @param {number} vocabSize
 * @param {readonly string[]} labels
 */
export function modelConfig({ modelType, layers, hidden, heads, intermediate }, vocabSize, labels) {
  const { keys, firstPosition, typeRows } = { typeRows: undefined, ...FAMILIES[modelType] };
  return {
    model_type: modelType,
    vocab_size: vocabSize,
    [keys.layers]: layers,
    [keys.hidden]: hidden,
    [keys.heads]: heads,
    [keys.intermediate]: intermediate,
    ...(modelType === 'electra' && { embedding_size: hidden }),
    ...(modelType === 'modernbert' && { pad_token_id: 0 }),
    ...(modelType === 'deberta-v2' && DEBERTA_V3),
    ...(typeRows !== undefined && { type_vocab_size: typeRows }),
    max_position_embeddings: MAX_TOKENS + firstPosition,
    id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
    label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
    problem_type: 'single_label_classification',
  };
}
