// What the keys of a config.json may contain. transformers 5.18 checks types strictly, and so do we.
import { z } from 'zod';

import type { Activation } from '../native/spec.js';
import { expected } from '../util/errors.js';
import { oneLine } from '../util/text.js';

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

// Below 1 also because transformers takes no whole number here, and JSON.stringify writes 1.0 as 1.
const fractionError = 'a number above 0 and below 1';
export const fraction = (fallback: number) =>
  z.number({ error: fractionError }).gt(0, fractionError).lt(1, fractionError).default(fallback);

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
  initializer_range: fraction(0.02),
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
