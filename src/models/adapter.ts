// A LoRA adapter on its base, as one checkpoint: the base's tensors, those that were saved with the adapter in place of
// its own, and the adapter's.
import { isAbsolute, join, resolve } from 'node:path';

import { impliedProblemType } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { modelDirectory, type HubOptions } from '../hub/index.js';
import { isFolder } from '../util/make-folder.js';
import { defaultLabels } from './labels.js';
import { DEFAULT_TARGETS, POOLER, targetedModules } from './lora-targets.js';
import { fitAdapter, openAdapterFiles } from '../formats/adapter-file.js';
import { openCheckpoint, readBertConfig, type Checkpoint } from '../formats/checkpoint.js';
import { exists } from '../util/exists.js';
import { openUnchanged } from '../util/open-unchanged.js';
import { withLabels, type BertConfig } from './config.js';
import type { Lora } from './lora.js';
import type { TensorSource } from '../formats/safetensors-reader.js';

/** A new adapter, by PEFT's names and with its defaults. */
export interface LoraOptions {
  /** PEFT's `r`. */
  rank: number;
  /** PEFT's `lora_alpha`; default 8. */
  alpha?: number;
  /** Dropout before the adapter; default 0. */
  dropout?: number;
  /** Linear layers of the encoder: ends of names, patterns, or `all-linear`; default query and value. */
  targetModules?: readonly string[];
  /** How the adapter's file is to name its base; default: where the model is loaded from. */
  baseName?: string;
  /** The revision of a base on the hub; default main. */
  baseRevision?: string;
}

type BaseOptions = Omit<HubOptions, 'revision'> & { baseModel?: string };

export interface AdapterCheckpoint extends Checkpoint {
  lora: Lora;
  /** The adapter's own tensors, by their names in the session. */
  adapter: ReadonlyMap<string, TensorSource>;
}

const HEAD = ['classifier.weight', 'classifier.bias'];
const POOLER_TENSORS = [`${POOLER}.weight`, `${POOLER}.bias`];

/**
 * Lays the adapter of a folder on its base.
 *
 * @param options.baseModel in place of the base that the adapter names
 * @throws UsageError for a base that is missing or that the adapter does not fit
 */
export function openAdapter(directory: string, options: BaseOptions = {}): Promise<AdapterCheckpoint> {
  return openUnchanged(join(directory, 'adapter_config.json'), () => openOnce(directory, options));
}

async function openOnce(directory: string, options: BaseOptions): Promise<AdapterCheckpoint> {
  const files = await openAdapterFiles(directory);
  let base: Checkpoint | undefined;
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
    base = await openCheckpoint(folder);
    const config = await adaptedConfig(directory, base.config, files.tensors);
    const lora = { ...fitAdapter(directory, files, config, lastingName), revision };
    const tensors = new Map(base.tensors);
    const adapter = new Map<string, TensorSource>();
    for (const [tensorName, tensor] of files.tensors) {
      if (/\.lora_[AB]\.weight$/.test(tensorName)) adapter.set(tensorName, tensor);
      else {
        tensors.delete(tensorName.replace(/^bert\./, '')); // as an encoder without a head names it
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

/**
 * A fresh adapter.
 *
 * @param untrained the tensors that the base lacks: a pooler among them is trained and saved with the classifier
 * @throws UsageError for a rank, alpha, dropout or target that cannot be
 */
export async function freshLora(
  config: BertConfig,
  {
    rank,
    alpha = 8,
    dropout = 0,
    targetModules = DEFAULT_TARGETS,
    baseName,
    baseRevision,
  }: LoraOptions & { baseName: string },
  untrained: readonly string[],
): Promise<Lora> {
  if (!Number.isInteger(rank) || rank < 1 || rank > config.hiddenSize)
    throw new UsageError(
      `The LoRA rank is ${rank}; give a whole number from 1 to the hidden size of the model, ${config.hiddenSize}`,
    );
  if (!(alpha > 0 && alpha < Infinity))
    throw new UsageError(`LoRA's alpha is ${alpha}; give a number above 0`);
  if (!(dropout >= 0 && dropout < 1))
    throw new UsageError(`LoRA's dropout is ${dropout}; give a number from 0 to below 1`);
  if (targetModules.length === 0) throw new UsageError('LoRA needs a target, such as query');
  const hasPooler = !POOLER_TENSORS.some((name) => untrained.includes(name));
  // A pooler that the base lacks is trained as a whole: there is nothing to adapt.
  const modules = targetedModules(config, targetModules).filter((name) => hasPooler || name !== POOLER);
  if (modules.length === 0)
    throw new UsageError(
      'The base has no pooler, so that a new one is trained as a whole; give LoRA a target in the encoder, such as query',
    );
  return {
    rank,
    alpha,
    dropout,
    isRankStabilised: false,
    modules,
    saved: hasPooler ? HEAD : [...POOLER_TENSORS, ...HEAD],
    modulesToSave: hasPooler ? ['classifier', 'score'] : ['classifier', 'score', 'pooler'],
    base: (await isFolder(baseName)) ? resolve(baseName) : baseName,
    revision: baseRevision ?? null,
  };
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
  base: BertConfig,
  tensors: ReadonlyMap<string, TensorSource>,
): Promise<BertConfig> {
  if (await exists(join(directory, 'config.json'))) return readBertConfig(directory);
  const numLabels = tensors.get('classifier.bias')?.shape[0] ?? base.numLabels;
  if (numLabels === base.numLabels) return base;
  return withLabels(base, defaultLabels(numLabels), base.problemType ?? impliedProblemType(numLabels));
}
