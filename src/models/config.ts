// The config of a model, from config.json and back: what all families have is here, their own keys are in their files.
// A config also says which classes the model has: its own, or those of a new head.
import { z } from 'zod';
import type { EncoderSpec, HeadStage } from '../native/spec.js';
import {
  maskedLm,
  problemTypes,
  regression,
  singleLabel,
  taskKinds,
  tokenClassification,
  type ProblemType,
  type TaskName,
  impliedProblemType,
} from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { Float } from '../util/json.js';
import type { BertFields } from './bert.js';
import {
  checkKeys,
  commonKeys,
  whole,
  camelCased,
  isMarked,
  keysOf,
  type HeadKind,
  type ModelFamily,
} from './family.js';
import { areDefaultLabels, labelsOf, parseLabels, type Labels, defaultLabels } from './labels.js';
import { FAMILIES, familyOf, modelTypeOfClass } from './registry.js';

/**
 * A config of any family: beside these fields the keys of the family, in camelCase. Absent keys have the family's defaults.
 *
 * @example
 * ```ts
 * import { readConfig, type ModelConfig } from 'bertune';
 *
 * const { modelType, problemType, labels }: ModelConfig = await readConfig('out');
 * ```
 */
export interface ModelConfig extends Labels {
  readonly modelType: string;
  /** Null where the file leaves it open: it then follows from the labels. That of tokens is the architecture's. */
  readonly problemType: ProblemType | null;
  /** The classes of transformers that the file was written for. */
  readonly architectures: readonly string[];
  /** Standard deviation of random initial weights. */
  readonly initializerRange: number;
  /** Other keys of the file, to be written back. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** What a person should know about how the file was read. */
  readonly warnings: readonly string[];
  readonly [field: string]: unknown;
}

/**
 * config.json of a BERT, with its fields by name.
 *
 * @example
 * ```ts
 * import { parseBertConfig, type BertConfig } from 'bertune';
 *
 * const config: BertConfig = parseBertConfig({ model_type: 'bert' }, 'the defaults of BERT');
 * console.log(config.hiddenSize, config.numHiddenLayers);
 * ```
 */
export type BertConfig = ModelConfig & BertFields;

/** The version whose files we write; it is noted in them, as transformers notes its own. */
const TRANSFORMERS_VERSION = '5.18.0';

/** Ten times what a data set may have; each class has a name in memory. */
const MAX_LABELS = 100_000;

/** Keys with a field of their own in every config. */
const usedKeys = {
  model_type: z.string({ error: 'a name' }).optional(),
  architectures: z.array(z.string(), { error: 'a list of names' }).nullish(),
  problem_type: z.enum(problemTypes, { error: `one of ${problemTypes.join(', ')}` }).nullish(),
  num_labels: whole(MAX_LABELS).optional(),
  id2label: z
    .record(z.string(), z.union([z.string(), z.number().transform(String)], { error: 'a class name' }), {
      error: 'an object of class ids and names',
    })
    .refine((map) => Object.keys(map).length > 0, { error: 'at least one class' })
    .nullish(),
  label2id: z.record(z.string(), z.unknown(), { error: 'an object of class names and ids' }).nullish(),
};

/** Keys that may be there as long as they ask for nothing that is not done. */
const restrictedKeys = {
  position_embedding_type: z.literal('absolute', { error: '"absolute"' }).optional(),
  is_decoder: z.literal(false, { error: 'false (an encoder)' }).optional(),
  is_encoder_decoder: z.literal(false, { error: 'false (an encoder)' }).optional(),
  add_cross_attention: z.literal(false, { error: 'false (an encoder)' }).optional(),
  quantization_config: z.null({ error: 'null (weights that are not quantised)' }).optional(),
  per_layer_config: z.null({ error: 'null (all layers alike)' }).optional(),
};

const commonSchema = z.looseObject({ ...usedKeys, ...restrictedKeys });
type CommonKeys = z.output<typeof commonSchema>;

/** Keys that name Python code for transformers to run, with trust_remote_code. They are not passed on. */
const REMOTE_CODE = ['auto_map', 'custom_pipelines'];

/** Keys that hold for the files they were read with and not for the ones we write. */
const NOT_KEPT = new Set([
  '_commit_hash',
  '_name_or_path',
  ...REMOTE_CODE,
  'dtype',
  'is_encoder_decoder',
  'per_layer_config',
  'quantization_config',
  'torch_dtype',
  'transformers_version',
  'transformers_weights',
]);

