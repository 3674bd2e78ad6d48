// Opens what a model is loaded from: a model folder, or an adapter laid on its base, as one checkpoint. Weights are read later.
import { isAbsolute, join, resolve } from 'node:path';

import { openModelFolder, readConfigFile, type ModelFolder } from '../formats/model-folder.js';
import {
  checkAdapterTensors,
  isAdapterFolder,
  openAdapterFolder,
  type AdapterFolder,
} from '../formats/peft.js';
import type { TensorSource } from '../formats/safetensors.js';
import { matchStateDict, type StateDictMatch } from '../formats/state-dict.js';
import { modelDirectory, type HubOptions } from '../hub/index.js';
import { UsageError } from '../util/errors.js';
import { exists } from '../util/exists.js';
import { isFolder } from '../util/make-folder.js';
import { openUnchanged } from '../util/open-unchanged.js';
import {
  headOf,
  parseBertConfig,
  parseConfig,
  withLabels,
  type BertConfig,
  type ModelConfig,
} from './config.js';
import { otherTaskOf } from './head.js';
import { defaultLabels } from './labels.js';
import { adaptableLinears, loraShapes, savedWhole, type Lora } from './lora.js';
import { lastLinearOf, parameterShapes } from './parameters.js';
import { familyOf } from './registry.js';

/** An open model folder, or an adapter and its base as one. */
export interface PretrainedModel extends ModelFolder<ModelConfig> {
  lora?: Lora;
  /** The adapter's own tensors, by their names in the session. */
  adapter?: ReadonlyMap<string, TensorSource>;
}

export interface BaseOptions extends HubOptions {
  /** A folder or hub id in place of the base that an adapter names. */
  baseModel?: string;
}

/** Reads and checks config.json of a local model folder. @throws UsageError naming the file and its fault */
export function readConfig(directory: string): Promise<ModelConfig> {
  return readConfigFile(directory, parseConfig);
}

/** As {@link readConfig}, for a BERT. */
export async function readBertConfig(directory: string): Promise<BertConfig> {
  return readConfigFile(directory, parseBertConfig);
}

/** @throws UsageError for a folder that holds no usable model, or an adapter that does not fit its base */
export async function openPretrained(directory: string, options: BaseOptions = {}): Promise<PretrainedModel> {
  if (!(await isAdapterFolder(directory))) {
    if (options.baseModel !== undefined)
      throw new UsageError(`${directory} is no adapter and has no base; leave the base (--base-model) out`);
    return openModelFolder(directory, parseConfig);
  }
  return openUnchanged(join(directory, 'adapter_config.json'), () => openAdapter(directory, options));
}

/**
 * Matches a checkpoint with what the model needs.
 *
 * @param config of the model, whose head may be another than that of the checkpoint
 */
export function matchCheckpoint(
  config: ModelConfig,
  checkpoint: Pick<PretrainedModel, 'config' | 'tensors'>,
  where?: string,
): StateDictMatch {
  const { prefix, layers, words } = familyOf(config.modelType).names;
  const head = headOf('sequence', config);
  const ofHead = head.flatMap((stage) =>
    'linear' in stage ? [stage.linear] : 'norm' in stage ? [stage.norm] : [],
  );
  const model = {
    shapes: parameterShapes(config),
    prefix,
    // `embeddings` is where all tables are.
    encoderScopes: [`${prefix}${layers}.`, `${prefix}${words.split('.', 1)[0]}`],
    head: ofHead,
    output: lastLinearOf(head),
    otherTask: otherTaskOf(checkpoint.config), // of the same name, and of no use
  };
  return matchStateDict(model, checkpoint.tensors, where);
}

