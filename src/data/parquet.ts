// Parquet files through hyparquet, one row group at a time and only the columns in use.
import { isUtf8 } from 'node:buffer';
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
} from 'hyparquet';
import { z } from 'zod';
import { messageOf } from '../util/errors.js';
import type { DataLimits } from './compression.js';
import { checkFooter, checkRowGroup, compressors } from './parquet-check.js';
import { brokenRecord, type RawRecord } from './records.js';

/** Stands for a string that is not UTF-8, which hyparquet by itself would decode to replacement characters. */
const NOT_UTF8 = Symbol('not UTF-8');

/** A Parquet file whose footer could be read. */
export interface ParquetFile {
  readonly columns: readonly string[];
  /** ClassLabel names that `datasets` keeps in the metadata, per column. */
  readonly classNames: Readonly<Record<string, readonly string[]>>;
  readonly rows: number;
  /** Rows of the named columns, a batch for each row group; a row group that cannot be decoded is one broken record. */
  batches(columns: readonly string[]): AsyncGenerator<RawRecord[]>;
}

/**
 * Opens a Parquet file (snappy, gzip, zstd and the other codecs of hyparquet-compressors).
 *
 * @throws UsageError for an encrypted file; Error when the footer cannot be read, e.g. since the file is truncated
 */
export async function openParquet(path: string, limits: DataLimits): Promise<ParquetFile> {
  const { file, metadata } = await parquetFooter(path);
  const schema = parquetSchema(metadata);
  return {
    columns: schema.children.map((child) => child.element.name),
    classNames: classNamesOf(metadata),
    rows: Number(metadata.num_rows),
    batches: (columns) => readRowGroups(file, metadata, { columns, limits, schema }),
  };
}

/** The metadata of a file. @throws Error when it cannot be read, or would take more than it may */
async function parquetFooter(path: string): Promise<{ file: AsyncBuffer; metadata: FileMetaData }> {
  const file = await asyncBufferFromFile(path);
  await checkFooter(file, path);
  return { file, metadata: await parquetMetadataAsync(file) };
}

async function* readRowGroups(
  file: AsyncBuffer,
  footer: FileMetaData,
  request: { columns: readonly string[]; limits: DataLimits; schema: SchemaTree },
): AsyncGenerator<RawRecord[]> {
  const { columns, schema } = request;
  const decoders = new Map(schema.children.map((column) => [column.element.name, decoderOf(column)]));
  const metadata = { ...footer, schema: footer.schema.map(asHyparquetMayHaveIt) };
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const options = {
      file,
      metadata,
      columns: [...columns],
      rowStart,
      rowEnd,
      compressors,
      parsers,
      utf8: false,
    };
    try {
      await checkRowGroup(file, group, request);
      const rows: Record<string, unknown>[] = await parquetReadObjects(options);
      const first = rowStart + 1;
      yield rows.map((row, i) => parquetRecord(row, first + i, columns, decoders));
    } catch (error) {
      const range = `rows ${rowStart + 1} to ${rowEnd} cannot be decoded (damaged file?)`;
      yield [brokenRecord(0, 0, rowStart + 1, `${range}: ${messageOf(error)}`)];
    }
    rowStart = rowEnd;
  }
}

/** What hyparquet makes of times has three digits, and of texts replacement characters for what is no UTF-8. */
const parsers = {
  stringFromBytes(bytes: Uint8Array | undefined): string | symbol | undefined {
    if (bytes === undefined) return undefined;
    if (!isUtf8(bytes)) return NOT_UTF8;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  },
  timestampFromMicroseconds: (micros: bigint) => timeOf(micros * 1000n),
  timestampFromNanoseconds: timeOf,
};

