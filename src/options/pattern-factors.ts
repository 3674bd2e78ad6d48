// The kind of an option that gives numbers to tensors by patterns of their names.
import { z } from 'zod';
import type { Kind } from './kinds.js';

/** Numbers by pattern, in the order in which they were given. */
export type PatternFactors = Record<string, number>;

/** `{"classifier.*": 10}` in a file or script, `'classifier.*=10'` on the command line. */
export function patternFactors(): Kind<PatternFactors> {
  const factor = z.number().refine((n) => n >= 0 && Number.isFinite(n));
  return {
    schema: z.preprocess(fromLines, z.record(z.string().min(1), factor)),
    what: "patterns of tensor names with a number of at least 0 each, such as 'classifier.*=10'",
    arity: 'many',
    placeholder: 'PATTERN=X...',
    fromText: (written) => written,
  };
}

/** One `pattern=number` or several; what is not of this form is left for the schema to reject. */
function fromLines(value: unknown): unknown {
  const lines: unknown[] = Array.isArray(value) ? value : [value];
  const parts = lines.map((line) => (typeof line === 'string' ? /^([^=]+)=([-+.\de]+)$/i.exec(line) : null));
  if (parts.includes(null)) return value;
  const entries = parts.map((part) => [part?.[1] ?? '', Number(part?.[2])] as const);
  return new Set(entries.map(([pattern]) => pattern)).size < entries.length
    ? value
    : Object.fromEntries(entries);
}
