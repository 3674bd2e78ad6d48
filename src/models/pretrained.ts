// What a model is loaded from: a model folder, or an adapter and its base as one checkpoint, matched with the model that is asked
// for. Weights are read later.
import { isAbsolute, join, resolve } from 'node:path';

import {
  openModelFolder,
  readConfigFile,
  readReading,
  type ModelFolder,
  type ReadingSettings,
} from '../formats/model-folder.js';
import {
  checkAdapterTensors,
  isAdapterFolder,
  openAdapterFolder,
  type AdapterFolder,
} from '../formats/peft.js';
import type { TensorSource } from '../formats/safetensors.js';
import { matchStateDict, type StateDictMatch } from '../formats/state-dict.js';
import { listed } from '../util/text.js';
import { modelDirectory, type HubOptions } from '../hub/model.js';
import {
  impliedProblemType,
  readCalibration,
  taskKinds,
  taskOf,
  type Calibration,
  type TaskName,
} from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { exists, isFolder, openUnchanged } from '../util/file-system.js';
import {
  autoClassOf,
  classNameOf,
  headOf,
  parseBertConfig,
  parseConfig,
  withLabels,
  type BertConfig,
  type ModelConfig,
  isSameHead,
  otherTaskOf,
  problemTypeOf,
  taskNameOf,
  withHead,
  withTask,
  type HeadOptions,
} from './config.js';
import { areDefaultLabels, defaultLabels } from './labels.js';
import {
  adaptableLinears,
  freshLora,
  loraShapes,
  savedWhole,
  taskOfPeft,
  withUntrained,
  type Lora,
  type LoraOptions,
} from './lora.js';
import { lastLinearOf, parameterShapes } from './parameters.js';
import { familyOf } from './registry.js';

/** An open model folder, or an adapter and its base as one. */
export interface PretrainedModel extends ModelFolder<ModelConfig> {
  lora?: Lora;
  /** The adapter's own tensors, by their names in the session. */
  adapter?: ReadonlyMap<string, TensorSource>;
}

/**
 * Adapters: a new one, or where the base of the folder's is.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type AdapterOptions } from 'bertune';
 *
 * const options: AdapterOptions = { lora: { rank: 8, alpha: 16, targetModules: ['all-linear'] } };
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', options);
 * ```
 */
export interface AdapterOptions {
  /** Trains low-rank updates of linear layers in place of the weights. */
  lora?: LoraOptions;
  /** A folder or hub id in place of the base that an adapter names. */
  baseModel?: string;
}

/**
 * What `fromPretrained` takes: the head, an adapter, and how the hub is asked.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type PretrainedOptions } from 'bertune';
 *
 * const options: PretrainedOptions = { numLabels: 3, revision: 'main' };
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', options);
 * ```
 */
export type PretrainedOptions = HeadOptions & AdapterOptions & HubOptions;

/** What a model is made from. */
export interface LoadedModel {
  config: ModelConfig;
  calibration?: Calibration;
  reading?: ReadingSettings;
  lora?: Lora;
  /** Where weights come from until they are in a session; without it they are random. */
  source?: {
    match: StateDictMatch;
    /** The tensors of an adapter that was saved. */
    adapter: ReadonlyMap<string, TensorSource>;
    /** Closes the files, which the first read opens. */
    close(): Promise<void>;
  };
}

/**
 * Opens a checkpoint from a folder or a Hugging Face hub id; weights are read when the model is first used.
 *
 * @param wanted.task what the model is to be for; as its config says where it is left out, but a sequence classifier in place of
 *   a masked language model, which is what most classifiers are trained from
 * @param wanted.modelType the only one that will do; any where it is left out
 * @throws UsageError for a folder that holds no usable model, or one of another type; RunError when the hub is out of reach
 */
export async function loadModel(
  idOrDir: string,
  options: PretrainedOptions,
  { task, modelType }: { task?: TaskName | 'as saved'; modelType?: string } = {},
): Promise<LoadedModel> {
  const directory = await modelDirectory(idOrDir, { ...options, files: 'all' });
  if (options.lora !== undefined && (await isAdapterFolder(directory)))
    throw new UsageError(
      `${directory} is an adapter already, and is trained further as it is; leave the LoRA options (loraRank ...) out, or merge it first with bertune merge`,
    );
  const checkpoint = await openPretrained(directory, options);
  try {
    const isMaskedLm = checkpoint.config.problemType === 'masked_lm';
    const wanted =
      task ??
      (options.problemType && taskKinds[options.problemType].name) ??
      (isMaskedLm ? 'sequence-classification' : undefined);
    const own =
      wanted === undefined || wanted === 'as saved'
        ? checkpoint.config
        : withTask(checkpoint.config, wanted, options);
    const config = withHead(own, options);
    if (modelType !== undefined) requireType(config, modelType, directory);
    const match = matchCheckpoint(config, checkpoint, directory);
    const trained = taskOf(problemTypeOf(config), config.id2label);
    const calibration = isSameHead(config, checkpoint.config)
      ? await readCalibration(directory, trained)
      : {};
    let lora = checkpoint.lora && withUntrained(config, checkpoint.lora, match.newlyInitialised);
    if (options.lora !== undefined) {
      const { revision: baseRevision } = options;
      const base = { baseName: idOrDir, ...(baseRevision !== undefined && { baseRevision }) };
      lora = await freshLora(config, { ...base, ...options.lora }, match.newlyInitialised);
    }
    const notes = [...match.notes, ...renamedLabels(config, checkpoint.config, match)];
    return {
      config,
      calibration,
      reading: await readReading(directory),
      ...(lora !== undefined && { lora }),
      source: {
        match: { ...match, notes },
        adapter: checkpoint.adapter ?? new Map(),
        close: () => checkpoint.close(),
      },
    };
  } finally {
    // A model that is never opened, or not closed, holds no file open.
    await checkpoint.close();
  }
}

