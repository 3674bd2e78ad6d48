// Parquet with the codecs and encodings of other writers, and wrong numbers in headers.
import { readFileSync } from 'node:fs';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { defineFormat } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { checkRows, readRows } from '../rows.mjs';

const FIXTURES = ['snappy', 'gzip', 'zstd', 'lists', 'class-label', 'scores'];

export const parquet = defineFormat({
  name: 'parquet',
  async seeds() {
    const files = FIXTURES.map((name) => ({
      'rows.parquet': new Uint8Array(
        readFileSync(new URL(`../../../test/fixtures/data/${name}.parquet`, import.meta.url)),
      ),
    }));
    return [...files, { 'rows.parquet': written('UNCOMPRESSED') }, { 'rows.parquet': written('SNAPPY') }];
  },
  mutate: (files, random) => {
    const bytes = files['rows.parquet'] ?? new Uint8Array();
    return { 'rows.parquet': mutateBytes(bytes.length > 0 ? bytes : written('SNAPPY'), random) };
  },
  read: (folder) => readRows(folder, 'rows.parquet'),
  check: checkRows,
});

/** A small file, in which each byte counts. @param {'UNCOMPRESSED' | 'SNAPPY'} codec */
function written(codec) {
  const rows = [0, 1, 2, 3, 4, 5, 6, 7];
  const columnData = [
    { name: 'text', data: rows.map((row) => `film number ${row}`), type: /** @type {const} */ ('STRING') },
    {
      name: 'label',
      data: rows.map((row) => (row % 2 === 0 ? 'pos' : 'neg')),
      type: /** @type {const} */ ('STRING'),
    },
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData, codec }));
}
