// LoRA adapters (Hu et al. 2021): which layers get low-rank updates, what is trained and saved whole beside them, as PEFT decides it.
import { resolve } from 'node:path';

import type { AdapterConfig } from '../formats/peft.js';
import { taskNames, type TaskName } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { isFolder } from '../util/file-system.js';
import { nearestName } from '../util/text.js';
import { encoderOf, headOf, taskNameOf, type ModelConfig } from './config.js';
import { linearModules, modelParameters, parameterShapes, nameMatcher } from './parameters.js';
import { familyOf } from './registry.js';

/**
 * An adapter of one model.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('adapter');
 * console.log(model.lora?.base, model.lora?.modules);
 * ```
 */
export interface Lora extends AdapterConfig {
  /** Full names of the linear layers with an adapter, in the model's order. */
  readonly modules: readonly string[];
  /** Tensors of the model that are trained and saved with the adapter: the head's, and others that the base lacks. */
  readonly saved: readonly string[];
  readonly base: string;
}

/**
 * A new adapter, by PEFT's names and with its defaults.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type LoraOptions } from 'bertune';
 *
 * const lora: LoraOptions = { rank: 8, dropout: 0.1 };
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', { lora });
 * ```
 */
export interface LoraOptions {
  /** PEFT's `r`. */
  rank: number;
  /** PEFT's `lora_alpha`; default 8. */
  alpha?: number;
  /** Dropout before the adapter; default 0. */
  dropout?: number;
  /** Linear layers: ends of names, patterns, or `all-linear`; default: PEFT's for the model type, such as query and value. */
  targetModules?: readonly string[];
  /** How the adapter's file is to name its base; default: where the model is loaded from. */
  baseName?: string;
  /** The revision of a base on the hub; default main. */
  baseRevision?: string;
}

/** PEFT's names of tasks; it has none for masked language models. */
const PEFT_TASKS: Readonly<Record<TaskName, string | null>> = {
  'sequence-classification': 'SEQ_CLS',
  'token-classification': 'TOKEN_CLS',
  'masked-lm': null,
};

/** Undefined for one that is not known, and where none is named. */
export function taskOfPeft(taskType: string | null): TaskName | undefined {
  return taskType === null ? undefined : taskNames.find((task) => PEFT_TASKS[task] === taskType);
}

/** PEFT's modules_to_save of a sequence classifier: ends of the names of modules. */
const SAVED_MODULES = ['classifier', 'score'];

/** What an adapter's update B A is multiplied by. */
export function scalingOf({
  alpha,
  rank,
  isRankStabilised,
}: Pick<Lora, 'alpha' | 'rank' | 'isRankStabilised'>): number {
  return alpha / (isRankStabilised ? Math.sqrt(rank) : rank);
}

/**
 * Adds what an adapter learned to the weight of its layer, scaling * B A, in place.
 *
 * @param weight [rows, inputs]
 * @param a [rank, inputs]
 * @param b [rows, rank]
 */
export function addUpdate(
  weight: Float32Array,
  { a, b, rank, scaling }: { a: Float32Array; b: Float32Array; rank: number; scaling: number },
): void {
  const inputs = a.length / rank;
  const update = new Float64Array(inputs);
  for (let row = 0; row < b.length / rank; row++) {
    update.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scaling * (b[row * rank + k] ?? 0);
      for (let i = 0; i < inputs; i++) update[i] = (update[i] ?? 0) + factor * (a[k * inputs + i] ?? 0);
    }
    for (let i = 0; i < inputs; i++)
      weight[row * inputs + i] = (weight[row * inputs + i] ?? 0) + (update[i] ?? 0);
  }
}

/** The adapter's own tensors by their names in the session, in its order. */
export function loraShapes(
  config: ModelConfig,
  { modules, rank }: Pick<Lora, 'modules' | 'rank'>,
): Map<string, readonly number[]> {
  const adapted = linearModules(modelParameters(config)).filter(({ name }) => modules.includes(name));
  return new Map(
    adapted.flatMap(({ name, inputs, rows }): [string, readonly number[]][] => [
      [`${name}.lora_A.weight`, [rank, inputs]],
      [`${name}.lora_B.weight`, [rows, rank]],
    ]),
  );
}

/** All that an adapter's file holds, by the names in the session. */
export function adapterShapes(config: ModelConfig, lora: Lora): Map<string, readonly number[]> {
  const shapes = parameterShapes(config);
  return new Map([
    ...loraShapes(config, lora),
    ...lora.saved.map((name): [string, readonly number[]] => [name, shapes.get(name) ?? []]),
  ]);
}

/**
 * A fresh adapter.
 *
 * @param untrained the tensors that the base lacks: they are trained and saved whole, as the classifier
 * @throws UsageError for a rank, alpha, dropout or target that cannot be
 */
