// What makes a family of encoders: its keys of config.json, the spec and the heads that follow from them, the names of its
// tensors, and what PEFT does with it. A family is one file beside this one; its keys are made of the types below, which are as
// strict as transformers 5.18.
import { z } from 'zod';
import type { EncoderSpec, HeadStage, Activation, LayerSpec } from '../native/spec.js';
import { expected } from '../util/errors.js';
import { oneLine } from '../util/text.js';

/** What a head gives one row of logits for. */
export type HeadKind = 'sequence' | 'tokens' | 'maskedLm';

/**
 * How Hugging Face names the tensors of an encoder, without `.weight` and `.bias`. All have the prefix, which files of a bare
 * encoder lack.
 */
export interface EncoderNames {
  prefix: string;
  words: string;
  positions?: string;
  types?: string;
  embeddingNorm?: string;
  projection?: string;
  /** Of a bias by distance, the table of its buckets. */
  relativeBias?: string;
  /** In place of `layers`, before the number of a layer; what follows are names within one. */
  layers: string;
  /** Between the number of a group of layers and that of a layer in it; only where there are groups. */
  innerLayers?: string;
  /** Beside one another in one matrix: its rows are those of query, key and value, in this order. */
  queryKeyValue: readonly string[];
  attentionOutput: string;
  attentionNorm: string;
  mlpIn: string;
  mlpOut: string;
  mlpNorm: string;
  finalNorm?: string;
  /** Of disentangled attention: the table and its norm. */
  relative?: string;
  relativeNorm?: string;
  /** Within a layer. */
  relativeKey?: string;
  relativeQuery?: string;
}

/** How random initial weights are drawn: standard deviations, and where the normal distribution is cut. */
export interface WeightInitialisation {
  readonly std: number;
  /** Of the layers that add to the residual stream, and of those of a head before the last. */
  readonly outputStd: number;
  /** Of the layer that gives the logits. */
  readonly logitsStd: number;
  /** Standard deviations from 0 beyond which nothing is drawn; null for the whole normal distribution. */
  readonly cut: number | null;
  /** Whether the row of the padding token starts as zeros. */
  readonly zeroPadding: boolean;
}

/** The fields of a config, by their names in camelCase. */
export type ConfigFields = Readonly<Record<string, unknown>>;

interface FamilyFacts {
  /** As in config.json. */
  readonly modelType: string;
  /** What the names of its classes in transformers begin with. */
  readonly classPrefix: string;
  readonly names: EncoderNames;
  /** PEFT's target modules for this model type; where it has none, the usual ones. */
  readonly loraTargets: readonly string[];
}

export interface ModelFamily extends FamilyFacts {
  /** Its keys of config.json, with their types and defaults in transformers 5.18. All of them are written. */
  readonly schema: z.ZodObject;
  /** Names that transformers reads in place of a key and never writes. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Older spellings of keys in place of the newer ones, before they are checked. @throws UsageError naming a key and the file (`where`) */
  upgrade(keys: Readonly<Record<string, unknown>>, where: string): Record<string, unknown>;
  encoder(config: ConfigFields): EncoderSpec;
  /** Undefined for normal(0, initializer_range) in all matrices. */
  initialisation(config: ConfigFields): WeightInitialisation | undefined;
  head(kind: HeadKind, config: ConfigFields): readonly HeadStage[];
}

/** A family as its file states it: functions of its own keys. */
export interface FamilyDefinition<Keys extends z.ZodRawShape> extends FamilyFacts {
  keys: Keys;
  aliases?: Readonly<Record<string, keyof Keys & string>>;
  upgrade?: ModelFamily['upgrade'];
  initialisation?: (config: CamelCased<z.output<z.ZodObject<Keys>>>) => WeightInitialisation;
  encoder: (config: CamelCased<z.output<z.ZodObject<Keys>>>) => EncoderSpec;
  heads: Readonly<
    Record<HeadKind, (config: CamelCased<z.output<z.ZodObject<Keys>>>) => readonly HeadStage[]>
  >;
}

export function defineFamily<Keys extends z.ZodRawShape>(definition: FamilyDefinition<Keys>): ModelFamily {
  const { modelType, classPrefix, keys, aliases = {}, names, loraTargets, encoder, heads } = definition;
  const { upgrade = (file) => ({ ...file }), initialisation } = definition;
  const schema = z.object(keys);
  // A config may be made or changed by hand: its fields are checked where they are used.
  const checked = (config: ConfigFields) =>
    camelCased(checkKeys(schema, keysOf(schema, config), `the ${modelType} config`));
  return {
    modelType,
    classPrefix,
    schema,
    aliases,
    names,
    loraTargets,
    upgrade,
    encoder: (config) => encoder(checked(config)),
    initialisation: (config) => initialisation?.(checked(config)),
    head: (kind, config) => heads[kind](checked(config)),
  };
}

