// What makes a family of encoders: its keys of config.json, the spec and the heads that follow from them, the names of its
// tensors, and what PEFT does with it. A family is one file beside this one.
import { z } from 'zod';

import type { EncoderSpec, HeadStage } from '../native/spec.js';
import { checkKeys } from './config-keys.js';

/** What a head gives one row of logits for. */
export type HeadKind = 'sequence';

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
  /** In place of `layers`, before the number of a layer; what follows are names within one. */
  layers: string;
  /** Beside one another in one matrix: its rows are those of query, key and value, in this order. */
  queryKeyValue: readonly string[];
  attentionOutput: string;
  attentionNorm: string;
  mlpIn: string;
  mlpOut: string;
  mlpNorm: string;
  finalNorm?: string;
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
  encoder(config: ConfigFields): EncoderSpec;
  head(kind: HeadKind, config: ConfigFields): readonly HeadStage[];
}

/** A family as its file states it: functions of its own keys. */
export interface FamilyDefinition<Keys extends z.ZodRawShape> extends FamilyFacts {
  keys: Keys;
  aliases?: Readonly<Record<string, keyof Keys & string>>;
  encoder: (config: CamelCased<z.output<z.ZodObject<Keys>>>) => EncoderSpec;
  heads: Readonly<
    Record<HeadKind, (config: CamelCased<z.output<z.ZodObject<Keys>>>) => readonly HeadStage[]>
  >;
}

export function defineFamily<Keys extends z.ZodRawShape>(definition: FamilyDefinition<Keys>): ModelFamily {
  const { modelType, classPrefix, keys, aliases = {}, names, loraTargets, encoder, heads } = definition;
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
    encoder: (config) => encoder(checked(config)),
    head: (kind, config) => heads[kind](checked(config)),
  };
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
