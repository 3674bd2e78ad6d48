// An array of objects in a .json file.
import { defineFormat, utf8 } from '../format.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { checkRows, readRows } from '../rows.mjs';

const ROWS = [
  { text: 'a good film', label: 'pos', other: { deep: [1, 2] } },
  { text: 'a "bad" film ]}', label: 'neg' },
];

export const json = defineFormat({
  name: 'json',
  seeds: async () => [
    { 'rows.json': utf8(JSON.stringify(ROWS)) },
    { 'rows.json': utf8(`\uFEFF${JSON.stringify(ROWS, null, 2)}\n`) },
  ],
  mutate: (files, random) => {
    const bytes = files['rows.json'] ?? new Uint8Array();
    return { 'rows.json': mutateJson(bytes.length > 0 ? bytes : utf8('[]'), random) };
  },
  read: (folder) => readRows(folder, 'rows.json'),
  check: checkRows,
});
