// Parquet's lengths and counts, checked before hyparquet acts on them: it was written for files that are meant well.
import { Decompress } from 'fzstd';
import type { AsyncBuffer, ColumnMetaData, FileMetaData, SchemaTree } from 'hyparquet';
import { compressors as decompressors } from 'hyparquet-compressors';
import { UsageError } from '../util/errors.js';
import { type DataLimits, mostDecompressed, ZstdFrames } from './compression.js';
import { ENCRYPTED_PARQUET } from './file-kinds.js';
import {
  checkRuns,
  numberOf,
  PageReader,
  structOf,
  ThriftReader,
  type ThriftStruct,
  type ThriftValue,
  unpackDeltas,
} from './parquet-encoding.js';

/** Values of one row group that a column may have whatever its size: a run takes no room. */
const FREE_VALUES = 2 ** 20;
const MAX_FOOTER_BYTES = 32 * 2 ** 20;
/** Fields of the footer. */
const SCHEMA = 2;
const ROW_GROUPS = 4;
/** Fields of an element of the schema. */
const NAME = 4;
const CHILDREN = 5;
/** Its metadata are in the open, its columns need not be. */
const ENCRYPTION_ALGORITHM = 8;
/** Lists in lists need two levels each. */
const MAX_LEVELS = 100;
/** Encodings. */
const PLAIN_DICTIONARY = 2;
const RLE = 3;
const DELTA_BYTE_ARRAY = 7;
const RLE_DICTIONARY = 8;

/** fzstd, held to the size that the page header has. */
export const compressors: typeof decompressors = { ...decompressors, ZSTD: unzstd };

/**
 * Reads the footer once, so that all in it is known to be there.
 *
 * @param path for the message
 * @throws UsageError for a file that is encrypted; Error naming the fault of others
 */
export async function checkFooter(file: AsyncBuffer, path: string): Promise<void> {
  if (file.byteLength < 12) throw new Error('it has fewer than 12 bytes');
  const tail = new DataView(await file.slice(file.byteLength - 8, file.byteLength));
  const length = tail.getUint32(0, true);
  if (tail.getUint32(4, true) !== 0x31524150) throw new Error('it does not end with PAR1');
  if (length > file.byteLength - 12) throw new Error('its metadata are longer than the file');
  if (length > MAX_FOOTER_BYTES) throw new Error(`its metadata have ${length} bytes, more than 32 MiB`);
  const start = file.byteLength - 8 - length;
  const reader = new ThriftReader(new Uint8Array(await file.slice(start, start + length)), 0);
  const fields = reader.struct();
  if (fields.has(ENCRYPTION_ALGORITHM)) throw new UsageError(`${path} ${ENCRYPTED_PARQUET}`);
  const [schema, groups] = [fields.get(SCHEMA), fields.get(ROW_GROUPS)];
  if (!Array.isArray(schema) || !Array.isArray(groups))
    throw new Error('its metadata have no schema or no row groups');
  checkSchema(schema);
}

/** The elements of a tree, each before those below it. */
function checkSchema(elements: readonly ThriftValue[]): void {
  /** How many are still to come, level by level. */
  const open: number[] = [];
  for (const element of elements) {
    if (!(element instanceof Map && element.get(NAME) instanceof Uint8Array))
      throw new Error('a column in its metadata has no name');
    const children = element.has(CHILDREN) ? numberOf(element, CHILDREN) : 0;
    within(children, elements.length, 'the number of parts of a column');
    if (open.length > 0) open.push((open.pop() ?? 0) - 1);
    open.push(children);
    if (open.length > MAX_LEVELS) throw new Error(`its columns have more than ${MAX_LEVELS} levels`);
    while (open.at(-1) === 0) open.pop();
  }
}

/**
 * Reads the headers of all pages of a row group's columns, and counts what they would become.
 *
 * @throws Error naming the fault
 */
export async function checkRowGroup(
  file: AsyncBuffer,
  group: FileMetaData['row_groups'][number],
  { columns, schema, limits }: { columns: readonly string[]; schema: SchemaTree; limits: DataLimits },
): Promise<void> {
  const rows = Number(group.num_rows);
  for (const { meta_data: meta } of group.columns) {
    const [column = ''] = meta?.path_in_schema ?? [];
    if (meta === undefined || !columns.includes(column)) continue;
    const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
    const size = Number(meta.total_compressed_size);
    if (!(start >= 0 && size >= 0 && start + size <= file.byteLength))
      throw new Error(`the column ${JSON.stringify(column)} lies outside the file`);
    const most = Math.max(FREE_VALUES, size);
    if (!(rows >= 0 && rows <= most)) throw new Error(`a row group of ${size} bytes claims ${rows} rows`);
    const chunk = new ColumnChunk(new Uint8Array(await file.slice(start, start + size)), meta, schema);
    if (chunk.check(most, mostDecompressed(size, limits)) < rows)
      throw new Error(`the column ${JSON.stringify(column)} has fewer values than rows`);
  }
}

/** The pages of a column in a row group. */
class ColumnChunk {
  private readonly path: SchemaTree[];

  constructor(
    private readonly bytes: Uint8Array,
    private readonly meta: ColumnMetaData,
    schema: SchemaTree,
  ) {
    this.path = pathOf(schema, meta.path_in_schema);
  }