/**
 * Parses the content of a config.json.
 *
 * @param json the parsed file
 * @param where the file, for messages
 * @throws UsageError naming the key and the file, e.g. for a family that is not known or a value out of range
 *
 * @example
 * ```ts
 * import { parseConfig } from 'bertune';
 *
 * const config = parseConfig({ model_type: 'roberta', vocab_size: 50265 }, 'a RoBERTa');
 * console.log(config.modelType);
 * ```
 */
export function parseConfig(json: unknown, where: string): ModelConfig {
  const file = checkKeys(commonSchema, json, where);
  const family = familyOf(modelTypeOf(file), where);
  const keys = family.upgrade(withoutAliases(file, family, where), where);
  requireOwnKeys(keys, family, where);
  const own = checkKeys(family.schema, keys, where);
  const { labels, warnings } = parseLabels(file, where);
  const { architectures = [], problem_type: named = null } = file;
  const problemType = impliedByArchitecture(architectures?.[0]) ?? named;
  if (problemType === singleLabel.problemType && labels.numLabels === 1)
    throw new UsageError(
      `problem_type in ${where} is ${problemType} with one label; use ${regression.problemType}, or two labels`,
    );
  for (const key of REMOTE_CODE) {
    if (file[key] === undefined) continue;
    warnings.push(`${key} in ${where} is ignored: bertune runs no code from a model folder`);
  }
  const isKept = (key: string): boolean =>
    !Object.hasOwn(own, key) && !Object.hasOwn(usedKeys, key) && !NOT_KEPT.has(key);
  const { initializer_range: initializerRange } = checkKeys(z.object(commonKeys), keys, where);
  const config: ModelConfig = {
    ...labels,
    initializerRange,
    ...camelCased(own),
    modelType: family.modelType,
    problemType,
    architectures: architectures ?? [],
    raw: Object.fromEntries(Object.entries(keys).filter(([key]) => isKept(key))),
    warnings,
  };
  requireSoundShape(family.encoder(config), family, where);
  return config;
}

/**
 * The content of a config.json of a BERT. @throws UsageError as {@link parseConfig}, and for another family
 *
 * @example
 * ```ts
 * import { BertForSequenceClassification, parseBertConfig } from 'bertune';
 *
 * const config = parseBertConfig({ model_type: 'bert', num_hidden_layers: 2, vocab_size: 8192 }, 'a small BERT');
 * const model = BertForSequenceClassification.fromConfig(config, { numLabels: 2 });
 * ```
 */
export function parseBertConfig(json: unknown, where: string): BertConfig {
  const config = parseConfig(json, where);
  if (isBert(config)) return config;
  throw new UsageError(
    `${where} is of the model type ${config.modelType}, not bert; parseConfig reads those of all model types`,
  );
}

function isBert(config: ModelConfig): config is BertConfig {
  return config.modelType === 'bert';
}

export function encoderOf(config: ModelConfig): EncoderSpec {
  return familyOf(config.modelType).encoder(config);
}

/** What of a family a task needs, and how transformers ends the names of its classes. */
const HEADS: Readonly<Record<TaskName, { kind: HeadKind; classSuffix: string }>> = {
  'sequence-classification': { kind: 'sequence', classSuffix: 'ForSequenceClassification' },
  'token-classification': { kind: 'tokens', classSuffix: 'ForTokenClassification' },
  'masked-lm': { kind: 'maskedLm', classSuffix: 'ForMaskedLM' },
};

/** Of a task for which transformers has no problem type: the architecture says it. */
function impliedByArchitecture(architecture: string | undefined): ProblemType | undefined {
  const kinds = [tokenClassification, maskedLm];
  return kinds.find(({ name }) => architecture?.endsWith(HEADS[name].classSuffix))?.problemType;
}

/** The task that the model of a config is for. */
export function taskNameOf(config: Pick<ModelConfig, 'problemType' | 'numLabels'>): TaskName {
  return taskKinds[problemTypeOf(config)].name;
}

/** @throws UsageError for a masked language model with a decoder of its own */
export function headOf(config: ModelConfig): readonly HeadStage[] {
  if (taskNameOf(config) === 'masked-lm' && config['tieWordEmbeddings'] === false)
    throw new UsageError(
      'The model has tie_word_embeddings false: a decoder of its own, which is not trained here; use a model whose decoder is the table of its word embeddings',
    );
  return familyOf(config.modelType).head(HEADS[taskNameOf(config)].kind, config);
}

