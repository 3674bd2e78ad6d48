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
  /**
   * Rows of the named columns, a batch for each row group; a row group that cannot be decoded is one broken record.
   *
   * @param label the column that is the label: of decimals it is written as decimals
   */
  batches(columns: readonly string[], label: string | null): AsyncGenerator<RawRecord[]>;
}

/**
 * Opens a Parquet file (snappy, gzip, zstd and the other codecs of hyparquet-compressors).
 *
 * @throws Error when the footer cannot be read, e.g. since the file is truncated
 */
export async function openParquet(path: string, limits: DataLimits): Promise<ParquetFile> {
  const { file, metadata } = await parquetFooter(path);
  const schema = parquetSchema(metadata);
  return {
    columns: schema.children.map((child) => child.element.name),
    classNames: classNamesOf(metadata),
    rows: Number(metadata.num_rows),
    batches: (columns, label) => readRowGroups(file, metadata, { columns, label, limits, schema }),
  };
}

/** The metadata of a file. @throws Error when it cannot be read, or would take more than it may */
async function parquetFooter(path: string): Promise<{ file: AsyncBuffer; metadata: FileMetaData }> {
  const file = await asyncBufferFromFile(path);
  await checkFooter(file);
  return { file, metadata: await parquetMetadataAsync(file) };
}

async function* readRowGroups(
  file: AsyncBuffer,
  footer: FileMetaData,
  request: { columns: readonly string[]; label: string | null; limits: DataLimits; schema: SchemaTree },
): AsyncGenerator<RawRecord[]> {
  const { columns, label, schema } = request;
  const decoders = new Map(schema.children.map((column) => [column.element.name, decoderOf(column)]));
  const decode = (column: string, cell: unknown): unknown => decoders.get(column)?.(cell, column === label);
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
      yield rows.map((row, i) => ({
        start: 0,
        end: 0,
        number: first + i,
        problem: null,
        columns: () => columns,
        value: (column) => decode(column, row[column]),
      }));
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
  if (rest === 0n || Number.isNaN(date.getTime())) return date;
  const digits = String(rest).padStart(6, '0').replace(/000$/, '');
  return date.toISOString().replace('Z', `${digits}Z`);
}

/** Reads a cell as hyparquet hands it out. */
type CellDecoder = (cell: unknown, isLabel: boolean) => unknown;

function decoderOf(column: SchemaTree): CellDecoder {
  const { element } = onlyLeaf(column);
  if (isDecimal(element)) {
    const scale = element.scale ?? 0;
    // Of a label the digits tell whether it is a class or a score.
    return (cell, isLabel) => deep(cell, (raw) => decimalOf(raw, scale, isLabel));
  }
  const isFloat = element.type === 'FLOAT' || element.type === 'DOUBLE' || isFloat16(element);
  // 1 in a column of floats is 1.0, as Python writes it: that is what makes the column a regression target.
  if (isFloat && column.children.length === 0)
    return (cell, isLabel) => (isLabel && Number.isInteger(cell) ? `${String(cell)}.0` : cell);
  return (cell) => cell;
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
 * A decimal number from its unscaled digits: as a number where that prints the same digits, else as text. hyparquet's
 * product with a power of ten does not: 57 hundredths become 0.5700000000000001.
 */
function decimalOf(raw: unknown, scale: number, isLabel: boolean): unknown {
  const unscaled = raw instanceof Uint8Array ? bigEndian(raw) : raw;
  if (typeof unscaled !== 'bigint' && typeof unscaled !== 'number') return raw;
  if (scale === 0) return unscaled;
  const digits = String(unscaled)
    .replace('-', '')
    .padStart(scale + 1, '0');
  const text = `${unscaled < 0 ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  const short = text.replace(/\.?0+$/, '');
  return !isLabel && String(Number(text)) === short ? Number(text) : text;
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
