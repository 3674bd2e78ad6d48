// A model folder as Hugging Face lays it out: config.json beside one or several safetensors files. What a config means is the
// caller's matter.
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { UsageError, readError } from '../util/errors.js';
import { exists, openUnchanged } from '../util/file-system.js';
import { writeJson } from '../util/files.js';
import { readJson } from '../util/json.js';
import { INDEX, isBeingReplaced, OF_WEIGHTS, replaceFiles } from './replace-files.js';
import {
  openSafetensors,
  openShards,
  writeSafetensors,
  type TensorData,
  type TensorSource,
} from './safetensors.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const READING = 'bertune_reading.json';

/** Weights that other tools read and bertune does not. */
const OTHER_WEIGHTS = ['pytorch_model.bin.index.json', 'tf_model.h5', 'flax_model.msgpack'];
/** Pickle can run code when it is read: these are never opened, only named. */
const PICKLED_WEIGHTS = ['pytorch_model.bin', 'pytorch_model.pt', 'model.pt', 'model.bin'];

/** Turns the content of a config.json into a config. @throws UsageError naming the file (`where`) */
export type ParseConfig<Config> = (json: unknown, where: string) => Config;

/** An open model folder. */
export interface ModelFolder<Config> {
  config: Config;
  /** The tensors under the names that the files give them; see `matchStateDict`. */
  tensors: Map<string, TensorSource>;
  close: () => Promise<void>;
}

/**
 * Opens a local model folder. Tensors are read on demand, until `close`.
 *
 * @throws UsageError naming the file and its fault when the folder is not a usable checkpoint
 */
export function openModelFolder<Config>(
  directory: string,
  parse: ParseConfig<Config>,
): Promise<ModelFolder<Config>> {
  return openUnchanged(join(directory, CONFIG), async () => {
    const config = await readConfigFile(directory, parse);
    if (await exists(join(directory, WEIGHTS))) {
      const file = await openSafetensors(join(directory, WEIGHTS));
      return { config, tensors: file.tensors, close: () => file.close() };
    }
    if (await exists(join(directory, INDEX)))
      return { config, ...(await openShards(join(directory, INDEX))) };
    throw await noWeights(directory);
  });
}

/** Reads and checks config.json of a local model folder. Errors as {@link openModelFolder}. */
export async function readConfigFile<Config>(directory: string, parse: ParseConfig<Config>): Promise<Config> {
  const isFolder = await stat(directory).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      throw readError(error, directory);
    },
  );
  if (!isFolder) throw new UsageError(`${directory} is a file; give the model folder that holds ${CONFIG}`);
  const path = join(directory, CONFIG);
  if (!(await exists(path))) throw await notModel(directory);
  return parse(await readJson(path), path);
}

/**
 * Writes config.json and model.safetensors (float32) as transformers does. An older model there goes, with its adapter and
 * calibration, once the new one is on disk; other files in the folder are left alone.
 *
 * @param tensors every tensor of `shapes`, in any order, as F32
 * @throws RunError when the folder cannot be written
 */
export async function saveModelFolder(
  directory: string,
  config: Readonly<Record<string, unknown>>,
  shapes: ReadonlyMap<string, readonly number[]>,
  tensors: AsyncIterable<TensorData> | Iterable<TensorData>,
  reading: ReadingSettings = {},
): Promise<void> {
  const layout = Array.from(shapes, ([name, shape]) => ({ name, dtype: 'F32' as const, shape }));
  await replaceFiles(directory, OF_WEIGHTS, async (folder) => {
    await writeSafetensors(join(folder, WEIGHTS), tensors, layout, { format: 'pt' });
    await writeJson(join(folder, CONFIG), config);
    await writeReading(folder, reading);
  });
}

/** What of the data the model was trained to read: values of options (columns, quoting ...) by their names. */
export type ReadingSettings = Readonly<Record<string, unknown>>;

/** The reading settings of a folder; empty where none were saved. @throws UsageError for a damaged file */
export async function readReading(directory: string): Promise<ReadingSettings> {
  const path = join(directory, READING);
  if (!(await exists(path))) return {};
  const parsed = z.record(z.string(), z.unknown()).safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  throw new UsageError(`${path} is not an object of options; correct it, or remove it and name the columns`);
}

/** Saves them beside the weights, whole or not at all; without any there is no file. */
export async function writeReading(directory: string, reading: ReadingSettings): Promise<void> {
  if (Object.keys(reading).length > 0) await writeJson(join(directory, READING), reading);
}

/** The folders checkpoint-N of an output folder, oldest first: N is the step. */
export async function listCheckpoints(outputDir: string): Promise<string[]> {
  const names = await readdir(outputDir).catch(() => []);
  return names
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .toSorted((a, b) => stepOf(a) - stepOf(b))
    .map((name) => join(outputDir, name));
}

/** The step of a folder checkpoint-N. */
export function stepOf(folder: string): number {
  return Number(basename(folder).slice('checkpoint-'.length));
}

/** A shell command that converts pickled weights tensor by tensor, so that every head survives; clone() parts the tied ones. */
export function convertCommand(pickled: string, converted: string): string {
  return (
    `python -c "import torch, safetensors.torch as s; w = torch.load('${pickled}', weights_only=True); ` +
    `s.save_file({k: v.clone() for k, v in w.items()}, '${converted}', {'format': 'pt'})"`
  );
}

/** Of a folder without config.json: where the model is instead, as far as that is known. */
async function notModel(directory: string): Promise<UsageError> {
  if (await isBeingReplaced(directory)) return halfReplaced(directory);
  return (
    (await onlyCheckpoints(directory)) ??
    new UsageError(
      `${directory} is not a model: it has no ${CONFIG}; give the folder that a training or save_pretrained wrote`,
    )
  );
}

/** The error for the output folder of a training that was stopped, which names its newest checkpoint; null for other folders. */
export async function onlyCheckpoints(directory: string): Promise<UsageError | null> {
  const newest = (await listCheckpoints(directory)).at(-1);
  return newest === undefined
    ? null
    : new UsageError(
        `${directory} has no ${CONFIG}, only checkpoints of a training that has not finished; use one of them, such as ${newest}`,
      );
}

function halfReplaced(directory: string): UsageError {
  return new UsageError(
    `${directory} was to get a new model when the process that wrote it was ended, and holds parts of both: ` +
      `any bertune command on this model finishes it first`,
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