/** Most tokens of a sequence; Infinity for an encoder without a table of positions. */
export function maxTokensOf(config: ModelConfig): number {
  const { positions } = encoderOf(config).embeddings;
  return positions === null ? Infinity : positions.rows - positions.first;
}

/** The same model for other classes: every label field and the problem type at once. */
export function withLabels<Config extends ModelConfig>(
  config: Config,
  names: readonly string[],
  problemType: ProblemType,
): Config {
  return { ...config, ...labelsOf(names), problemType };
}

/** The name of the class in transformers that our model of this config is. */
export function classNameOf(config: Pick<ModelConfig, 'modelType' | 'problemType' | 'numLabels'>): string {
  return familyOf(config.modelType).classPrefix + HEADS[taskNameOf(config)].classSuffix;
}

/** The class that takes the models of any family for a task. */
export function autoClassOf(task: TaskName): string {
  return `AutoModel${HEADS[task].classSuffix}`;
}

/**
 * The content of config.json for a float32 model, keys sorted, as `save_pretrained` of transformers 5.18 writes it. As
 * there, the label maps are left out when they are the default two. Whole numbers of float keys are {@link Float}s.
 */
export function configJson(config: ModelConfig): Record<string, unknown> {
  const hasDefaultLabels = config.numLabels === 2 && areDefaultLabels(config.id2label);
  const labelMaps = {
    id2label: Object.fromEntries(config.id2label.entries()),
    label2id: sorted(Object.fromEntries(config.label2id)),
  };
  const { schema } = familyOf(config.modelType);
  const own = Object.entries(keysOf(schema, config)).map(([key, value]): [string, unknown] => [
    key,
    Number.isInteger(value) && isMarked(schema.shape[key], 'isFloat') ? new Float(Number(value)) : value,
  ]);
  return sorted({
    ...config.raw,
    ...(!hasDefaultLabels && labelMaps),
    // transformers knows no problem type but those of sequences.
    ...(problemTypes.some((known) => known === config.problemType) && { problem_type: config.problemType }),
    ...Object.fromEntries(own),
    architectures: [classNameOf(config)],
    dtype: 'float32',
    model_type: config.modelType,
    transformers_version: TRANSFORMERS_VERSION,
  });
}

