// All columns of a file and what they seem to hold, in one pass and bounded memory.
import { createHash } from 'node:crypto';

import { isIntegerText, isNumberText, type RawRecord } from '../data/index.js';

/** Up to so many different values of a column are counted. */
const MOST_VALUES = 10_000;
/** Longer values are remembered by a digest. */
const LONGEST_KEY = 100;
/** A column of so few different values has them listed. */
const MOST_SHOWN = 10;

/** What all values of a column look like: texts of digits are integers, as CSV writes them. */
export type ColumnKind =
  'integers' | 'numbers' | 'booleans' | 'texts' | 'lists' | 'objects' | 'mixed' | 'nothing';

export interface ColumnReport {
  name: string;
  kind: ColumnKind;
  /** Rows without a value. */
  missing: number;
  /** Different values; null for more than 10,000. */
  different: number | null;
  /** How often each value occurs, the most frequent first, where there are at most 10 that are short. */
  values?: Record<string, number>;
  /** Of numbers. */
  range?: { lowest: number; highest: number };
  /** Of texts, in characters. */
  characters?: { shortest: number; mean: number; longest: number };
}

/** Describes the columns in the order in which they turn up. Rows that are broken are skipped. */
export async function describeColumns(batches: AsyncIterable<readonly RawRecord[]>): Promise<ColumnReport[]> {
  const columns = new Map<string, Column>();
  let rows = 0;
  for await (const batch of batches) {
    for (const record of batch) {
      if (record.problem !== null) continue;
      rows += 1;
      for (const name of record.columns()) {
        const column = columns.get(name) ?? new Column();
        columns.set(name, column);
        column.add(record.value(name));
      }
    }
  }
  return Array.from(columns, ([name, column]) => ({ name, ...column.report(rows) }));
}

class Column {
  readonly #counts = new Map<string, number>();
  readonly #kinds = new Set<ColumnKind>();
  #rows = 0;
  #isCountable = true;
  #hasLongKeys = false;
  #lowest = Infinity;
  #highest = -Infinity;
  #shortest = Infinity;
  #longest = 0;
  #characters = 0;

  add(value: unknown): void {
    if (value === undefined || value === null || value === '') return;
    this.#rows += 1;
    const kind = kindOf(value);
    this.#kinds.add(kind);
    const written = textOf(value);
    if (kind === 'integers' || kind === 'numbers') {
      this.#lowest = Math.min(this.#lowest, Number(written));
      this.#highest = Math.max(this.#highest, Number(written));
    }
    this.#shortest = Math.min(this.#shortest, written.length);
    this.#longest = Math.max(this.#longest, written.length);
    this.#characters += written.length;
    this.#count(written);
  }

  #count(written: string): void {
    if (!this.#isCountable) return;
    const isLong = written.length > LONGEST_KEY;
    this.#hasLongKeys ||= isLong;
    const key = isLong ? createHash('sha1').update(written).digest('base64') : written;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    if (this.#counts.size <= MOST_VALUES) return;
    this.#isCountable = false;
    this.#counts.clear();
  }

  report(rows: number): Omit<ColumnReport, 'name'> {
    const kind = together(this.#kinds);
    const isShown = this.#isCountable && this.#counts.size <= MOST_SHOWN && !this.#hasLongKeys;
    const [shortest, longest] = [this.#shortest, this.#longest];
    return {
      kind,
      missing: rows - this.#rows,
      different: this.#isCountable ? this.#counts.size : null,
      ...(isShown &&
        this.#rows > 0 && {
          values: Object.fromEntries([...this.#counts].toSorted(([, a], [, b]) => b - a)),
        }),
      ...((kind === 'integers' || kind === 'numbers') && {
        range: { lowest: this.#lowest, highest: this.#highest },
      }),
      ...(kind === 'texts' && {
        characters: { shortest, mean: this.#characters / this.#rows, longest },
      }),
    };
  }
}

function kindOf(value: unknown): ColumnKind {
  if (typeof value === 'string' || typeof value === 'symbol') return kindOfText(String(value));
  if (typeof value === 'bigint') return 'integers';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integers' : 'numbers';
  if (typeof value === 'boolean') return 'booleans';
  return Array.isArray(value) ? 'lists' : 'objects';
}

function kindOfText(text: string): ColumnKind {
  const trimmed = text.trim();
  if (isIntegerText(trimmed)) return 'integers';
  return isNumberText(trimmed) ? 'numbers' : 'texts';
}

/** A title may be "1984": texts among which there are numbers are texts. */
function together(kinds: ReadonlySet<ColumnKind>): ColumnKind {
  const all = [...kinds];
  const areAmong = (...allowed: ColumnKind[]): boolean => all.every((kind) => allowed.includes(kind));
  if (all.length === 0) return 'nothing';
  if (all.length === 1) return all[0] ?? 'nothing';
  if (areAmong('integers', 'numbers')) return 'numbers';
  return areAmong('integers', 'numbers', 'texts') ? 'texts' : 'mixed';
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'symbol' || typeof value === 'bigint') return value.toString();
  const written: unknown = JSON.stringify(value, (_, own: unknown) =>
    typeof own === 'bigint' ? String(own) : own,
  );
  return typeof written === 'string' ? written : '';
}
