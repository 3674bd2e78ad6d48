// Whether labels are such as a model's head can be compared with, seen before the first batch.
import { counted, listed } from '../util/counted.js';
import type { Task } from './index.js';
import { UsageError } from '../util/errors.js';
import type { LabelledRows } from './batch.js';

const LABELS_SHOWN = 8;

/**
 * Makes sure that the labels of the data are those of the model's task: their kind, their number, and which is which.
 *
 * @param what the data, e.g. `evaluation data`
 * @param remedy what to do when they are not
 * @throws UsageError naming both tasks
 */
export function requireTaskFits(model: Task, data: LabelledRows, what: string, remedy: string): void {
  const found = unlike(model, data);
  if (found === null) return;
  throw new UsageError(
    `The model's task is ${describeTask(model)}, which does not fit the ${what}: ${found}. ${remedy}`,
  );
}

/** What the data are instead; null when they fit. */
function unlike(model: Task, { size, labels, task }: LabelledRows): string | null {
  if (task !== undefined) return fits(model, task) ? null : describeTask(task);
  if (size === 0) return null;
  // Rows that a script brings do not say their task, but the labels of the first show it.
  const first = labels([0]);
  const areIds = first instanceof Int32Array;
  const isSingle = model.problemType === 'single_label_classification';
  if (areIds === isSingle && first.length === (isSingle ? 1 : model.numLabels)) return null;
  return `${counted(first.length, areIds ? 'class id' : 'value')} a row`;
}

/** Names need not agree, since some say nothing (LABEL_0), but no name may stand for another class. */
function fits(model: Task, data: Task): boolean {
  if (model.problemType !== data.problemType) return false;
  const isSingle = model.problemType === 'single_label_classification';
  if (isSingle ? data.numLabels > model.numLabels : data.numLabels !== model.numLabels) return false;
  const agree = data.labels.every((label, id) => label === model.labels[id]);
  return agree || !data.labels.some((label) => model.labels.includes(label));
}

function describeTask({ problemType, numLabels, labels }: Task): string {
  if (problemType === 'regression') return `regression with ${counted(numLabels, 'value')} a row`;
  return `${problemType} with the labels ${listed(labels, LABELS_SHOWN)}`;
}