/** As in transformers, a head of as many labels keeps its weights, whatever they are called now. */
function renamedLabels(config: ModelConfig, trained: ModelConfig, match: StateDictMatch): string[] {
  const [labels, before] = [config.id2label, trained.id2label];
  const isNew = match.newlyInitialised.length > 0 || labels.length !== before.length;
  if (isNew || areDefaultLabels(before) || before.every((label, id) => label === labels[id])) return [];
  return [
    `the weights of the labels ${listed(before, 5)} are now those of ${listed(labels, 5)}, in this order: right if the labels were ` +
      `only renamed; if they mean something else, train from a model without this head`,
  ];
}

/**
 * The config of a model of any family, without its weights; transformers' AutoConfig.
 *
 * @example
 * ```ts
 * import { AutoConfig } from 'bertune';
 *
 * const { modelType, labels } = await AutoConfig.fromPretrained('bert-base-uncased');
 * ```
 */
export class AutoConfig {
  private constructor() {}

  /**
   * @param idOrDir a folder or Hugging Face hub id
   * @throws UsageError for a config that is not usable; RunError when the hub is out of reach
   */
  static async fromPretrained(idOrDir: string, options: HubOptions = {}): Promise<ModelConfig> {
    return readConfig(await modelDirectory(idOrDir, { ...options, files: 'config' }));
  }
}

/** @throws UsageError for a config of another model type */
export function requireType(config: ModelConfig, modelType: string, where: string): void {
  if (config.modelType === modelType) return;
  throw new UsageError(
    `${where} is of the model type ${config.modelType}, not ${modelType}; load it with ${classNameOf(config)} or ${autoClassOf(taskNameOf(config))}`,
  );
}

/**
 * Reads and checks config.json of a local model folder. @throws UsageError naming the file and its fault
 *
 * @example
 * ```ts
 * import { readConfig } from 'bertune';
 *
 * const { modelType, labels } = await readConfig('out');
 * ```
 */
export function readConfig(directory: string): Promise<ModelConfig> {
  return readConfigFile(directory, parseConfig);
}

/**
 * As {@link readConfig}, for a BERT.
 *
 * @example
 * ```ts
 * import { readBertConfig } from 'bertune';
 *
 * const { hiddenSize, labels } = await readBertConfig('out');
 * ```
 */
export async function readBertConfig(directory: string): Promise<BertConfig> {
  return readConfigFile(directory, parseBertConfig);
}

/** @throws UsageError for a folder that holds no usable model, or an adapter that does not fit its base */
async function openPretrained(directory: string, options: PretrainedOptions = {}): Promise<PretrainedModel> {
  if (!(await isAdapterFolder(directory))) {
    if (options.baseModel !== undefined)
      throw new UsageError(`${directory} is not an adapter and has no base; leave the base (baseModel) out`);
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
  const head = headOf(config);
  const ofHead = head.flatMap((stage) =>
    'linear' in stage
      ? [stage.linear]
      : 'norm' in stage
        ? [stage.norm]
        : 'vocabulary' in stage && stage.bias !== false
          ? [stage.vocabulary]
          : [],
  );
  const model = {
    shapes: parameterShapes(config),
    prefix,
    // `embeddings` is where all tables are.
    encoderScopes: [`${prefix}${layers}.`, `${prefix}${words.split('.', 1)[0]}`],
    head: ofHead,
    output: lastLinearOf(head),
    otherTask: otherTaskOf(checkpoint.config, taskNameOf(config)), // of the same name, and of no use
  };
  return matchStateDict(model, checkpoint.tensors, where);
}

async function openAdapter(directory: string, options: PretrainedOptions): Promise<PretrainedModel> {
  const files = await openAdapterFolder(directory);
  let base: ModelFolder<ModelConfig> | undefined;
  try {
    const { baseModel, env, progress } = options;
    const name = baseModel ?? files.config.base;
    if (name === null || name === '')
      throw new UsageError(`${directory} is an adapter that names no base; name it with baseModel`);
    const revision = baseModel === undefined ? files.config.revision : null;
    const hub = {
      ...(env && { env }),
      ...(progress && { progress }),
      ...(revision !== null && { revision }),
    };
    const { folder, lastingName } = await findBase(directory, name, hub);
    base = await openModelFolder(folder, parseConfig);
    const config = await adaptedConfig(directory, base.config, files);
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
  const output = lastLinearOf(headOf(config));
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
      `The base of the adapter in ${directory} is not at ${name}; name the folder it is in with baseModel`,
    );
  const folder = await modelDirectory(name, hub);
  return { folder, lastingName: name };
}

/** bertune keeps a config.json with the labels; PEFT does not, and only the size of the head tells their number. */
async function adaptedConfig(
  directory: string,
  original: ModelConfig,
  { tensors, config: { taskType } }: AdapterFolder,
): Promise<ModelConfig> {
  const task = taskOfPeft(taskType);
  const base = task === undefined ? original : withTask(original, task, {});
  if (await exists(join(directory, 'config.json'))) {
    const config = await readConfig(directory);
    if (config.modelType === base.modelType) return config;
    throw new UsageError(
      `${directory} is an adapter of a ${config.modelType} model, but its base is of the model type ${base.modelType}; name the right base with baseModel`,
    );
  }
  const numLabels = tensors.get(`${lastLinearOf(headOf(base))}.bias`)?.shape[0] ?? base.numLabels;
  if (numLabels === base.numLabels) return base;
  const { problemType } = base;
  const named = withLabels(base, defaultLabels(numLabels), problemType ?? impliedProblemType(numLabels));
  return { ...named, problemType };
}
