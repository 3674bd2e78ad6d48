// An adapter folder as PEFT lays it out: adapter_config.json beside adapter_model.safetensors.
import { join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { isSameFolder } from '../util/make-folder.js';
import { bertConfigJson } from './config-json.js';
import type { BertConfig } from '../models/config.js';
import { exists } from '../util/exists.js';
import { writeJson } from '../util/files.js';
import { parameterShapes } from '../models/parameters.js';
import { convertCommand } from './pickle.js';
import { INDEX, OF_WEIGHTS, replaceFiles } from './replace-files.js';
import { openSafetensors, type TensorSource } from './safetensors-reader.js';
import { writeSafetensors, type TensorData } from './safetensors-writer.js';
import {
  ADAPTER_CONFIG,
  adapterConfigJson,
  readAdapterConfig,
  type AdapterConfig,
} from './adapter-config.js';
import { adapterShapes, loraShapes, type Lora } from '../models/lora.js';
import { adaptableLinears } from '../models/lora-targets.js';

const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
/** PEFT's older form. Pickle can run code: it is never opened. */
const PICKLED = 'adapter_model.bin';
/** PEFT names tensors by their place in its own wrapper. */
const PREFIX = 'base_model.model.';
const LORA_TENSOR = /^(.+)\.lora_[AB]\.weight$/;
const HEAD = ['classifier.weight', 'classifier.bias'];
const FLOATS = new Set(['F32', 'F16', 'BF16']);

/** An open adapter folder. */
export interface AdapterFiles {
  readonly config: AdapterConfig;
  /** By their names in the session. */
  readonly tensors: ReadonlyMap<string, TensorSource>;
  close(): Promise<void>;
}

/** Whether a folder holds an adapter rather than a model of its own. */
export async function isAdapterFolder(directory: string): Promise<boolean> {
  if (!(await exists(join(directory, ADAPTER_CONFIG)))) return false;
  const weights = ['model.safetensors', INDEX];
  const found = await Promise.all(weights.map((name) => exists(join(directory, name))));
  return !found.includes(true);
}

/** Opens both files; the tensors are read when asked for. @throws UsageError for files that are not sound */
export async function openAdapterFiles(directory: string): Promise<AdapterFiles> {
  const config = await readAdapterConfig(join(directory, ADAPTER_CONFIG));
  const path = join(directory, ADAPTER_WEIGHTS);
  if (!(await exists(path))) throw await noWeights(directory);
  const file = await openSafetensors(path);
  const tensors = new Map(
    [...file.tensors].map(([name, tensor]) => [
      name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name,
      tensor,
    ]),
  );
  return { config, tensors, close: () => file.close() };
}

async function noWeights(directory: string): Promise<UsageError> {
  if (await exists(join(directory, PICKLED)))
    return new UsageError(
      `${directory} has its adapter only as ${PICKLED}, which can run code when it is read; convert it once, in that folder: ` +
        convertCommand(PICKLED, ADAPTER_WEIGHTS),
    );
  return new UsageError(`${directory} has no ${ADAPTER_WEIGHTS}; give a folder that holds the whole adapter`);
}

/**
 * The adapter that the tensors are of.
 *
 * @throws UsageError for a tensor that the model has no place for, is missing, or has another shape or dtype
 */
export function fitAdapter(
  directory: string,
  { config: settings, tensors }: AdapterFiles,
  config: BertConfig,
  base: string,
): Lora {
  const path = join(directory, ADAPTER_WEIGHTS);
  const adapted = new Set([...tensors.keys()].map((name) => LORA_TENSOR.exec(name)?.[1] ?? ''));
  const modules = adaptableLinears(config).filter((name) => adapted.has(name));
  const plain = [...parameterShapes(config).keys()].filter((name) => tensors.has(name));
  const lora: Lora = { ...settings, base, modules, saved: [...new Set([...plain, ...HEAD])] };
  if (modules.length === 0)
    throw new UsageError(`${path} has no LoRA tensors of this model, such as ${PREFIX}...lora_A.weight`);
  const expected = adapterShapes(config, lora);
  for (const [name, { name: written, shape, dtype }] of tensors) {
    const wanted = expected.get(name);
    if (wanted === undefined)
      throw new UsageError(
        `${path} has the tensor ${written}, which is no part of a LoRA adapter of this model`,
      );
    // A head for other labels is replaced by a new one, as that of a whole model.
    const isOtherHead = HEAD.includes(name);
    if (wanted.join() !== shape.join() && !isOtherHead)
      throw new UsageError(
        `${path} has the tensor ${written} with shape [${shape.join(', ')}] but the base and r = ${lora.rank} make it [${wanted.join(', ')}]; check that they belong together`,
      );
    if (!FLOATS.has(dtype))
      throw new UsageError(`${path} has the tensor ${written} as ${dtype}; bertune reads F32, F16 and BF16`);
  }
  const missing = [...loraShapes(config, lora).keys()].find((name) => !tensors.has(name));
  if (missing !== undefined) throw new UsageError(`${path} lacks the tensor ${PREFIX}${missing}`);
  return lora;
}

/**
 * Writes the adapter, and config.json for the labels, which PEFT leaves alone.
 *
 * @throws UsageError for the folder of the adapter's base, which would be replaced; RunError when it cannot be written
 */
export async function saveAdapter(
  directory: string,
  config: BertConfig,
  lora: Lora,
  read: (name: string, shape: number[]) => Promise<TensorData>,
): Promise<void> {
  if (await isSameFolder(directory, lora.base))
    throw new UsageError(
      `${directory} is the folder of the base, which the adapter needs; save the adapter in another`,
    );
  const shapes = adapterShapes(config, lora);
  const layout = Array.from(shapes, ([name, shape]) => ({
    name: PREFIX + name,
    dtype: 'F32' as const,
    shape,
  }));
  async function* tensors(): AsyncGenerator<TensorData> {
    for (const [name, shape] of shapes) yield { ...(await read(name, shape)), name: PREFIX + name };
  }
  await replaceFiles(directory, OF_WEIGHTS, async (folder) => {
    await writeSafetensors(join(folder, ADAPTER_WEIGHTS), tensors(), layout, { format: 'pt' });
    await writeJson(join(folder, 'config.json'), bertConfigJson(config));
    await writeJson(join(folder, ADAPTER_CONFIG), adapterConfigJson(config, lora));
  });
}