export async function freshLora(
  config: ModelConfig,
  options: LoraOptions & { baseName: string },
  untrained: readonly string[],
): Promise<Lora> {
  const { rank, alpha = 8, dropout = 0, baseName, baseRevision } = options;
  const { targetModules = familyOf(config.modelType).loraTargets } = options;
  const { hidden } = encoderOf(config);
  if (!Number.isInteger(rank) || rank < 1 || rank > hidden)
    throw new UsageError(
      `The LoRA rank is ${rank}; give a whole number from 1 to the hidden size of the model, ${hidden}`,
    );
  if (!(alpha > 0 && alpha < Infinity))
    throw new UsageError(`LoRA's alpha is ${alpha}; give a number above 0`);
  if (!(dropout >= 0 && dropout < 1))
    throw new UsageError(`LoRA's dropout is ${dropout}; give a number from 0 to below 1`);
  if (targetModules.length === 0) throw new UsageError('LoRA needs a target, such as query');
  const modulesToSave = [...SAVED_MODULES, ...modulesOf(config, untrained)];
  const saved = savedWhole(config, modulesToSave);
  // What is trained whole has nothing to adapt.
  const modules = targetedModules(config, targetModules).filter((name) => !saved.includes(`${name}.weight`));
  if (modules.length === 0)
    throw new UsageError(
      `The base has no ${modulesToSave.slice(SAVED_MODULES.length).join(', ')}, so that a new one is trained as a whole; ` +
        `give LoRA a target in the encoder, such as ${familyOf(config.modelType).loraTargets.join(', ')}`,
    );
  return {
    rank,
    alpha,
    dropout,
    isRankStabilised: false,
    modules,
    saved,
    modulesToSave,
    base: (await isFolder(baseName)) ? resolve(baseName) : baseName,
    revision: baseRevision ?? null,
    taskType: PEFT_TASKS[taskNameOf(config)],
  };
}

/**
 * An adapter that was saved without layers that its base lacks, as PEFT does unless they are in modules_to_save (DeBERTa's
 * pooler, ModernBERT's head): they start from random values, and are trained and saved with it from here on.
 *
 * @param untrained the tensors that neither the base nor the adapter brings
 */
export function withUntrained(config: ModelConfig, lora: Lora, untrained: readonly string[]): Lora {
  const left = untrained.filter((name) => !lora.saved.includes(name));
  if (left.length === 0) return lora;
  const modulesToSave = [...new Set([...lora.modulesToSave, ...modulesOf(config, left)])];
  const whole = new Set([...lora.saved, ...savedWhole(config, modulesToSave)]);
  return {
    ...lora,
    modulesToSave,
    saved: [...parameterShapes(config).keys()].filter((name) => whole.has(name)),
  };
}

/** The tensors that are trained and saved whole with an adapter. */
export function savedWhole(config: ModelConfig, modulesToSave: readonly string[]): string[] {
  return [...parameterShapes(config).keys()].filter((name) => isInside(name, modulesToSave));
}

/** The layers that can have an adapter, in the model's order: PEFT's `all-linear`. */
export function adaptableLinears(config: ModelConfig): string[] {
  return linearModules(modelParameters(config))
    .map(({ name }) => name)
    .filter((name) => !isInside(`${name}.weight`, SAVED_MODULES));
}

/** Whether a tensor is in a module whose name ends so. PEFT goes by the mere text: `pre_classifier` is a `classifier`. */
function isInside(tensor: string, ends: readonly string[]): boolean {
  const parts = tensor.split('.').slice(0, -1);
  const modules = parts.map((_, i) => parts.slice(0, i + 1).join('.'));
  return modules.some((module) => ends.some((end) => module.endsWith(end)));
}

/** The outermost modules of tensors that SAVED_MODULES leaves out, e.g. `pooler` of `bert.pooler.dense.weight`. */
function modulesOf(config: ModelConfig, tensors: readonly string[]): string[] {
  const { prefix } = familyOf(config.modelType).names;
  const others = tensors.filter((name) => !isInside(name, SAVED_MODULES));
  return [...new Set(others.map((name) => name.replace(prefix, '').split('.')[0] ?? ''))];
}

/**
 * The layers that targets name: the end of a name (`query`), a pattern (`bert.encoder.layer.{6..11}.*`), a module that
 * they are in, or `all-linear`.
 *
 * @throws UsageError for a target that matches nothing, naming what is near
 */
function targetedModules(config: ModelConfig, targets: readonly string[]): string[] {
  const all = adaptableLinears(config);
  const matching = (target: string): readonly string[] => {
    if (target === 'all-linear') return all;
    const isMatch = nameMatcher([target, `*.${target}`, `${target}.*`]);
    const found = all.filter((name) => isMatch(name));
    if (found.length > 0) return found;
    const parts = partsOf(config);
    const nearest = nearestName(target, parts);
    const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
    throw new UsageError(
      `The LoRA target ${JSON.stringify(target)} matches no linear layer that can have an adapter${hint}; there are ` +
        `${parts.join(', ')}, and all-linear for all of them`,
    );
  };
  const found = new Set(targets.flatMap(matching));
  return all.filter((name) => found.has(name));
}

/** PEFT's target_modules that mean exactly these layers: ends of names where they do, else the full names. */
export function targetModulesOf(config: ModelConfig, modules: readonly string[]): string[] {
  const parts = partsOf(config).filter((part) => modules.some((name) => isEndOf(name, part)));
  const meant = adaptableLinears(config).filter((name) => parts.some((part) => isEndOf(name, part)));
  return meant.length === modules.length ? parts : [...modules];
}

function isEndOf(name: string, part: string): boolean {
  return name.endsWith(`.${part}`);
}

/** Ends of names by which a person would name the adaptable layers. */
function partsOf(config: ModelConfig): string[] {
  const { prefix, queryKeyValue, attentionOutput, mlpIn, mlpOut, projection } = familyOf(
    config.modelType,
  ).names;
  const { embeddings } = encoderOf(config);
  const ofHead = headOf(config).flatMap((stage) => ('linear' in stage ? [stage.linear] : []));
  return [
    ...queryKeyValue.map((name) => name.slice(name.lastIndexOf('.') + 1)),
    attentionOutput,
    mlpIn,
    mlpOut,
    ...(embeddings.projection && projection !== undefined ? [projection] : []),
    ...ofHead
      .filter((name) => !isInside(`${name}.weight`, SAVED_MODULES))
      .map((name) => name.replace(prefix, '')),
  ];
}
