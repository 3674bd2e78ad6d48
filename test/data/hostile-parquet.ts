// Pages of Parquet whose numbers are just out of bounds, refused before hyparquet gets them. Headers are in Thrift's compact
// protocol, by https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileMetaData, SchemaTree } from 'hyparquet';
import t from 'tap';

import { DEFAULT_LIMITS } from '../../dist/data/compression.js';
import { checkRowGroup } from '../../dist/data/parquet-check.js';
import { openParquet } from '../../dist/data/parquet.js';
import { openContent, refusal, textsOf } from '../fixtures/splits.js';
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
  const number = (value: number): number[] => [0x15, ...varint(value < 0 ? -2 * value - 1 : 2 * value)];
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

t.test('texts that share their beginnings and become more than their page may', async (t) => {
  const texts = (prefix: number, suffix: number): Buffer => {
    const content = Uint8Array.from([...same(prefix), ...same(suffix)]);
    return page(content, { size: content.length, encoding: DELTA_BYTE_ARRAY });
  };
  // 64 MiB are free, and each byte of the page allows a hundred more.
  const most = 2 ** 20;
  const over = most + 200;
  await t.rejects(checked(texts(over, 0), 'UNCOMPRESSED'), {
    message: `the length of all texts of a page is ${VALUES * over}, out of bounds`,
  });
  await t.rejects(checked(texts(0, over), 'UNCOMPRESSED'), { message: /length of all texts/ });
  await t.resolves(checked(texts(most, 0), 'UNCOMPRESSED'));
  await t.resolves(checked(texts(0, most), 'UNCOMPRESSED'));
});

t.test('a zstd page that becomes more than its header says', async (t) => {
  const content = frame(Buffer.alloc(1001, 'a'));
  await t.rejects(checked(page(content, { size: 1000, encoding: PLAIN }), 'ZSTD'), {
    message: 'the size of a zstd page is 1001, out of bounds',
  });
  await t.resolves(checked(page(content, { size: 1001, encoding: PLAIN }), 'ZSTD'));
  await t.rejects(checked(page(content, { size: -1, encoding: PLAIN }), 'ZSTD'), {
    message: 'the size of a page is -1, out of bounds',
  });
});

t.test('a footer is read only after it was checked', async (t) => {
  const good = readFileSync(new URL('../fixtures/data/class-label.parquet', import.meta.url));
  const length = good.readUInt32LE(good.length - 8);
  const footer = good.subarray(good.length - 8 - length, good.length - 8);
  /** An unknown field 100 before the others, of structs in structs; the fields have absolute numbers, but for the first. */
  const withNested = (levels: number): string => {
    const field = Buffer.concat([
      Buffer.of(0x0c, ...varint(200)),
      Buffer.alloc(levels - 1, 0x1c),
      Buffer.alloc(levels),
    ]);
    t.equal(footer[0], 0x15, 'field 1 is an integer');
    const changed = Buffer.concat([field, Buffer.of(0x05, 2), footer.subarray(1)]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(changed.length);
    const path = join(t.testdirName, `${levels}.parquet`);
    const body = good.subarray(0, good.length - 8 - length);
    writeFileSync(path, Buffer.concat([body, changed, size, Buffer.from('PAR1')]));
    return path;
  };
  t.testdir({});
  const { classNames } = await openParquet(withNested(20), DEFAULT_LIMITS);
  t.strictSame(classNames, { label: ['neutral', 'joy', 'anger'] });
  await t.rejects(openParquet(withNested(21), DEFAULT_LIMITS), {
    message: 'its metadata are nested too deep',
  });
});

// The footer of parquet-format's Encryption.md: in the open, with field 8 of FileMetaData; or encrypted, behind PARE.
t.test('an encrypted file', async (t) => {
  const footer = Buffer.of(0x8c, 0, 0);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  for (const magic of ['PAR1', 'PARE']) {
    const name = `${magic}.parquet`;
    const content = Buffer.concat([Buffer.from(magic), footer, length, Buffer.from(magic)]);
    t.match(
      await refusal(t, name, content),
      new RegExp(`^${name} is an encrypted Parquet file; write it again without encryption$`),
    );
  }
});

// What polars 2.1 makes of Int128, and pyarrow of binary(3).
t.test('bytes of a fixed length are texts or nothing, but no list of labels', async (t) => {
  const program = `
    import { parquetWriteBuffer } from 'hyparquet-writer';
    const fixed = (name, length) => ({ name, type: 'FIXED_LEN_BYTE_ARRAY', type_length: length, repetition_type: 'REQUIRED' });
    const schema = [{ name: 'root', num_children: 3 }, { name: 'text', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED' }, fixed('label', 3), fixed('wide', 4)];
    const columnData = [
      { name: 'text', data: ['a', 'b'].map((text) => new TextEncoder().encode(text)) },
      { name: 'label', data: ['neg', 'pos'].map((text) => new TextEncoder().encode(text)) },
      { name: 'wide', data: [Uint8Array.of(0, 0, 0, 0), Uint8Array.of(1, 0, 0, 0)] },
    ];
    process.stdout.write(Buffer.from(parquetWriteBuffer({ columnData, schema })).toString('base64'));`;
  const env = { ...process.env, NODE_OPTIONS: '' };
  const written = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    env,
    encoding: 'utf8',
  });
  const bytes = Buffer.from(written, 'base64');
  const split = await openContent(t, 'a.parquet', bytes);
  t.same([await textsOf(split), split.labelKind, split.labelValues], [['a', 'b'], 'string', ['neg', 'pos']]);
  t.match(
    await refusal(t, 'a.parquet', bytes, { labelColumn: 'wide' }),
    /row 1, column "wide": expected a string or a number but found bytes that are no text/,
  );
});