/** The head of a masked language model: a layer as wide as the word embeddings, and the product with their table. */
export function maskedLmHead(
  dense: string,
  norm: string,
  { activation: kind, vocabulary }: { activation: Activation; vocabulary: string },
): readonly HeadStage[] {
  return [{ select: 'labelled' }, { linear: dense }, { activation: kind }, { norm }, { vocabulary }];
}

/** Layers that are all alike, each with parameters of its own. */
export function uniformLayers(count: number): LayerSpec[] {
  const common = { attentionNorm: true, window: null, rotaryTheta: null };
  return Array.from({ length: count }, (_, i) => ({ parameters: `layers.${i}`, ...common }));
}

/** Whether a key of a schema has this mark in its `meta`. */
export function isMarked(type: unknown, mark: 'decidesShapes' | 'isFloat'): boolean {
  return type instanceof z.ZodType && type.meta()?.[mark] === true;
}

/** The keys of config.json from the fields of a config. */
export function keysOf({ shape }: z.ZodObject, config: ConfigFields): Record<string, unknown> {
  return Object.fromEntries(Object.keys(shape).map((key) => [key, config[camelCase(key)]]));
}

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

export type CamelCased<T> = { readonly [Key in keyof T & string as CamelCase<Key>]: T[Key] };

export function camelCased<T extends object>(object: T): CamelCased<T> {
  const entries = Object.entries(object).map(([key, value]): [string, unknown] => [camelCase(key), value]);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- keys are renamed as the type renames them
  return Object.fromEntries(entries) as CamelCased<T>;
}

function camelCase(key: string): string {
  return key.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

const MAX_INT32 = 2 ** 31 - 1;
/** Far above any encoder; it keeps a broken file from making us list billions of tensors. */
const MAX_LAYERS = 1000;

/**
 * The names of activations and the function that each one means; several are one function, written in different ways in
 * Python. Source: transformers 5.18, `activations.py`, `ACT2CLS`.
 */
export const ACTIVATIONS = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_accurate: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_python_tanh: 'gelu_tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
} as const satisfies Record<string, Activation>;

type ActivationName = keyof typeof ACTIVATIONS;

export const whole = (max: number) => {
  const error = `a whole number from 1 to ${max}`;
  return z.int({ error }).min(1, error).max(max, error);
};

/** A size that decides shapes. In the config of a family that has no such key it means that the families are mixed up. */
export const size = (fallback: number, max = MAX_INT32) =>
  whole(max).default(fallback).meta({ decidesShapes: true });

export const layers = (fallback: number) => size(fallback, MAX_LAYERS);

const dropoutError = 'a number from 0 to below 1';
const probability = z.number({ error: dropoutError }).min(0, dropoutError).lt(1, dropoutError);
export const dropout = (fallback: number) => probability.default(fallback);
export const optionalDropout = probability.nullable().default(null);

const floatError = 'a number above 0';
/** Of Python's float alone: transformers takes no whole number here, so that 1 has to be written 1.0. */
export const float = (fallback: number) =>
  z.number({ error: floatError }).gt(0, floatError).default(fallback).meta({ isFloat: true });

export const activation = z
  .string({ error: 'a name' })
  .refine((name): name is ActivationName => Object.hasOwn(ACTIVATIONS, name), {
    error: `one of ${Object.keys(ACTIVATIONS).join(', ')}`,
  })
  .default('gelu');

const tokenIdError = 'a token id from 0, or null';
export const wholeId = z.int({ error: tokenIdError }).min(0, tokenIdError);
export const tokenId = (fallback: number | null) => wholeId.nullable().default(fallback);
export const tokenIds = (fallback: number | null) =>
  z
    .union([wholeId, z.array(wholeId)], { error: 'a token id from 0, a list of them, or null' })
    .nullable()
    .default(fallback);

/** A switch whose value changes nothing here; it is written back. */
export const flag = (fallback: boolean) => z.boolean({ error: 'true or false' }).default(fallback);
/** A switch that has to be off. */
export const off = z.literal(false, { error: 'false (an encoder)' }).default(false);
export const text = (fallback: string) => z.string({ error: 'a text' }).default(fallback);

/** What the classes of all families have. */
export const commonKeys = {
  bos_token_id: tokenId(null),
  eos_token_id: tokenIds(null),
  initializer_range: float(0.02),
  tie_word_embeddings: flag(true),
};

/** @throws UsageError naming the first wrong key, what it should be, and the file (`where`) */
export function checkKeys<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  where: string,
): z.output<Schema> {
  const { data, error } = schema.safeParse(json, { reportInput: true });
  if (error === undefined) return data;
  const [issue] = error.issues;
  if (!issue?.path.length) throw expected('a JSON object', where, json);
  throw expected(issue.message, `${oneLine(issue.path.join('.'))} in ${where}`, issue.input);
}