function sorted(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Google's first configs have no model_type; there the architecture, if any, decides. */
function modelTypeOf({ model_type: modelType, architectures }: CommonKeys): string {
  if (modelType !== undefined) return modelType;
  const [architecture] = architectures ?? [];
  return architecture === undefined ? 'bert' : (modelTypeOfClass(architecture) ?? architecture);
}

function withoutAliases(
  file: CommonKeys,
  { aliases, modelType }: ModelFamily,
  where: string,
): Record<string, unknown> {
  const keys: Record<string, unknown> = { ...file };
  for (const [alias, key] of Object.entries(aliases)) {
    const value = keys[alias];
    if (value === undefined) continue;
    if (keys[key] !== undefined && keys[key] !== value)
      throw new UsageError(
        `${where} has both ${key} and ${alias}, which are one for ${modelType}, and they differ; keep ${key}`,
      );
    keys[key] = value;
    delete keys[alias];
  }
  return keys;
}

/** A size under the name of another family would be ignored in favour of the default. */
function requireOwnKeys(keys: Readonly<Record<string, unknown>>, own: ModelFamily, where: string): void {
  for (const { schema, modelType } of FAMILIES)
    for (const [key, type] of Object.entries(schema.shape)) {
      if (Object.hasOwn(own.schema.shape, key) || keys[key] === undefined || keys[key] === null) continue;
      if (!isMarked(type, 'decidesShapes')) continue;
      throw new UsageError(
        `${where} has ${key}, a key of ${modelType} models, but is of the model type ${own.modelType}; correct model_type, or remove the key`,
      );
    }
}

function requireSoundShape(spec: EncoderSpec, { aliases }: ModelFamily, where: string): void {
  const keyOf = (name: string): string => aliases[name] ?? name;
  const { hidden, heads, embeddings, layers } = spec;
  const { padId, vocab, positions } = embeddings;
  if (hidden % heads !== 0)
    throw new UsageError(
      `${keyOf('hidden_size')} (${hidden}) is not a multiple of ${keyOf('num_attention_heads')} (${heads}) in ${where}`,
    );
  if (layers.some(({ rotaryTheta }) => rotaryTheta !== null) && (hidden / heads) % 2 !== 0)
    throw new UsageError(
      `${keyOf('hidden_size')} (${hidden}) and ${keyOf('num_attention_heads')} (${heads}) in ${where} make heads of size ${hidden / heads}, and rotary positions need an even one`,
    );
  if (padId !== null && padId >= vocab)
    throw new UsageError(`pad_token_id (${padId}) is not below vocab_size (${vocab}) in ${where}`);
  if (positions !== null && positions.first >= positions.rows)
    throw new UsageError(
      `max_position_embeddings (${positions.rows}) in ${where} leaves no position: those of tokens start at ${positions.first}, after pad_token_id`,
    );
}

/**
 * The classes that the model should have; what is left out comes from its config.json.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type HeadOptions } from 'bertune';
 *
 * const head: HeadOptions = { labels: ['film', 'music'], problemType: 'multi_label_classification' };
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', head);
 * ```
 */
export interface HeadOptions {
  numLabels?: number;
  /** Names of the classes in the order of their ids; wins over numLabels. */
  labels?: readonly string[];
  problemType?: ProblemType;
}

/** A config with another head, or the same config where nothing changes. @throws UsageError for no label, and for one to choose from */
export function withHead<Config extends ModelConfig>(config: Config, head: HeadOptions): Config {
  const { numLabels, labels, problemType } = head;
  if (config.problemType === maskedLm.problemType) return config; // its outputs are the words of the tokenizer
  if (labels === undefined && numLabels === undefined && problemType === undefined) return config;
  const count = labels === undefined ? (numLabels ?? config.numLabels) : labels.length;
  if (!Number.isInteger(count) || count < 1)
    throw new UsageError(
      `A head needs at least one label; ${labels === undefined ? 'numLabels' : 'the length of labels'} is ${count}`,
    );
  const own = numLabels === undefined || numLabels === config.numLabels ? config.id2label : undefined;
  const names = labels ?? own ?? defaultLabels(numLabels ?? 0);
  const { problemType: configured } = config;
  const type = problemType ?? problemTypeOf({ problemType: configured, numLabels: names.length });
  if (type === singleLabel.problemType && names.length === 1)
    throw new UsageError(
      `problemType ${type} needs two labels, and the model has one; use ${regression.problemType}`,
    );
  return withLabels(config, names, type);
}

/**
 * The same model for a task: of a config for another one with the problem type that its labels imply.
 *
 * @throws UsageError for a problem type of another task
 */
export function withTask<Config extends ModelConfig>(
  config: Config,
  task: TaskName,
  { problemType }: HeadOptions,
): Config {
  if (problemType !== undefined && taskKinds[problemType].name !== task)
    throw new UsageError(
      `The problem type ${problemType} is none of ${task.replace('-', ' ')}; load the model with ${autoClassOf(taskKinds[problemType].name)}`,
    );
  if (taskNameOf(config) === task) return config;
  const own = Object.values(taskKinds).filter(({ name }) => name === task);
  return { ...config, problemType: own.length === 1 ? (own[0]?.problemType ?? null) : null };
}

/** Whether two configs have the same classes and problem type. */
export function isSameHead(a: ModelConfig, b: ModelConfig): boolean {
  const [labels, others] = [a.id2label, b.id2label];
  return (
    problemTypeOf(a) === problemTypeOf(b) &&
    labels.length === others.length &&
    labels.every((label, id) => label === others[id])
  );
}

/** What a config without a problem type means: HF's rule. */
export function problemTypeOf(config: Pick<ModelConfig, 'problemType' | 'numLabels'>): ProblemType {
  return config.problemType ?? impliedProblemType(config.numLabels);
}

/** The class of a checkpoint whose head was trained for another task, with its article; undefined for all others. */
export function otherTaskOf(
  { architectures }: Pick<ModelConfig, 'architectures'>,
  task: TaskName,
): string | undefined {
  const heads =
    /For(?:SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|NextSentencePrediction)$/;
  const [name] = architectures;
  return name === undefined || !heads.test(name) || name.endsWith(HEADS[task].classSuffix)
    ? undefined
    : `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
}
