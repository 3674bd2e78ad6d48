// What one option is: a zod schema for the check and the type, and the facts that a schema cannot say, kept beside it.
import { z } from 'zod';
import type { Kind } from './kinds.js';

/** The headings of the help, in its order. */
export const groups = [
  'Model',
  'Data',
  'Training',
  'Evaluation',
  'Saving and logging',
  'Device',
  'Search',
] as const;
export type Group = (typeof groups)[number];

/**
 * What an option is to a run that is resumed with another value of it. `must-match`: it decides which batches, masks and
 * weights there are, by itself or through the rows, the labels and the model that it leads to, so that the run is
 * refused. `may-change`: it decides the result too, but people change it on purpose, so that a note names the change.
 * `irrelevant`: the result is the same, or no run can be resumed that has it.
 */
export type ResumeRole = 'must-match' | 'may-change' | 'irrelevant';

/** What each option states about itself. */
export interface Card {
  readonly group: Group;
  readonly onResume: ResumeRole;
  /** One phrase, no full stop. */
  readonly help: string;
  /** In the help in place of a default, when that is found at run time. */
  readonly otherwise?: string;
  /** Hugging Face's name, where it is not simply ours in snake_case. */
  readonly hf?: string;
}

/** All there is to know of an option but its check. */
export interface Facts extends Card {
  readonly kind: Omit<Kind<unknown>, 'schema'>;
  /** The default, for options that always have a value. */
  readonly fallback?: unknown;
}

/** An option that always has a value. */
export function withDefault<T>(kind: Kind<T>, fallback: T, card: Card): z.ZodType<T> {
  return remember(kind.schema.clone(), { ...card, kind, fallback });
}

/** An option that may be missing. */
export function optional<T>(kind: Kind<T>, card: Card): z.ZodExactOptional<z.ZodType<T>> {
  return remember(kind.schema.exactOptional(), { ...card, kind });
}

/** The same option for a command that cannot do without it. */
export function mandatory<T>(option: z.ZodExactOptional<z.ZodType<T>>): z.ZodType<T> {
  return remember(option.unwrap().clone(), factsOf(option));
}

/** The facts of an option of the table. */
export function factsOf(option: z.ZodType): Facts {
  const found = facts.get(option);
  if (found === undefined) throw new TypeError('Expected a schema of the option table');
  return found;
}

const facts = new WeakMap<z.ZodType, Facts>();

function remember<S extends z.ZodType>(option: S, known: Facts): S {
  facts.set(option, known);
  return option;
}
