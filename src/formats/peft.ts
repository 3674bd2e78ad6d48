// An adapter folder as PEFT lays it out: adapter_config.json beside adapter_model.safetensors.
import { join } from 'node:path';

import { z } from 'zod';

import { UsageError } from '../util/errors.js';
import { exists, isSameFolder } from '../util/file-system.js';
import { writeJson } from '../util/files.js';
import { readJson } from '../util/json.js';
import { convertCommand, writeReading, type ReadingSettings } from './model-folder.js';
import { INDEX, OF_WEIGHTS, replaceFiles } from './replace-files.js';
import { isFloat } from './safetensors-header.js';
import { openSafetensors, writeSafetensors, type TensorData, type TensorSource } from './safetensors.js';

const ADAPTER_CONFIG = 'adapter_config.json';
const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
/** PEFT's older form. Pickle can run code: it is never opened. */
const PICKLED = 'adapter_model.bin';
/** PEFT names tensors by their place in its own wrapper. */
const PREFIX = 'base_model.model.';

/** The version whose files we write; it is noted in them, as PEFT notes its own. */
const PEFT_VERSION = '0.21.2';

/** Initialisations after which the base is as it was. */
const KEEPS_BASE = 'true, false, gaussian, eva, orthogonal or mica: the others change the base';

/** What is read of the file; which layers have adapters is seen from the weights. */
const SCHEMA = z.looseObject({
  peft_type: z.literal('LORA', { error: 'LORA, the one kind of adapter that bertune knows' }),
  r: z.int({ error: 'a whole number from 1' }).min(1, 'a whole number from 1'),
  lora_alpha: z.number({ error: 'a number above 0' }).positive('a number above 0'),
  lora_dropout: z
    .number({ error: 'a number from 0 to below 1' })
    .min(0, 'a number from 0 to below 1')
    .lt(1, 'a number from 0 to below 1')
    .default(0),
  bias: z.literal('none', { error: 'none: trained biases are not read' }).default('none'),
  use_rslora: z.boolean({ error: 'true or false' }).default(false),
  // Other strings (pissa, olora, corda, loftq ...) change the weights of the base.
  init_lora_weights: z
    .union([z.boolean(), z.string().regex(/^(gaussian|eva|orthogonal|mica)$/i, KEEPS_BASE)], {
      error: KEEPS_BASE,
    })
    .default(true),
  modules_to_save: z.array(z.string(), { error: 'a list of names' }).nullish(),
  base_model_name_or_path: z.string({ error: 'the folder or hub id of the base' }).nullish(),
  revision: z.string({ error: 'a text' }).nullish(),
  task_type: z.string({ error: 'a name' }).nullish(),
});

/** Variants of LoRA that compute something else. Anything but nothing is refused by name. */
const UNSUPPORTED = [
  'use_dora',
  'fan_in_fan_out',
  'rank_pattern',
  'alpha_pattern',
  'lora_bias',
  'use_qalora',
  'use_bdlora',
  'layer_replication',
  'trainable_token_indices',
  'target_parameters',
  'alora_invocation_tokens',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
];

/** What adapter_config.json states of an adapter. */
export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Whether updates are scaled by alpha / sqrt(rank) in place of alpha / rank (Kalajdzievski 2023). */
  readonly isRankStabilised: boolean;
  /** Ends of the names of modules that are trained and saved as a whole. */
  readonly modulesToSave: readonly string[];
  /** The model that the adapter is for: a folder or a hub id. */
  readonly base: string | null;
  readonly revision: string | null;
  /** What the model is for, by PEFT's names. */
  readonly taskType: string | null;
}

