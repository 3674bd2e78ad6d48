// The shape of the model that is measured, and the arithmetic that it takes.
import { SetupError } from '../setup/errors.mjs';

/** @typedef {{ layers: number, hidden: number, heads: number, intermediate: number }} Shape */

/** Positions of every measured model. */
export const MAX_TOKENS = 512;

/** MiniLM has 12 narrow heads; the other BERTs have heads of 64. */
const MINILM_HIDDEN = 384;

/**
 * Reads `6x384` or `6x384x12`: layers, hidden size, attention heads. The feed-forward layer is 4 times the hidden size.
 *
 * @param {string} text
 * @returns {Shape}
 * @throws {SetupError} (exit code 2)
 */
export function shapeOf(text) {
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
  return { layers: Number(layers), hidden, heads, intermediate: 4 * hidden };
}

/**
 * Floating-point operations of one training step: the matrix products of the encoder layers, attention included,
 * forward once and backward twice; 6 * weights + 12 * layers * length * hidden a token. Embeddings, the head,
 * element-wise work and anything computed twice do not count.
 *
 * @param {Shape} shape
 * @param {readonly number[]} lengths tokens of each sequence
 */
export function trainingFlops({ layers, hidden, intermediate }, lengths) {
  const weights = layers * (4 * hidden * hidden + 2 * hidden * intermediate);
  return lengths.reduce((sum, n) => sum + n * (6 * weights + 12 * layers * n * hidden), 0);
}

/** @param {Shape} shape */
export function describeShape({ layers, hidden, heads, intermediate }) {
  return `BERT of ${layers} layers x ${hidden}, ${heads} heads, feed-forward ${intermediate}, random weights`;
}

/**
 * config.json of the model, which both sides read.
 *
 * @param {Shape} shape
 * @param {number} vocabSize
 * @param {readonly string[]} labels
 */
export function modelConfig({ layers, hidden, heads, intermediate }, vocabSize, labels) {
  return {
    model_type: 'bert',
    vocab_size: vocabSize,
    num_hidden_layers: layers,
    hidden_size: hidden,
    num_attention_heads: heads,
    intermediate_size: intermediate,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    max_position_embeddings: MAX_TOKENS,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
    label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
    problem_type: 'single_label_classification',
  };
}
