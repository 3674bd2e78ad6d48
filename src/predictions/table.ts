// What a file of predictions holds, whatever its format.
import type { Task } from '../data/index.js';
import type { Prediction } from '../evaluation/probabilities.js';

/** The prediction of one row of the data. */
export interface PredictedRow extends Prediction {
  /** The number of the row among those read, from 0. */
  row: number;
  /** Where it stands in its file; told when rows were left out, since the number then no longer says it. */
  place?: string;
}

/** The columns that every row has. */
export interface PredictionTable {
  task: Task;
  /** Whether the rows tell their places. */
  hasPlaces: boolean;
}

/**
 * Turns predictions into the content of a file, piece by piece: what has been yielded is no longer in memory.
 *
 * @param batches the rows in their order
 */
export type PredictionFormat = (
  batches: AsyncIterable<readonly PredictedRow[]>,
  table: PredictionTable,
) => AsyncIterable<string | Uint8Array>;

/** The names of the flat formats' probability columns, by label; a regression has none. */
export function probabilityColumns({ problemType, labels }: Task): { column: string; label: string }[] {
  if (problemType === 'regression') return [];
  return labels.map((label) => ({ column: `probability_${label}`, label }));
}
