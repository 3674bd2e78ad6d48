// JSON Lines.
import { defineFormat, utf8 } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { checkRows, readRows } from '../rows.mjs';

const LINES = [
  { text: 'a good film', label: 'pos', other: { deep: [1, 2] } },
  { text: 'a bad film', label: 'neg' },
  { text: 'línes 😀 \u2028', label: 'pos', other: null },
];

export const jsonl = defineFormat({
  name: 'jsonl',
  seeds: async () => [
    { 'rows.jsonl': utf8(LINES.map((line) => `${JSON.stringify(line)}\n`).join('')) },
    { 'rows.jsonl': utf8('{"text":"a","labels":["x","y"]}\r\n\r\n{"text":"b","labels":[]}\r\n') },
    { 'rows.jsonl': utf8('{"text":"a","label":1.5}\n{"text":"b","label":2}') },
  ],
  mutate(files, random) {
    const bytes = files['rows.jsonl'] ?? new Uint8Array();
    if (bytes.length === 0 || random.chance(0.4))
      return { 'rows.jsonl': mutateBytes(bytes.length > 0 ? bytes : utf8('{}'), random) };
    const lines = Buffer.from(bytes).toString().split('\n');
    const at = random.below(lines.length);
    lines[at] = Buffer.from(
      mutateJson(utf8(lines[at] === '' ? '{}' : (lines[at] ?? '{}')), random),
    ).toString();
    return { 'rows.jsonl': utf8(lines.join('\n')) };
  },
  read: (folder) => readRows(folder, 'rows.jsonl'),
  check: checkRows,
});
