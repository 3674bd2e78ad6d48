// Predictions as files: who they are for chooses the format.
import { csv } from './csv.js';
import { jsonLines } from './jsonl.js';
import type { FormatName } from './names.js';
import { parquet } from './parquet.js';
import type { PredictionFormat } from './table.js';

export { formatOfEnding, type FormatName } from './names.js';
export { keptColumns, type KeptColumn } from './table.js';
export type { PredictedRow, PredictionFormat, PredictionTable } from './table.js';

export const predictionFormats: Readonly<Record<FormatName, PredictionFormat>> = {
  jsonl: jsonLines,
  csv,
  parquet,
};
