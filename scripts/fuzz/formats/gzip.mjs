// CSV under gzip, several members included.
import { gzipSync } from 'node:zlib';
import { ROWS, mutateCompressed } from '../compressed.mjs';
import { defineFormat, utf8 } from '../format.mjs';
import { checkRows, readRows } from '../rows.mjs';

/** @param {Uint8Array} bytes */
const compress = (bytes) => new Uint8Array(gzipSync(bytes));

export const gzip = defineFormat({
  name: 'gzip',
  seeds: async () => [
    { 'rows.csv.gz': compress(utf8(ROWS)) },
    {
      'rows.csv.gz': new Uint8Array(
        Buffer.concat([compress(utf8(ROWS)), compress(new Uint8Array()), compress(utf8('one more,0\n'))]),
      ),
    },
  ],
  mutate: (files, random) => ({
    'rows.csv.gz': mutateCompressed(files['rows.csv.gz'] ?? new Uint8Array(), random, compress),
  }),
  read: (folder) => readRows(folder, 'rows.csv.gz'),
  check: checkRows,
});
