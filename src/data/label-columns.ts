// The label of a record: what one column holds, or the names of the columns that hold a one.
import { multiLabel, type TaskKind } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { MISSING_LABEL, taskKindOf, type LabelReading } from './label-values.js';
import type { RawRecord } from './records.js';
import { kindOf, type Fault } from './row.js';

/**
 * One column with labels, or several, one for each label, in the order of the label ids: of zeros and ones, or of
 * probabilities.
 */
export type LabelColumns = string | readonly string[];

/** @throws UsageError for no name, and for one that is given twice */
export function labelColumns(named: LabelColumns): LabelColumns {
  if (typeof named === 'string') return named;
  const twice = named.find((name, i) => named.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`labelColumn names ${JSON.stringify(twice)} twice`);
  const [only] = named;
  if (only === undefined) throw new UsageError('labelColumn names no column');
  return named.length === 1 ? only : named;
}

/** All of them. */
export function labelColumnList(columns: LabelColumns | null): readonly string[] {
  if (columns === null) return [];
  return typeof columns === 'string' ? [columns] : columns;
}

/** The task of labels from several columns: any number of them a row, unless another is requested. */
export function kindOfSeveral(reading: LabelReading): TaskKind {
  const kind = taskKindOf(reading) ?? multiLabel;
  if (kind.columns.ofSeveral !== null) return kind;
  throw new UsageError(
    `problemType ${kind.problemType} takes the numbers of one column; name it with labelColumn`,
  );
}

/**
 * The value of the label column. Of several: the ids of those that hold a one, or its id where only one may, or the list
 * of their probabilities.
 */
export function readLabel(
  record: RawRecord,
  columns: LabelColumns,
  reading: LabelReading,
): { value: unknown } | Fault {
  if (typeof columns === 'string') return { value: record.value(columns) };
  if (reading.softLabels === true) return { value: columns.map((column) => record.value(column)) };
  const hot: number[] = [];
  for (const [id, column] of columns.entries()) {
    const isHot = isOne(record.value(column));
    if (typeof isHot === 'string') return { column, reason: isHot };
    if (isHot) hot.push(id);
  }
  if (kindOfSeveral(reading).columns.ofSeveral === 'any') return { value: hot };
  if (hot.length === 1) return { value: hot[0] };
  return { column: null, reason: `${hot.length} of the label columns hold a one, where one has to` };
}

/** As CSV, JSON and Parquet write them. */
const ONES: ReadonlySet<unknown> = new Set([1, 1n, true, '1', '1.0', 'true', 'True', 'TRUE']);
const ZEROS: ReadonlySet<unknown> = new Set([0, 0n, false, '0', '0.0', 'false', 'False', 'FALSE']);

/** Whether a value is one rather than zero, or why it is neither. */
function isOne(value: unknown): boolean | string {
  if (ONES.has(value)) return true;
  if (ZEROS.has(value)) return false;
  if (value === undefined || value === null || value === '') return MISSING_LABEL;
  const found =
    typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value) : kindOf(value);
  return `expected 0 or 1, or true or false, but found ${found}`;
}
