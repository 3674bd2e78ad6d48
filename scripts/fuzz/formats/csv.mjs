// CSV and TSV, with their quotes as quotes and as characters.
import { defineFormat, utf8 } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { checkRows, readRows } from '../rows.mjs';

const ROWS = 'text,label,other\na good film,pos,1\n"a ""bad"", long\nfilm",neg,2\r\n\n"x y",pos,\n';
const UNQUOTED = 'text\tlabel\tother\na "good film\tpos\t1\n"bad\tneg\t2\r\n\nx" y\tpos\t\n';

export const csv = defineFormat({
  name: 'csv',
  seeds: async () => [
    { 'rows.csv': utf8(ROWS) },
    { 'rows.csv': utf8(`\uFEFF${ROWS}`) },
    { 'rows.csv': utf8(ROWS.replaceAll(',', ';')) },
    { 'rows.csv': utf8('sentence1,sentence2,label\na,b,0\nc,d,1\ne,"f",0\n') },
    { 'rows.csv': utf8('text,label\rfirst film,1.5\rsecond film,2.5\r') },
  ],
  mutate: (files, random) => ({ 'rows.csv': mutated(files['rows.csv'], ROWS, random) }),
  read: (folder) => readRows(folder, 'rows.csv'),
  check: checkRows,
});

export const unquoted = defineFormat({
  name: 'csv-unquoted',
  seeds: async () => [
    { 'rows.tsv': utf8(UNQUOTED) },
    { 'rows.tsv': utf8(`\uFEFF${UNQUOTED}`) },
    { 'rows.tsv': utf8(UNQUOTED.replaceAll('\t', ';')) },
    { 'rows.tsv': utf8('text\tlabel\r"first" film\t1.5\rsecond "film\t2.5\r') },
  ],
  mutate: (files, random) => ({ 'rows.tsv': mutated(files['rows.tsv'], UNQUOTED, random) }),
  read: (folder) => readRows(folder, 'rows.tsv', { quoting: 'none' }),
  check: (result) => {
    // Without quotes nothing can hold the end of its line.
    if (result.examples.some(({ text }) => /[\r\n]/.test(text.trim())))
      return 'gives a text of several lines';
    return checkRows(result);
  },
});

/**
 * @param {Uint8Array | undefined} bytes
 * @param {string} otherwise where there are none left
 * @param {import('../format.mjs').SeededRandom} random
 */
function mutated(bytes, otherwise, random) {
  return mutateBytes(bytes?.length ? bytes : utf8(otherwise), random);
}
