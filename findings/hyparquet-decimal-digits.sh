#!/usr/bin/env bash
# Guess: hyparquet gives the cell 0.57 of a DECIMAL(4, 2) column as the number 0.57, as pyarrow prints it and a CSV has it.
# Seen, hyparquet 1.31.5: the unscaled integer is multiplied by 10 ** -scale in doubles, and 57 * 0.01 is 0.5700000000000001. Keys,
# prices and labels differ from the same column in another file. A schema without the element's DECIMAL leaves the integers alone.
set -euo pipefail
cd "$(mktemp -d)"
npm install --silent --no-fund --no-audit hyparquet@1.31.5 hyparquet-writer@0.17.0
cat > js.mjs <<'JS'
import { parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
// Whole numbers, so that the writer has nothing to round: the scale stands in the schema alone.
const schema = [
  { name: 'root', num_children: 1 },
  { name: 'price', type: 'INT32', repetition_type: 'REQUIRED', converted_type: 'DECIMAL', scale: 2, precision: 4 },
];
const file = parquetWriteBuffer({ schema, columnData: [{ name: 'price', data: [0.57, 0.5, 1.1] }] });
const prices = (await parquetReadObjects({ file })).map(({ price }) => String(price));
console.log('written 0.57, 0.5, 1.1; read', prices.join(', '));
if (prices[0] !== '0.5700000000000001') throw new Error('this has changed');
JS
node js.mjs
