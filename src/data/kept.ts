// Columns that go with the rows into a file of predictions: an id, mostly. What they hold is carried, not understood.

import type { Reading } from './label-values.js';

/** What all values of a column are, null aside. `json`: texts and numbers mixed, lists, objects. */
export type KeptKind = 'integer' | 'number' | 'boolean' | 'text' | 'json';

/** A value that JSON can hold. */
export type KeptValue = unknown;

/** A value as it can be written again, or why it cannot. */
export function keptValue(value: unknown): Reading<KeptValue> {
  if (typeof value === 'symbol') return { problem: 'the value is not valid UTF-8' };
  // Two ids that differ in the last digit would become one.
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return { problem: `${String(value)} is too large to be kept to the last digit; write it as a string` };
  return { value: asJson(value) };
}

/** Parquet has more kinds of values than JSON. */
function asJson(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, asJson(own)]));
}

/** The kinds of the kept columns, found row by row. */
export class KeptKinds {
  readonly #kinds: (KeptKind | undefined)[];

  constructor(readonly columns: readonly string[]) {
    this.#kinds = columns.map(() => undefined);
  }

  add(values: readonly KeptValue[]): void {
    values.forEach((value, i) => {
      if (value !== null) this.#kinds[i] = together(this.#kinds[i], kindOf(value));
    });
  }

  /** A column without any value is one of texts. */
  result(): { name: string; kind: KeptKind }[] {
    return this.columns.map((name, i) => ({ name, kind: this.#kinds[i] ?? 'text' }));
  }
}

function kindOf(value: KeptValue): KeptKind {
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return 'json';
}

function together(a: KeptKind | undefined, b: KeptKind): KeptKind {
  if (a === undefined || a === b) return b;
  const areNumbers = [a, b].every((kind) => kind === 'integer' || kind === 'number');
  return areNumbers ? 'number' : 'json';
}
