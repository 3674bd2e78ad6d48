// CSV and TSV.
import { defineFormat, utf8 } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { checkRows, readRows } from '../rows.mjs';

const ROWS = 'text,label,other\na good film,pos,1\n"a ""bad"", long\nfilm",neg,2\r\n\n"x y",pos,\n';

export const csv = defineFormat({
  name: 'csv',
  seeds: async () => [
    { 'rows.csv': utf8(ROWS) },
    { 'rows.csv': utf8(`\uFEFF${ROWS}`) },
    { 'rows.csv': utf8(ROWS.replaceAll(',', ';')) },
    { 'rows.csv': utf8('sentence1,sentence2,label\na,b,0\nc,d,1\ne,"f",0\n') },
    { 'rows.csv': utf8('text,label\rfirst film,1.5\rsecond film,2.5\r') },
  ],
  mutate: (files, dice) => {
    const bytes = files['rows.csv'] ?? new Uint8Array();
    return { 'rows.csv': mutateBytes(bytes.length > 0 ? bytes : utf8(ROWS), dice) };
  },
  read: (folder) => readRows(folder, 'rows.csv'),
  check: checkRows,
});
