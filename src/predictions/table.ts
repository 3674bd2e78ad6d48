// What a file of predictions holds, whatever its format.
import type { PassthroughKind, PassthroughValue } from '../data/index.js';
import type { Prediction, Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';

/** The prediction of one row of the data. */
export interface PredictedRow extends Prediction {
  /** The number of the row among those read, from 0. */
  row: number;
  /** Its place in its file, when rows were left out and the number alone no longer shows it. */
  place?: string;
  /** The values of the columns that were carried over, in their order. */
  passthrough?: readonly PassthroughValue[];
}

/** A column of the data that is carried over, by its name among the predictions. */
export interface PassthroughColumn {
  name: string;
  kind: PassthroughKind;
}

/** The columns that every row has. */
export interface PredictionTable {
  task: Task;
  /** Whether the rows have places. */
  hasPlaces: boolean;
  passthrough: readonly PassthroughColumn[];
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

/** The names of the flat formats' probability columns, by label; without classes there are none. */
export function probabilityColumns({ kind, labels }: Task): { column: string; label: string }[] {
  return kind.hasClasses ? labels.map((label) => ({ column: `probability_${label}`, label })) : [];
}

/**
 * The carried columns by names that the predictions do not have themselves: `label` becomes `input_label`.
 *
 * @throws UsageError when two of them would then be called the same
 */
export function passthroughColumns(columns: readonly PassthroughColumn[], task: Task): PassthroughColumn[] {
  const own = new Set(['row', 'place', 'label', 'score', 'probabilities']);
  for (const { column } of probabilityColumns(task)) own.add(column);
  const passthrough = columns.map(({ name, kind }) => ({
    name: own.has(name) ? `input_${name}` : name,
    kind,
  }));
  const twice = passthrough.find(({ name }, i) => passthrough.findIndex((other) => other.name === name) < i);
  if (twice === undefined) return passthrough;
  throw new UsageError(`idColumn gives the predictions two columns called ${JSON.stringify(twice.name)}`);
}

/** A value in a cell of text: as it is, or as JSON where it is more than a text or a number. */
export function passthroughText(value: PassthroughValue): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
