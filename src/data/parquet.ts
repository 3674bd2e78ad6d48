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
  return {
    columns: parquetSchema(metadata).children.map((child) => child.element.name),
    classNames: classNamesOf(metadata),
    rows: Number(metadata.num_rows),
    batches: (columns, label) =>
      readRowGroups(file, metadata, { columns, label, limits, schema: parquetSchema(metadata) }),
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
  metadata: FileMetaData,
  request: { columns: readonly string[]; label: string | null; limits: DataLimits; schema: SchemaTree },
): AsyncGenerator<RawRecord[]> {
  const { columns, label } = request;
  const element = parquetSchema(metadata).children.find(({ element: { name } }) => name === label)?.element;
  const write = element === undefined ? null : writerOf(element);
  const parsers = { stringFromBytes, timestampFromMicroseconds, timestampFromNanoseconds };
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const options = { file, metadata, columns: [...columns], rowStart, rowEnd, compressors, parsers };
    try {
      await checkRowGroup(file, group, request);
      const rows: Record<string, unknown>[] = await parquetReadObjects(options);
      const first = rowStart + 1;
      yield rows.map((row, i) => parquetRecord(row, first + i, columns, write));
    } catch (error) {
      const range = `rows ${rowStart + 1} to ${rowEnd} cannot be decoded (damaged file?)`;
      yield [brokenRecord(0, 0, rowStart + 1, `${range}: ${messageOf(error)}`)];
    }
    rowStart = rowEnd;
  }
}

function parquetRecord(
  row: Readonly<Record<string, unknown>>,
  number: number,
  columns: readonly string[],
  write: ((value: number) => string) | null,
): RawRecord {
  const written = (column: string): string | null => {
    const cell = row[column];
    return write !== null && typeof cell === 'number' ? write(cell) : null;
  };
  return {
    start: 0,
    end: 0,
    number,
    problem: null,
    columns: () => columns,
    value: (column) => row[column],
    written,
  };
}

/**
 * How the numbers of a label column are written, so that they mean what they mean in a text file: 1 in a column of decimals
 * is 1.0, as Python writes it, which makes the column a regression target; single precision has no digits of its own beyond
 * the ninth. Null for a type whose numbers JavaScript writes alike.
 */
function writerOf({
  type,
  converted_type: converted,
  logical_type: logical,
  scale = 0,
}: SchemaElement): ((value: number) => string) | null {
  if (converted === 'DECIMAL') return scale > 0 ? (value) => value.toFixed(scale) : null;
  const isSingle = type === 'FLOAT';
  if (!isSingle && type !== 'DOUBLE' && logical?.type !== 'FLOAT16') return null;
  return (value) => {
    if (Number.isInteger(value)) return `${BigInt(value)}.0`;
    return String(isSingle ? shortestSingle(value) : value);
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

/** A Date holds milliseconds: what is finer is written out, so that two moments never become one. */
function timestampFromMicroseconds(micros: bigint): Date | string {
  return moment(micros, 1_000n, 6);
}

function timestampFromNanoseconds(nanos: bigint): Date | string {
  return moment(nanos, 1_000_000n, 9);
}

function moment(count: bigint, perMillisecond: bigint, digits: number): Date | string {
  // Rounded down, also before 1970.
  const rest = ((count % perMillisecond) + perMillisecond) % perMillisecond;
  const date = new Date(Number((count - rest) / perMillisecond));
  if (Number.isNaN(date.getTime())) return String(count);
  if (rest === 0n) return date;
  return date.toISOString().replace('Z', `${rest.toString().padStart(digits - 3, '0')}Z`);
}

function stringFromBytes(bytes: Uint8Array | undefined): string | symbol | undefined {
  if (bytes === undefined) return undefined;
  if (!isUtf8(bytes)) return NOT_UTF8;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
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