  /** @returns the number of values */
  check(mostValues: number, mostBytes: number): number {
    let values = 0;
    let size = 0;
    for (let offset = 0; offset < this.bytes.length - 1;) {
      const reader = new ThriftReader(this.bytes, offset);
      const header = reader.struct();
      const length = within(
        numberOf(header, 3),
        this.bytes.length - reader.offset,
        'the compressed size of a page',
      );
      size += within(numberOf(header, 2), mostBytes - size, 'the size of a page');
      values += this.checkPage(header, this.bytes.subarray(reader.offset, reader.offset + length), {
        values: mostValues - values,
        bytes: mostBytes - size,
      });
      offset = reader.offset + length;
    }
    return values;
  }

  /** @returns its number of values; none for a dictionary */
  private checkPage(header: ThriftStruct, page: Uint8Array, most: { values: number; bytes: number }): number {
    const size = numberOf(header, 2);
    const [first, second] = [structOf(header, 5), structOf(header, 8)];
    switch (numberOf(header, 1)) {
      case 0: {
        const count = within(numberOf(first, 1), most.values, 'the number of values of a page');
        const reader = new PageReader(this.decompressed(page, size));
        const [repeats, depths] = [this.levels(isRepeated), this.levels(isOptional)];
        this.checkFirst(reader, repeats, count);
        const present = this.checkFirst(reader, depths, count);
        this.checkValues(reader, numberOf(first, 2), present, most.bytes);
        return count;
      }
      case 2:
        within(numberOf(structOf(header, 7), 1), size, 'the number of entries of a dictionary');
        return 0;
      case 3: {
        const count = within(numberOf(second, 1), most.values, 'the number of values of a page');
        within(numberOf(second, 2), count, 'the number of nulls of a page');
        this.checkSecond(page, size, second ?? new Map(), { count, bytes: most.bytes });
        return count;
      }
      default:
        throw new Error('a page is of an unknown type');
    }
  }

  /** Levels in a page of the first version. @returns how many are the highest: of depths, the values that are there */
  private checkFirst(reader: PageReader, most: number, count: number): number {
    if (most === 0) return count;
    const end = reader.length() + reader.offset;
    const highest = checkRuns(reader, widthOf(most), count, most);
    reader.offset = end;
    return highest;
  }

  /** A page of the second version has its levels outside of what is compressed. */
  private checkSecond(
    page: Uint8Array,
    size: number,
    header: ThriftStruct,
    { count, bytes }: { count: number; bytes: number },
  ): void {
    const definitions = within(numberOf(header, 5), page.length, 'the length of levels');
    const repetitions = within(numberOf(header, 6), page.length - definitions, 'the length of levels');
    const [depths, repeats] = [this.levels(isOptional), this.levels(isRepeated)];
    if (repeats > 0) checkRuns(new PageReader(page), widthOf(repeats), count);
    if (depths > 0) checkRuns(new PageReader(page, repetitions), widthOf(depths), count);
    const body = page.subarray(repetitions + definitions);
    const content =
      header.get(7) === false ? body : this.decompressed(body, size - definitions - repetitions);
    this.checkValues(new PageReader(content), numberOf(header, 4), count - numberOf(header, 2), bytes);
  }

  /** @param count values that are not null: only these are written */
  private checkValues(reader: PageReader, encoding: number, count: number, mostBytes: number): void {
    const isBoolean = this.meta.type === 'BOOLEAN';
    if (encoding === RLE && isBoolean) {
      reader.offset += 4;
      if (count > 0) checkRuns(reader, 1, count);
    } else if (encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY || encoding === RLE) {
      const width = count > 0 ? reader.byte() : 0;
      if (width > 0) checkRuns(reader, width, count);
    } else if (encoding === DELTA_BYTE_ARRAY) {
      const [prefixes, suffixes] = [unpackDeltas(reader, count), unpackDeltas(reader, count)];
      within(sumOf(prefixes) + sumOf(suffixes), mostBytes, 'the length of all texts of a page');
    }
  }

  private decompressed(page: Uint8Array, size: number): Uint8Array {
    if (this.meta.codec === 'UNCOMPRESSED') return page;
    const decompress = compressors[this.meta.codec];
    if (decompress === undefined) throw new Error(`the codec ${this.meta.codec} is unknown`);
    return decompress(page, within(size, Infinity, 'the size of a page'));
  }

  private levels(counts: (node: SchemaTree) => boolean): number {
    return this.path.filter(counts).length;
  }
}

function isOptional({ element }: SchemaTree): boolean {
  return element.repetition_type !== 'REQUIRED';
}

function isRepeated({ element }: SchemaTree): boolean {
  return element.repetition_type === 'REPEATED';
}

/** The elements on the way to a column, without the root. */
function pathOf(schema: SchemaTree, names: readonly string[]): SchemaTree[] {
  const path: SchemaTree[] = [];
  let node = schema;
  for (const name of names) {
    const child = node.children.find(({ element }) => element.name === name);
    if (child === undefined)
      throw new Error(`the column ${JSON.stringify(names.join('.'))} is not in the schema`);
    path.push(child);
    node = child;
  }
  return path;
}

/** Bits of a level. */
function widthOf(most: number): number {
  return 32 - Math.clz32(most);
}

function within(value: number, most: number, what: string): number {
  if (value >= 0 && value <= most) return value;
  throw new Error(`${what} is ${value}, out of bounds`);
}

function unzstd(input: Uint8Array, length: number): Uint8Array {
  new ZstdFrames().push(input);
  const output = new Uint8Array(length);
  let at = 0;
  const decoder = new Decompress((block) => {
    within(at + block.length, length, 'the size of a zstd page');
    output.set(block, at);
    at += block.length;
  });
  decoder.push(input, true);
  return output.subarray(0, at);
}

function sumOf(lengths: Int32Array): number {
  return lengths.reduce((total, one) => total + Math.max(one, 0), 0);
}
