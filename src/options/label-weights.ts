// The kind of an option that weighs labels: a number for each, or the word that has them counted.
import { z } from 'zod';
import type { Kind } from './kinds.js';

/** A weight for each label, in the order of their ids, or `balanced`: from how often each label occurs. */
export type LabelWeights = 'balanced' | number[];

/** `balanced`, or numbers above 0. */
export function labelWeights(): Kind<LabelWeights> {
  const weight = z.number().refine((n) => n > 0 && n < 1e30);
  const balanced = z.literal('balanced');
  return {
    schema: z.union([
      balanced,
      z.tuple([balanced]).transform(([word]) => word), // as the command line gives it
      weight.transform((one) => [one]),
      z.array(weight).nonempty(),
    ]),
    what: 'balanced, or a number above 0 for each label',
    arity: 'many',
    placeholder: 'X...',
    fromText: (written) =>
      written.trim() === '' || Number.isNaN(Number(written)) ? written : Number(written),
  };
}
