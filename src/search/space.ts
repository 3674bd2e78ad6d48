// What a search may change: options whose value in the configuration file is a range or a choice.
import { z } from 'zod';

import { OptionsError } from '../options/index.js';

/** The values that one option may have. */
export type Dimension =
  | { readonly kind: 'uniform' | 'log_uniform' | 'int'; readonly low: number; readonly high: number }
  | { readonly kind: 'choice'; readonly choices: readonly unknown[] };

/** By the option's name as written. */
export type Space = Readonly<Record<string, Dimension>>;

/** A point of the space: the value of each option. */
export type Params = Readonly<Record<string, unknown>>;

const KINDS = ['uniform', 'log_uniform', 'int', 'choice'] as const;
type RangeKind = 'uniform' | 'log_uniform' | 'int';

/** Whether a value of a configuration file is a range or a choice: an object whose only key is one of the four words. */
export function isDimension(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length === 1 && KINDS.some((kind) => kind === keys[0]);
}

/**
 * Reads a range or choice, e.g. `{log_uniform: [1e-5, 1e-4]}`.
 *
 * @param name the option, for messages
 * @throws UsageError when the bounds are no numbers, out of order, or do not suit the kind
 */
export function parseDimension(value: Readonly<Record<string, unknown>>, name: string): Dimension {
  const [[kind, given] = ['', undefined]] = Object.entries(value);
  if (kind === 'choice') {
    const choices = z.array(z.unknown()).min(2).safeParse(given);
    if (
      !choices.success ||
      new Set(choices.data.map((one) => JSON.stringify(one))).size < choices.data.length
    )
      throw new OptionsError(`${name}: choice needs a list of at least two different values`);
    return { kind, choices: choices.data };
  }
  const bounds = z.tuple([z.number(), z.number()]).safeParse(given);
  if (!bounds.success)
    throw new OptionsError(`${name}: ${kind} needs the lowest and the highest value, such as [1, 4]`);
  const [low, high] = bounds.data;
  if (low >= high)
    throw new OptionsError(`${name}: ${kind} needs a lowest value below the highest, not ${low} and ${high}`);
  if (kind === 'int' && !(Number.isSafeInteger(low) && Number.isSafeInteger(high)))
    throw new OptionsError(`${name}: int needs whole numbers, not ${low} and ${high}`);
  if (kind === 'log_uniform' && low <= 0)
    throw new OptionsError(`${name}: log_uniform needs values above 0, not ${low}`);
  return { kind: rangeKind(kind), low, high };
}

/** The values at the ends of what an option may have, and one between them, to be checked before the search begins. */
export function extremes(dimension: Dimension): readonly unknown[] {
  if (dimension.kind === 'choice') return dimension.choices;
  const { kind, low, high } = dimension;
  return kind === 'int' ? [low, high] : [low, high, low + (high - low) / Math.PI];
}

function rangeKind(kind: string): RangeKind {
  return kind === 'int' || kind === 'log_uniform' ? kind : 'uniform';
}