/** A time as a Date where that holds it, else as ISO 8601 with the digits of its microseconds or nanoseconds. */
function timeOf(nanos: bigint): Date | string {
  const rest = ((nanos % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const date = new Date(Number((nanos - rest) / 1_000_000n));
  if (Number.isNaN(date.getTime())) return String(nanos);
  if (rest === 0n) return date;
  const digits = String(rest).padStart(6, '0').replace(/000$/, '');
  return date.toISOString().replace('Z', `${digits}Z`);
}

/** How the cells of a column are read from what hyparquet returns. */
interface CellDecoder {
  value(cell: unknown): unknown;
  /** The digits of a number, as `RawRecord.written`. */
  written(cell: unknown): string | null;
}

function parquetRecord(
  row: Readonly<Record<string, unknown>>,
  number: number,
  columns: readonly string[],
  decoders: ReadonlyMap<string, CellDecoder>,
): RawRecord {
  return {
    start: 0,
    end: 0,
    number,
    problem: null,
    columns: () => columns,
    value: (column) => decoders.get(column)?.value(row[column]),
    written: (column) => decoders.get(column)?.written(row[column]) ?? null,
  };
}

/**
 * Numbers mean what they mean in a text file: 1 in a column of floats or decimals is written 1.0, as Python does, which makes
 * the column a regression target; single precision has no digits of its own beyond the ninth.
 */
function decoderOf(column: SchemaTree): CellDecoder {
  const { element } = onlyLeaf(column);
  if (isDecimal(element)) {
    const scale = element.scale ?? 0;
    return {
      value: (cell) => deep(cell, (raw) => decimalOf(raw, scale)),
      written: (cell) => {
        const unscaled = scale === 0 ? null : unscaledOf(cell);
        return unscaled === null ? null : decimalDigits(unscaled, scale);
      },
    };
  }
  const isSingle = element.type === 'FLOAT';
  const isFloat = isSingle || element.type === 'DOUBLE' || isFloat16(element);
  return {
    // Bytes of a fixed length may be a text, and are no list of numbers.
    value: (cell) => deep(cell, (raw) => (raw instanceof Uint8Array ? Buffer.from(raw) : raw)),
    written: (cell) => {
      if (!isFloat || typeof cell !== 'number') return null;
      if (Number.isInteger(cell)) return `${BigInt(cell)}.0`;
      return String(isSingle ? shortestSingle(cell) : cell);
    },
  };
}

/** The number of the fewest digits that is the same in single precision. */
function shortestSingle(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** The leaf of a column that has only one: of a list, what it lists. */
function onlyLeaf(column: SchemaTree): SchemaTree {
  let node = column;
  for (
    let [child, other] = node.children;
    child !== undefined && other === undefined;
    [child, other] = node.children
  )
    node = child;
  return node;
}

function deep(cell: unknown, decode: (raw: unknown) => unknown): unknown {
  return Array.isArray(cell) ? cell.map((one) => deep(one, decode)) : decode(cell);
}

function isDecimal({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  return converted === 'DECIMAL' || logical?.type === 'DECIMAL';
}

function isFloat16({ logical_type: logical }: SchemaElement): boolean {
  return logical?.type === 'FLOAT16';
}

/**
 * The digits of a decimal number, from the unscaled ones: hyparquet's product with a power of ten is 0.5700000000000001 for
 * 57 hundredths.
 */
function decimalDigits(unscaled: bigint | number, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(unscaled)
    .replace('-', '')
    .padStart(scale + 1, '0');
  return `${unscaled < 0 ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** A decimal number as a number where that prints the same digits, else as text. */
function decimalOf(raw: unknown, scale: number): unknown {
  const unscaled = unscaledOf(raw);
  if (unscaled === null) return raw;
  if (scale === 0) return unscaled;
  const text = decimalDigits(unscaled, scale);
  return String(Number(text)) === text.replace(/\.?0+$/, '') ? Number(text) : text;
}

function unscaledOf(raw: unknown): bigint | number | null {
  if (raw instanceof Uint8Array) return bigEndian(raw);
  return typeof raw === 'bigint' || typeof raw === 'number' ? raw : null;
}

function bigEndian(bytes: Uint8Array): bigint {
  const value = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return BigInt.asIntN(8 * bytes.length, value);
}

/**
 * An element of the schema for hyparquet: bytes without a type are texts, as Hive, Impala and early versions of Spark write
 * them, and decimals in a column are left as they are.
 */
function asHyparquetMayHaveIt(element: SchemaElement): SchemaElement {
  const { converted_type: converted, logical_type: logical, ...rest } = element;
  if (isDecimal(element)) return rest;
  const isPlain = element.type === 'BYTE_ARRAY' && converted === undefined && logical === undefined;
  return isPlain ? { ...element, converted_type: 'UTF8' } : element;
}

/** A ClassLabel among the features that `datasets` writes as JSON under the key `huggingface`, alone or in a list. */
const CLASS_LABEL = z.object({ names: z.array(z.string()) });
const FEATURE = z.union([
  CLASS_LABEL,
  z.object({ feature: CLASS_LABEL }).transform(({ feature }) => feature),
  z.tuple([CLASS_LABEL]).transform(([feature]) => feature),
]);
const METADATA = z.object({ info: z.object({ features: z.record(z.string(), z.unknown()) }) });

function classNamesOf(metadata: FileMetaData): Record<string, readonly string[]> {
  const text = metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value;
  const found: Record<string, readonly string[]> = {};
  const metadataOfDatasets = METADATA.safeParse(parseJson(text ?? '')).data;
  for (const [column, feature] of Object.entries(metadataOfDatasets?.info.features ?? {})) {
    const classLabel = FEATURE.safeParse(feature).data;
    if (classLabel !== undefined) found[column] = classLabel.names;
  }
  return found;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
