// Folders of the smallest BERT there is, as the product itself saves them.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BertForSequenceClassification } from '../../dist/models/sequence-classification.js';
import { parseBertConfig } from '../../dist/models/config.js';

/** @typedef {import('./format.mjs').Files} Files */

const CONFIG = {
  model_type: 'bert',
  vocab_size: 8,
  hidden_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  intermediate_size: 4,
  max_position_embeddings: 8,
};

/** @type {import('../../dist/models/encoder-model.js').Runtime} */
export const RUNTIME = { device: 'cpu', dtype: 'float32', threads: 1 };

/** A model with random weights. */
export function tinyModel() {
  return BertForSequenceClassification.fromConfig(parseBertConfig(CONFIG, 'the tiny model'));
}

/**
 * The files that `save` writes into a folder.
 *
 * @param {(folder: string) => Promise<unknown>} save
 * @returns {Promise<Files>}
 */
export async function filesOf(save) {
  const folder = mkdtempSync(join(tmpdir(), 'bertune-fuzz-'));
  try {
    await save(folder);
    return Object.fromEntries(
      readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** config.json and model.safetensors. */
export async function modelFiles() {
  const model = tinyModel();
  await model.open(RUNTIME);
  try {
    return await filesOf((folder) => model.savePretrained(folder));
  } finally {
    await model.close();
  }
}

/**
 * The weights of a model that claims to be loaded.
 *
 * @param {BertForSequenceClassification} model
 * @returns {Promise<Map<string, Float32Array>>}
 */
export async function loadedWeights(model) {
  const session = await model.open(RUNTIME);
  const weights = new Map();
  for (const name of model.tensorNames()) weights.set(name, await session.read(name));
  return weights;
}
