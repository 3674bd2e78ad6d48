// The formats of files of predictions, by name and by the ending of a file.
import { extname } from 'node:path';
import type { PredictionFormat } from './table.js';
import { csv, jsonLines } from './text.js';

interface Format {
  /** Of files, without the dot. */
  readonly endings: readonly string[];
  /** Whether it can only be written to a file, and not to a stream. */
  readonly needsFile: boolean;
  readonly write: PredictionFormat;
}

export const predictionFormats = {
  // No ending is that of a pipe or a device.
  jsonl: { endings: ['jsonl', 'ndjson', ''], needsFile: false, write: jsonLines },
  csv: { endings: ['csv'], needsFile: false, write: csv },
  // Its footer says where the parts of the file lie, so that a reader must be able to seek.
  parquet: {
    endings: ['parquet'],
    needsFile: true,
    async *write(batches, table) {
      const { parquet } = await import('./parquet.js'); // only who writes Parquet loads its library
      yield* parquet(batches, table);
    },
  },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof predictionFormats;
export const formatNames = ['jsonl', 'csv', 'parquet'] as const satisfies readonly FormatName[];

/** The format that the ending of a file names; undefined for a foreign one. */
export function formatOfEnding(path: string): FormatName | undefined {
  const ending = extname(path).toLowerCase().slice(1);
  return formatNames.find((name) => {
    const { endings }: Format = predictionFormats[name];
    return endings.includes(ending);
  });
}
