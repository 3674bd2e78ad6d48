// A model folder as Hugging Face lays it out: config.json beside one or several safetensors files.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { bertConfigJson } from './config-json.js';
import { parseBertConfig } from '../models/config.js';
import type { BertConfig } from '../models/config.js';
import { readError } from '../util/file-errors.js';
import { exists } from '../util/exists.js';
import { writeJson } from '../util/files.js';
import { readJson } from '../util/json.js';
import { openUnchanged } from '../util/open-unchanged.js';
import { parameterShapes } from '../models/parameters.js';
import { convertCommand } from './pickle.js';
import { INDEX, isBeingReplaced, OF_WEIGHTS, replaceFiles } from './replace-files.js';
import { openSafetensors } from './safetensors-reader.js';
import type { TensorSource } from './safetensors-reader.js';
import { writeSafetensors } from './safetensors-writer.js';
import type { TensorData } from './safetensors-writer.js';
import { openShards } from './shards.js';
import { listCheckpoints } from './step-checkpoints.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';

/** Weights that other tools read and bertune does not. */
const OTHER_WEIGHTS = ['pytorch_model.bin.index.json', 'tf_model.h5', 'flax_model.msgpack'];
const PICKLED_WEIGHTS = ['pytorch_model.bin', 'pytorch_model.pt', 'model.pt', 'model.bin'];

/** An open model folder. */
export interface Checkpoint {
  config: BertConfig;
  /** The tensors under the names that the files give them; see `matchTensors`. */
  tensors: Map<string, TensorSource>;
  close: () => Promise<void>;
}

/**
 * Opens a local model folder. Tensors are read when asked for, until `close`.
 *
 * @throws UsageError naming the file and its fault when the folder is not a usable BERT checkpoint
 */
export function openCheckpoint(directory: string): Promise<Checkpoint> {
  return openUnchanged(join(directory, CONFIG), () => openOnce(directory));
}

async function openOnce(directory: string): Promise<Checkpoint> {
  const config = await readBertConfig(directory);
  if (await exists(join(directory, WEIGHTS))) {
    const file = await openSafetensors(join(directory, WEIGHTS));
    return { config, tensors: file.tensors, close: () => file.close() };
  }
  if (await exists(join(directory, INDEX))) return { config, ...(await openShards(join(directory, INDEX))) };
  throw await noWeights(directory);
}

/** Reads and checks config.json of a local model folder. Errors as {@link openCheckpoint}. */
export async function readBertConfig(directory: string): Promise<BertConfig> {
  const isFolder = await stat(directory).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      throw readError(error, directory);
    },
  );
  if (!isFolder) throw new UsageError(`${directory} is a file; give the model folder that holds ${CONFIG}`);
  const path = join(directory, CONFIG);
  if (!(await exists(path))) await requireNothingBetter(directory);
  return parseBertConfig(await readJson(path), path);
}

/**
 * Saves a classifier so that `BertForSequenceClassification.from_pretrained` loads it: config.json and
 * model.safetensors (float32). An older model there goes, with its adapter and calibration, once the new one is on disk;
 * other files in the folder are left alone.
 *
 * @param tensors every parameter of the model, in any order, as F32
 * @throws RunError when the folder cannot be written
 */
export async function saveCheckpoint(
  directory: string,
  config: BertConfig,
  tensors: AsyncIterable<TensorData> | Iterable<TensorData>,
): Promise<void> {
  const layout = Array.from(parameterShapes(config), ([name, shape]) => ({
    name,
    dtype: 'F32' as const,
    shape,
  }));
  await replaceFiles(directory, OF_WEIGHTS, async (folder) => {
    await writeSafetensors(join(folder, WEIGHTS), tensors, layout, { format: 'pt' });
    await writeJson(join(folder, CONFIG), bertConfigJson(config));
  });
}

/** @throws UsageError that says where the model is, for a folder that a run was ended in */
async function requireNothingBetter(directory: string): Promise<void> {
  if (await isBeingReplaced(directory)) throw halfReplaced(directory);
  const newest = (await listCheckpoints(directory)).at(-1);
  if (newest === undefined) return;
  throw new UsageError(
    `${directory} has no ${CONFIG}, only checkpoints of a training that has not come to its end; give one of them, such as ${newest}`,
  );
}

function halfReplaced(directory: string): UsageError {
  return new UsageError(
    `${directory} was to get a new model when the process that wrote it was ended, and holds parts of both: ` +
      `any bertune command with --model ${directory} finishes it first`,
  );
}

async function noWeights(directory: string): Promise<UsageError> {
  if (await isBeingReplaced(directory)) return halfReplaced(directory);
  for (const name of PICKLED_WEIGHTS) {
    if (!(await exists(join(directory, name)))) continue;
    return new UsageError(
      `${directory} has its weights only as ${name}, which can run code when it is read; convert it once, in that folder: ${convertCommand(name, WEIGHTS)}`,
    );
  }
  for (const name of OTHER_WEIGHTS) {
    if (!(await exists(join(directory, name)))) continue;
    return new UsageError(
      `${directory} has its weights only as ${name}; use a version of the model with ${WEIGHTS}`,
    );
  }
  return new UsageError(
    `${directory} has no ${WEIGHTS} and no ${INDEX}; give a model folder that holds its weights`,
  );
}