async function openAdapter(directory: string, options: BaseOptions): Promise<PretrainedModel> {
  const files = await openAdapterFolder(directory);
  let base: ModelFolder<ModelConfig> | undefined;
  try {
    const { baseModel, env, progress } = options;
    const name = baseModel ?? files.config.base;
    if (name === null || name === '')
      throw new UsageError(`${directory} is an adapter that names no base; name it with --base-model`);
    const revision = baseModel === undefined ? files.config.revision : null;
    const hub = {
      ...(env && { env }),
      ...(progress && { progress }),
      ...(revision !== null && { revision }),
    };
    const { folder, lastingName } = await findBase(directory, name, hub);
    base = await openModelFolder(folder, parseConfig);
    const config = await adaptedConfig(directory, base.config, files.tensors);
    const lora = { ...fitAdapter(directory, files, config, lastingName), revision };
    const { prefix } = familyOf(config.modelType).names;
    const tensors = new Map(base.tensors);
    const adapter = new Map<string, TensorSource>();
    for (const [tensorName, tensor] of files.tensors) {
      if (/\.lora_[AB]\.weight$/.test(tensorName)) adapter.set(tensorName, tensor);
      else {
        if (tensorName.startsWith(prefix)) tensors.delete(tensorName.slice(prefix.length)); // as a bare encoder names it
        tensors.set(tensorName, tensor);
      }
    }
    const opened = base;
    const close = async (): Promise<void> => void (await Promise.all([files.close(), opened.close()]));
    return { config, tensors, lora, adapter, close };
  } catch (error) {
    await Promise.all([files.close(), base?.close()]);
    throw error;
  }
}

/** The adapter that the tensors are of. @throws UsageError for tensors that do not fit the model */
export function fitAdapter(directory: string, files: AdapterFolder, config: ModelConfig, base: string): Lora {
  const { tensors } = files;
  const adapted = new Set([...tensors.keys()].map((name) => /^(.+)\.lora_[AB]\.weight$/.exec(name)?.[1]));
  const modules = adaptableLinears(config).filter((name) => adapted.has(name));
  const shapes = parameterShapes(config);
  const whole = new Set(savedWhole(config, ['classifier', 'score']));
  const saved = [...shapes.keys()].filter((name) => tensors.has(name) || whole.has(name));
  const lora: Lora = { ...files.config, base, modules, saved };
  const own = loraShapes(config, lora);
  const output = lastLinearOf(headOf('sequence', config));
  checkAdapterTensors(directory, files, {
    expected: new Map([...own, ...saved.map((name) => [name, shapes.get(name) ?? []] as const)]),
    required: [...own.keys()],
    mayDiffer: [`${output}.weight`, `${output}.bias`],
  });
  return lora;
}

/**
 * A folder is found from the working folder or beside the adapter; anything else is a hub id. A folder lasts by its full
 * path, which holds wherever the adapter is used from.
 */
async function findBase(
  directory: string,
  name: string,
  hub: HubOptions,
): Promise<{ folder: string; lastingName: string }> {
  for (const folder of isAbsolute(name) ? [name] : [name, join(directory, name)])
    if (await isFolder(folder)) return { folder, lastingName: resolve(folder) };
  if (isAbsolute(name) || name.startsWith('.'))
    throw new UsageError(
      `The base of the adapter in ${directory} is not at ${name}; name the folder it is in with --base-model`,
    );
  const folder = await modelDirectory(name, hub);
  return { folder, lastingName: name };
}

/** bertune keeps a config.json with the labels; PEFT does not, and only the size of the head tells their number. */
async function adaptedConfig(
  directory: string,
  base: ModelConfig,
  tensors: ReadonlyMap<string, TensorSource>,
): Promise<ModelConfig> {
  if (await exists(join(directory, 'config.json'))) {
    const config = await readConfig(directory);
    if (config.modelType === base.modelType) return config;
    throw new UsageError(
      `${directory} is an adapter of a ${config.modelType} model, but its base is of the model type ${base.modelType}; name the right base with --base-model`,
    );
  }
  const numLabels = tensors.get(`${lastLinearOf(headOf('sequence', base))}.bias`)?.shape[0] ?? base.numLabels;
  if (numLabels === base.numLabels) return base;
  const problem = numLabels === 1 ? 'regression' : 'single_label_classification';
  return withLabels(base, defaultLabels(numLabels), base.problemType ?? problem);
}
