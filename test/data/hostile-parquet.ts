// Pages of Parquet by someone who means harm, checked before hyparquet reads them. Headers are in Thrift's compact
// protocol, by https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileMetaData, SchemaTree } from 'hyparquet';
import t from 'tap';

import { DEFAULT_LIMITS } from '../../dist/data/limits.js';
import { checkRowGroup } from '../../dist/data/parquet-check.js';
import { classNamesInParquet } from '../../dist/hub/dataset-card.js';
import { frame } from '../../scripts/fuzz/formats/zstd.mjs';

const PLAIN = 0;
const DELTA_BYTE_ARRAY = 7;
const VALUES = 64;

function varint(value: number): number[] {
  const rest = Math.floor(value / 128);
  return rest === 0 ? [value] : [(value % 128) + 128, ...varint(rest)];
}

/** A page of version 1 with its header: type, two sizes, and how many values in which encoding. */
function page(content: Uint8Array, header: { size: number; encoding: number }): Buffer {
  const number = (value: number): number[] => [0x15, ...varint(2 * value)];
  const values = [...number(VALUES), ...number(header.encoding), ...number(3), ...number(3), 0];
  const sizes = [...number(0), ...number(header.size), ...number(content.length)];
  return Buffer.concat([Buffer.from([...sizes, 0x2c, ...values, 0]), content]);
}

/** Checks a file that is one page of a column of texts. */
async function checked(bytes: Buffer, codec: 'UNCOMPRESSED' | 'ZSTD'): Promise<void> {
  const element = { name: 'text', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED' } as const;
  const leaf: SchemaTree = { children: [], count: 1, element, path: ['text'] };
  const schema: SchemaTree = { children: [leaf], count: 2, element: { name: 'schema' }, path: [] };
  const meta = {
    type: 'BYTE_ARRAY' as const,
    encodings: [],
    path_in_schema: ['text'],
    codec,
    num_values: BigInt(VALUES),
    total_uncompressed_size: 0n,
    total_compressed_size: BigInt(bytes.length),
    data_page_offset: 0n,
  };
  const group: FileMetaData['row_groups'][number] = {
    columns: [{ file_offset: 0n, meta_data: meta }],
    total_byte_size: 0n,
    num_rows: BigInt(VALUES),
  };
  const slice = (start: number, end?: number): ArrayBuffer =>
    new Uint8Array(bytes.subarray(start, end)).buffer;
  const limits = DEFAULT_LIMITS;
  await checkRowGroup({ byteLength: bytes.length, slice }, group, { columns: ['text'], schema, limits });
}

/** The same number for all values: in a block of four miniblocks all differences are 0, in no bits. */
function same(value: number): number[] {
  return [...varint(128), 4, VALUES, ...varint(2 * value), 0, 0, 0, 0, 0];
}

t.test('texts that repeat a gigabyte of what is before them', async (t) => {
  const texts = (prefix: number, suffix: number): Buffer => {
    const content = Uint8Array.from([...same(prefix), ...same(suffix)]);
    return page(content, { size: content.length, encoding: DELTA_BYTE_ARRAY });
  };
  await t.rejects(checked(texts(2 ** 30, 0), 'UNCOMPRESSED'), {
    message: `the length of all texts of a page is ${VALUES * 2 ** 30}, out of bounds`,
  });
  await t.rejects(checked(texts(0, 2 ** 30), 'UNCOMPRESSED'), { message: /length of all texts/ });
  await t.resolves(checked(texts(0, 1), 'UNCOMPRESSED'));
});

t.test('a zstd page that becomes more than its header says', async (t) => {
  const content = frame(Buffer.alloc(2 ** 20, 'a'));
  t.ok(content.length < 100, 'a megabyte in a few bytes');
  await t.rejects(checked(page(content, { size: 1000, encoding: PLAIN }), 'ZSTD'), {
    message: /^the size of a zstd page is \d+, out of bounds$/,
  });
  await t.resolves(checked(page(content, { size: 2 ** 20, encoding: PLAIN }), 'ZSTD'));
});

t.test('class names are looked for in a footer only after it was checked', async (t) => {
  // Lists in lists, each said to be of 30 million: hyparquet by itself makes room for all of them.
  const lists = Array.from({ length: 4 }, () => [0xf9, ...varint(30_000_000)]);
  const footer = Buffer.from([0x19, ...lists.flat(), 0]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  const path = join(t.testdir(), 'liar.parquet');
  writeFileSync(path, Buffer.concat([Buffer.from('PAR1'), footer, length, Buffer.from('PAR1')]));
  const before = process.resourceUsage().maxRSS;
  t.strictSame(await classNamesInParquet(path), {});
  const kilobytes = process.resourceUsage().maxRSS - before;
  t.ok(kilobytes < 256 * 1024, `${kilobytes} kB`);
});
