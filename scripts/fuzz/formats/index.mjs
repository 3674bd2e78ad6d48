// Every format that is fuzzed.
import { adapter } from './adapter.mjs';
import { checkpoint } from './checkpoint.mjs';
import { config } from './config.mjs';
import { csv, unquoted } from './csv.mjs';
import { gzip } from './gzip.mjs';
import { json } from './json.mjs';
import { jsonl } from './jsonl.mjs';
import { parquet } from './parquet.mjs';
import { safetensors } from './safetensors.mjs';
import { tokenizer } from './tokenizer.mjs';
import { trainerState } from './trainer-state.mjs';
import { zstd } from './zstd.mjs';

export const formats = [
  safetensors,
  config,
  tokenizer,
  adapter,
  checkpoint,
  trainerState,
  csv,
  unquoted,
  jsonl,
  json,
  parquet,
  gzip,
  zstd,
];

/** @param {string} name */
export function formatNamed(name) {
  const format = formats.find((candidate) => candidate.name === name);
  if (format === undefined)
    throw new Error(`Expected a format of ${formats.map((one) => one.name).join(', ')} but received ${name}`);
  return format;
}
