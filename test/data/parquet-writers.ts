// Parquet files of every writer, in its encodings, page versions and codecs. Expected: what pyarrow reads from the same
// files (scripts/reference/parquet_writers.py).
import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { DEFAULT_LIMITS } from '../../dist/data/index.js';
import { openParquet } from '../../dist/data/parquet.js';
import { FIXTURES, openPaths } from '../fixtures/splits.js';

const FOLDER = path.join(FIXTURES, '../parquet');
const read: { files: Record<string, Record<string, number>>; values: unknown[][] } = JSON.parse(
  readFileSync(path.join(FOLDER, 'rows.json'), 'utf8'),
);
const WRITERS = ['arrow-rs', 'duckdb', 'fastparquet', 'parquet-mr', 'polars', 'pyarrow'];

async function columnsOf(file: string, names: readonly string[]): Promise<Record<string, unknown[]>> {
  const parquet = await openParquet(path.join(FOLDER, file), DEFAULT_LIMITS);
  const columns: Record<string, unknown[]> = Object.fromEntries(names.map((name) => [name, []]));
  for await (const batch of parquet.batches(names)) {
    for (const record of batch) {
      if (record.problem !== null) throw new Error(`${file}: ${record.problem}`);
      for (const name of names) columns[name]?.push(record.value(name));
    }
  }
  return columns;
}

/** As rows.json has it: numbers that JSON does not hold as strings, times without the zeros at their end and the zone. */
function plain(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (value instanceof Date) return plain(value.toISOString());
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'symbol') return value.description;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, plain(own)]));
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d/.test(value))
    return value
      .replace(/Z$/, '')
      .replace(/\.?0+$/, '')
      .replace(/T00:00(:00)?$/, '')
      .slice(0, 29);
  if (typeof value === 'string' && /^-?\d+\.\d+$/.test(value)) return value.replace(/\.?0+$/, '');
  return value;
}

void t.test('every writer, encoding and codec', async (test) => {
  const files = Object.keys(read.files);
  test.same([...new Set(files.map((file) => file.split(/-(?!rs|mr)/)[0]))], WRITERS);
  test.ok(files.length > 60, `${files.length} files`);
  for (const file of files) {
    const expected = read.files[file] ?? {};
    const names = Object.keys(expected);
    const columns = await columnsOf(file, names);
    for (const name of names) {
      const found = columns[name]?.map(plain);
      const values = read.values[expected[name] ?? 0];
      // Bytes that are no text are refused where a text is needed.
      const wanted = name === 'bytes' ? values?.map((value) => value && 'not UTF-8') : values?.map(plain);
      const row = wanted?.findIndex((value, i) => JSON.stringify(value) !== JSON.stringify(found?.[i]));
      if (found?.length === wanted?.length && row === -1) test.pass(`${file} ${name}`);
      else
        test.fail(`${file} ${name} row ${row}`, {
          wanted: wanted?.[row ?? 0],
          found: found?.[row ?? 0],
          rows: found?.length,
        });
    }
  }
});
void t.test('labels and carried columns of all their digits', async (test) => {
  const skip = { badRows: 'skip' } as const;
  const file = path.join(FOLDER, 'pyarrow-v1-dict-none.parquet');
  const whole = await openPaths(test, [file], { labelColumn: 'whole', textColumn: 'text' });
  test.equal(whole.labelKind, 'integer', 'a decimal without digits behind the point');
  const decimal = await openPaths(test, [file], { labelColumn: 'decimal', textColumn: 'text', ...skip });
  test.equal(decimal.labelKind, 'float');
  test.equal((await decimal.preview(3))[2]?.label, '-3.89');
  const float16 = path.join(FOLDER, 'pyarrow-v1-types.parquet');
  const half = await openPaths(test, [float16], { labelColumn: 'float16', textColumn: 'text', ...skip });
  test.equal(half.labelKind, 'float', 'whole numbers among them, too');
  const carried = ['time_us', 'time_ns', 'int64', 'decimal'];
  const rows = await openPaths(test, [file], { needsLabels: false, passthroughColumns: carried });
  const [fourth] = await rows.read([3]);
  test.same(fourth?.passthrough, [
    '2024-03-01T02:59:59.123459Z',
    '2024-03-01T02:59:59.000000003Z',
    '4611686018427387877', // -27 modulo 2 ** 62
    -3.89,
  ]);
  test.same((await rows.read([50]))[0]?.passthrough?.[2], '1436889279541142473');
});
