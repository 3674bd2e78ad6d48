// The formats of prediction files, by name and by the ending of a file.
import { extname } from 'node:path';

export const formatNames = ['jsonl', 'csv', 'parquet'] as const;
export type FormatName = (typeof formatNames)[number];

/** The format that the ending of a file names: JSON Lines for none (a pipe, a device), undefined for a foreign one. */
export function formatOfEnding(path: string): FormatName | undefined {
  const ending = extname(path).toLowerCase().slice(1);
  if (ending === '' || ending === 'ndjson') return 'jsonl';
  return formatNames.find((name) => name === ending);
}
