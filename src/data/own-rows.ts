// Rows that a script has, in an array, a generator or a stream of objects such as the cursor of a database: read once, as a
// file is, and with the same checks.
import { createHash } from 'node:crypto';
import { messageOf } from '../util/errors.js';
import type { RawRecord } from './records.js';
import { brokenRecord, columnsOf } from './records.js';
import type { RecordSource } from './source.js';

/**
 * Objects with a value for each column, all at once or one after another.
 *
 * @example
 * ```ts
 * import { loadDataset, type Rows } from 'bertune';
 *
 * async function* cursor(): Rows<{ text: string; label: string }> {
 *   yield { text: 'a fine film', label: 'pos' };
 *   yield { text: 'a dull plot', label: 'neg' };
 * }
 * const data = await loadDataset({ train: cursor() });
 * ```
 */
export type Rows<R extends object = object> = Iterable<R> | AsyncIterable<R>;

/** How many rows are looked at to find the columns, and handed on at once. */
const BATCH_ROWS = 100;

/** Whether a script gave rows rather than names of files. */
export function areRows(given: string | readonly string[] | Rows): given is Rows {
  if (typeof given === 'string') return false;
  if (!Array.isArray(given)) return true;
  return given.length > 0 && typeof given[0] !== 'string';
}

/** The rows of a split, in the place of its files. */
export class OwnRows {
  readonly format = 'rows';
  readonly bytes = 0;
  readonly #hash = createHash('sha256');

  /** @param path for messages: the name of the split */
  constructor(
    readonly path: string,
    private readonly rows: Rows,
  ) {}

  /** Reads as many rows as it takes to know their columns. */
  async open(): Promise<RecordSource> {
    const batches = this.#batches();
    const head = (await batches.next()).value ?? [];
    const hash = this.#hash;
    return {
      columns: columnsOf(head),
      classNames: {},
      notes: [],
      unit: 'row',
      reread: null,
      async *batches(columns) {
        for (let batch = head; batch.length > 0; batch = (await batches.next()).value ?? []) {
          const usable = batch.map((record) => withJson(record, columns));
          for (const { json } of usable) hash.update(json);
          yield usable.map(({ record }) => record);
        }
      },
      // So that a cursor is closed and a generator's `finally` runs, also where no row was asked for.
      close: async () => {
        await batches.return(undefined);
      },
    };
  }

  /** SHA-256 over the values that were read. */
  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`;
  }

  async *#batches(): AsyncGenerator<RawRecord[], undefined> {
    let batch: RawRecord[] = [];
    let number = 0;
    for await (const row of this.rows) {
      batch.push(recordOf(row, ++number));
      if (batch.length < BATCH_ROWS) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
    return undefined;
  }
}

/** Takes the values of a row as they are now: a cursor may fill the same object again. */
function recordOf(given: unknown, number: number): RawRecord {
  const row = withoutModel(given);
  if (typeof row !== 'object' || row === null || Array.isArray(row) || ArrayBuffer.isView(row))
    return brokenRecord(0, 0, number, 'expected an object such as { text: "...", label: "..." }');
  const values = new Map(Object.entries(row).map(([column, value]) => [column, valueOf(value, 0)]));
  const columns = [...values.keys()];
  return {
    start: 0,
    end: 0,
    number,
    problem: null,
    columns: () => columns,
    value: (column) => values.get(column),
  };
}

/** The columns of a row that an object mapper made: its own properties are not them. */
function withoutModel(row: unknown): unknown {
  const isModel = typeof row === 'object' && row !== null && 'toJSON' in row && !ArrayBuffer.isView(row);
  return isModel && typeof row.toJSON === 'function' ? row.toJSON() : row;
}

/** Deeper lists are left as they are: one may hold itself. */
const DEEPEST = 100;

/** As a file would have it: typed arrays and sets are lists, what knows its own JSON (decimals of databases) is that. */
function valueOf(value: unknown, depth: number): unknown {
  if (typeof value === 'number') return Number.isNaN(value) ? null : value;
  if (typeof value !== 'object' || value === null || value instanceof Date || value instanceof Uint8Array)
    return value;
  if (depth > DEEPEST) return value;
  const memberOf = (member: unknown): unknown => valueOf(member, depth + 1);
  if (Array.isArray(value)) return value.map(memberOf);
  if (value instanceof Set || ArrayBuffer.isView(value))
    return Symbol.iterator in value ? Array.from(value as Iterable<unknown>, memberOf) : value;
  return 'toJSON' in value && typeof value.toJSON === 'function' ? (value.toJSON() as unknown) : value;
}

/** A record with the values of its columns as one line, or a bad one where they have no such form. */
function withJson(record: RawRecord, columns: readonly string[]): { record: RawRecord; json: string } {
  const values = columns.map((column) => record.value(column));
  try {
    const json = JSON.stringify(values, (_, value: unknown) =>
      typeof value === 'bigint' ? `${value}n` : value,
    );
    return { record, json: `${json}\n` };
  } catch (error) {
    // A value that holds itself, which no file could hold.
    const [reason] = messageOf(error).split('\n');
    return { record: brokenRecord(0, 0, record.number, `a value is no JSON: ${reason}`), json: '\n' };
  }
}
