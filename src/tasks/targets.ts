// The labels of many rows, which are numbered and read some at a time: counting them, and whether a model can learn them.
import { counted, listed } from '../util/text.js';
import { UsageError } from '../util/errors.js';
import { asTask } from './registry.js';
import type { ProblemType, Targets, Task, TaskDescription } from './task.js';

/**
 * The labels of the given rows, for a batch or for all.
 *
 * @example
 * ```ts
 * import { loadDataset, type LabelReader } from 'bertune';
 *
 * const { train } = await loadDataset({ train: 'train.csv' });
 * const labels: LabelReader = train.labels;
 * console.log(labels([0, 1, 2])); // Int32Array of ids
 * ```
 */
export type LabelReader = (rows: ArrayLike<number>) => Targets;

/** Rows with labels. */
export interface TargetRows {
  readonly size: number;
  readonly labels: LabelReader;
  /** What the labels mean, where it is known. */
  readonly task?: TaskDescription;
}

/** Rows whose labels are read at a time. */
const CHUNK = 65_536;

/** The labels of all rows, in their order. */
export function* eachTargets({ size, labels }: Pick<TargetRows, 'size' | 'labels'>): Generator<Targets> {
  for (let first = 0; first < size; first += CHUNK)
    yield labels(Uint32Array.from({ length: Math.min(CHUNK, size - first) }, (_, i) => first + i));
}

/** What the labels of rows come to. */
export interface LabelCounts {
  /** Rows with each label, by its id. */
  counts: number[];
  /** All labels of all rows. */
  total: number;
  /** Rows without any. */
  unlabelled: number;
}

/** Counts the labels of a task with classes; of soft ones those that they speak for. */
export function countLabels(task: TaskDescription, rows: TargetRows): LabelCounts {
  const own = asTask(task);
  const counts = own.labels.map(() => 0);
  let unlabelled = 0;
  for (const targets of eachTargets(rows)) {
    for (const ids of own.classesOf(targets)) {
      for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
      if (ids.length === 0) unlabelled += 1;
    }
  }
  return { counts, total: counts.reduce((sum, count) => sum + count, 0), unlabelled };
}

/**
 * Makes sure, before the first batch, that the labels of the data are those of the model's task: their kind, their number,
 * and which is which.
 *
 * @param what the data, e.g. `evaluation data`
 * @param remedy what to do when they are not
 * @throws UsageError naming both tasks
 */
export function requireTaskFits(model: Task, data: TargetRows, what: string, remedy: string): void {
  const found = mismatch(model, data);
  if (found === null) return;
  throw new UsageError(
    `The model's task is ${model.describe()}, which does not fit the ${what}: ${found}. ${remedy}`,
  );
}

/**
 * Makes sure that a model predicts what a script has typed.
 *
 * @throws UsageError for a model of another problem type, and for a regression of several values, which are lists
 */
export function requireProblemType(model: Task, problemType: ProblemType | undefined): void {
  if (problemType === undefined) return;
  if (model.problemType !== problemType)
    throw new UsageError(`problemType is ${problemType}, but the model's task is ${model.describe()}`);
  if (model.labelType.of === 'number' && model.labelType.isList)
    throw new UsageError(
      `problemType ${problemType} promises one number, but the model's task is ${model.describe()}; leave problemType out`,
    );
}

/** What the data are instead; null when they fit. */
function mismatch(model: Task, { size, labels, task }: TargetRows): string | null {
  if (task !== undefined) {
    if (model.accepts(task)) return null;
    const found = asTask(task).describe();
    if (found !== model.describe()) return found;
    return `${found}, named ${listed(task.labels)} in place of ${listed(model.labels)}`;
  }
  if (size === 0) return null;
  // A script's own rows may have no task, but the labels of the first show it.
  const first = labels([0]);
  if (model.accepts(first)) return null;
  return `${counted(first.length, first instanceof Int32Array ? 'class id' : 'value')} a row`;
}