/** An open adapter folder. */
export interface AdapterFolder {
  readonly config: AdapterConfig;
  /** By their names in a session. */
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

/** Opens both files; the tensors are read on demand. @throws UsageError for files that are not sound */
export async function openAdapterFolder(directory: string): Promise<AdapterFolder> {
  const config = await readAdapterConfig(join(directory, ADAPTER_CONFIG));
  const path = join(directory, ADAPTER_WEIGHTS);
  if (!(await exists(path))) throw await noWeights(directory);
  const file = await openSafetensors(path);
  const tensors = new Map<string, TensorSource>();
  for (const [written, tensor] of file.tensors) {
    const name = written.startsWith(PREFIX) ? written.slice(PREFIX.length) : written;
    if (tensors.has(name)) {
      await file.close();
      throw new UsageError(
        `${path} has the tensor ${name} twice, with and without ${PREFIX}; remove one of them`,
      );
    }
    tensors.set(name, tensor);
  }
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
 * Makes sure that an adapter's tensors are those of its model.
 *
 * @param expected the shapes of all that may be there
 * @param required the names of all that must be
 * @param mayDiffer the names of tensors for the labels: those for others are replaced, as the head of a whole model
 * @throws UsageError for a tensor that the model has no place for, is missing, or has another shape or dtype
 */
export function checkAdapterTensors(
  directory: string,
  { config, tensors }: AdapterFolder,
  {
    expected,
    required,
    mayDiffer,
  }: {
    expected: ReadonlyMap<string, readonly number[]>;
    required: readonly string[];
    mayDiffer: readonly string[];
  },
): void {
  const path = join(directory, ADAPTER_WEIGHTS);
  for (const [name, { name: written, shape, dtype }] of tensors) {
    const wanted = expected.get(name);
    if (wanted === undefined)
      throw new UsageError(
        `${path} has the tensor ${written}, which is not part of a LoRA adapter of this model`,
      );
    if (wanted.join() !== shape.join() && !mayDiffer.includes(name))
      throw new UsageError(
        `${path} has the tensor ${written} with shape [${shape.join(', ')}] but the base and r = ${config.rank} make it [${wanted.join(', ')}]; check that they belong together`,
      );
    if (!isFloat(dtype))
      throw new UsageError(`${path} has the tensor ${written} as ${dtype}; bertune reads F32, F16 and BF16`);
  }
  if (required.length === 0)
    throw new UsageError(`${path} has no LoRA tensors of this model, such as ${PREFIX}...lora_A.weight`);
  const missing = required.find((name) => !tensors.has(name));
  if (missing !== undefined) throw new UsageError(`${path} lacks the tensor ${PREFIX}${missing}`);
}

/**
 * Writes the adapter, and config.json for the labels, which PEFT leaves alone.
 *
 * @param adapter.model the content of config.json
 * @param adapter.shapes all that is saved with the adapter, by its names in the session
 * @param read gives a tensor by its name in the session, as F32
 * @throws UsageError for the folder of the adapter's base, which would be replaced; RunError when it cannot be written
 */
export async function saveAdapterFolder(
  directory: string,
  adapter: {
    config: AdapterConfig & { readonly base: string };
    targetModules: readonly string[];
    model: Readonly<Record<string, unknown>>;
    shapes: ReadonlyMap<string, readonly number[]>;
    reading: ReadingSettings;
  },
  read: (name: string, shape: readonly number[]) => Promise<TensorData>,
): Promise<void> {
  const { config, targetModules, model, shapes, reading } = adapter;
  if (await isSameFolder(directory, config.base))
    throw new UsageError(
      `${directory} is the folder of the base, which the adapter needs; save the adapter in another`,
    );
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
    await writeJson(join(folder, 'config.json'), model);
    await writeJson(join(folder, ADAPTER_CONFIG), adapterConfigJson(config, targetModules));
    await writeReading(folder, reading);
  });
}

/** @throws UsageError naming the file and the key that is wrong or not supported */
async function readAdapterConfig(path: string): Promise<AdapterConfig> {
  const parsed = SCHEMA.safeParse(await readJson(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const key = issue?.path.join('.') ?? '';
    throw new UsageError(
      key === '' ? `${path} is not a JSON object` : `${path}: ${key} must be ${issue?.message}`,
    );
  }
  const { data } = parsed;
  const unsupported = UNSUPPORTED.find((key) => !isNothing(data[key]));
  if (unsupported !== undefined)
    throw new UsageError(
      `${path}: ${unsupported} is ${JSON.stringify(data[unsupported])}, which bertune does not support; merge that adapter with PEFT (merge_and_unload) and give the result as the model`,
    );
  return {
    rank: data.r,
    alpha: data.lora_alpha,
    dropout: data.lora_dropout,
    isRankStabilised: data.use_rslora,
    modulesToSave: data.modules_to_save ?? [],
    base: data.base_model_name_or_path ?? null,
    revision: data.revision ?? null,
    taskType: data.task_type ?? null,
  };
}

function isNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false;
}

/** The content of adapter_config.json, keys sorted as PEFT's. What is left out has PEFT's defaults. */
function adapterConfigJson(lora: AdapterConfig, targetModules: readonly string[]): Record<string, unknown> {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: lora.base,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: lora.alpha,
    lora_bias: false,
    lora_dropout: lora.dropout,
    modules_to_save: lora.modulesToSave,
    peft_type: 'LORA',
    peft_version: PEFT_VERSION,
    r: lora.rank,
    rank_pattern: {},
    revision: lora.revision,
    target_modules: targetModules,
    task_type: lora.taskType,
    use_dora: false,
    use_rslora: lora.isRankStabilised,
  };
}
