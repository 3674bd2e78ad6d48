// From the labels of the splits to the task: problem type, label map, and labels as numbers for the training step.

import { UsageError } from '../util/errors.js';
import { labelIds, sortLabels } from './label-values.js';
import type { LabelColumn } from './labels.js';
import { unknownLabel } from './label-values.js';
import type { ProblemType, Split } from './types.js';

/** What the model's head learns. `labels[i]` is the name of output i; regression has the one output LABEL_0. */
export interface Task {
  problemType: ProblemType;
  labels: readonly string[];
  numLabels: number;
}

export interface TaskOptions {
  /** Wins over what the labels look like; must be the one the splits were opened with. */
  problemType?: ProblemType;
  /** The label map, in the order of the ids (`--label-list`). */
  labelList?: readonly string[];
  /** The label map of a trained model, when it has names of its own (not LABEL_0, LABEL_1, ...). */
  modelLabels?: readonly string[];
  /** Training needs two classes; evaluation does not. */
  forTraining?: boolean;
}

/**
 * The rules of HF's run_classification: lists are multi-label, decimals are regression, anything else is single label;
 * the label map is the sorted union over the splits, unless it is given or the data set brings ClassLabel names.
 *
 * @throws UsageError when splits do not fit together, a label is not in the given map, or training has one class only
 */
export function inferTask(splits: readonly Split[], options: TaskOptions = {}): Task {
  const labelled = splits.flatMap((split) =>
    split.labels === null ? [] : [{ split, labels: split.labels }],
  );
  if (labelled.length === 0)
    throw new UsageError('There are no labels: none of the splits was opened with them');
  const kinds = new Set(labelled.map(({ labels }) => labels.kind));
  if (kinds.has('list') && kinds.size > 1) {
    throw new UsageError(
      'Some splits hold lists of labels and others single labels; --problem-type makes them agree',
    );
  }
  const problemType = options.problemType ?? impliedType(kinds);
  for (const { split, labels } of labelled) requireKind(split, labels, problemType);
  if (problemType === 'regression') return { problemType, labels: ['LABEL_0'], numLabels: 1 };

  const labels = labelMap(
    labelled.map((entry) => entry.labels),
    options,
  );
  const task = { problemType, labels, numLabels: labels.length };
  for (const { split } of labelled) labelReader(split, task);
  if (options.forTraining === true && problemType === 'single_label_classification')
    requireTwoClasses(labelled, task);
  return task;
}

function impliedType(kinds: ReadonlySet<string>): ProblemType {
  if (kinds.has('list')) return 'multi_label_classification';
  return kinds.has('float') ? 'regression' : 'single_label_classification';
}

function labelMap(columns: readonly LabelColumn[], options: TaskOptions): readonly string[] {
  const given = options.labelList ?? options.modelLabels;
  if (given !== undefined) {
    const twice = given.find((name, i) => given.indexOf(name) !== i);
    if (twice !== undefined) throw new UsageError(`The label list names ${JSON.stringify(twice)} twice`);
    return given;
  }
  const classNames = columns.find((column) => column.classNames !== null)?.classNames;
  return classNames ?? sortLabels(new Set(columns.flatMap((column) => column.values)));
}

function requireKind(split: Split, labels: LabelColumn, problemType: ProblemType): void {
  const fits = {
    regression: labels.kind === 'float' || labels.kind === 'integer',
    single_label_classification: labels.kind === 'integer' || labels.kind === 'string',
    multi_label_classification: labels.kind === 'list',
  };
  if (fits[problemType]) return;
  const found = { float: 'decimals', integer: 'integers', string: 'text', list: 'lists' }[labels.kind];
  throw new UsageError(
    `The labels of the ${split.name} data (column ${JSON.stringify(split.columns.label)}) are ${found}, ` +
      `which does not fit ${problemType}`,
  );
}

function requireTwoClasses(labelled: readonly { split: Split; labels: LabelColumn }[], task: Task): void {
  const only = task.labels.length < 2 ? task.labels[0] : undefined;
  for (const { split, labels } of labelled) {
    const alone = only ?? (split.name === 'train' && labels.values.length < 2 ? labels.values[0] : undefined);
    if (alone === undefined) continue;
    throw new UsageError(
      `The ${split.name} data hold only one class, ${JSON.stringify(alone)} ` +
        `(column ${JSON.stringify(split.columns.label)}); training needs at least two: add rows of another class, ` +
        'or name another column with --label-column',
    );
  }
}

/** The labels of the given rows, for a batch or for all. */
export type LabelReader = (rows: ArrayLike<number>) => Int32Array | Float32Array;

/**
 * Labels of any rows as numbers, made when they are asked for, so that they cost no memory beyond the split's own.
 *
 * @returns a function to Int32Array [n] of class ids for single label; Float32Array [n * numLabels], multi-hot, for
 *   multi-label; Float32Array [n] for regression
 * @throws UsageError when a label is not in the task, naming file and line
 */
export function labelReader(split: Split, task: Task): LabelReader {
  const { labels } = split;
  if (labels === null) throw new UsageError(`The ${split.name} data were opened without labels`);
  requireKind(split, labels, task.problemType);
  if (task.problemType === 'regression')
    return (rows) => Float32Array.from(rows, (row) => labels.numberAt(row));

  const idOf = labelIds(task.labels);
  const ids = new Map(labels.values.map((label) => [label, idOf(label)]));
  if ([...ids.values()].includes(undefined)) throw labelNotInTask(split, labels, task);
  if (task.problemType === 'single_label_classification') {
    return (rows) => Int32Array.from(rows, (row) => ids.get(labels.at(row)[0] ?? '') ?? -100);
  }
  return (rows) => {
    const hot = new Float32Array(rows.length * task.numLabels);
    for (let i = 0; i < rows.length; i++) {
      for (const label of labels.at(rows[i] ?? 0)) hot[i * task.numLabels + (ids.get(label) ?? 0)] = 1;
    }
    return hot;
  };
}

/** All labels of a split as numbers; see `labelReader` for the shapes. */
export function labelArray(split: Split, task: Task): Int32Array | Float32Array {
  return labelReader(split, task)(Uint32Array.from({ length: split.size }, (_, row) => row));
}

/** Names the first row with a label that is not in the task; there must be one. */
function labelNotInTask(split: Split, labels: LabelColumn, task: Task): UsageError {
  const idOf = labelIds(task.labels);
  for (let row = 0; ; row++) {
    const unknown = labels.at(row).find((label) => idOf(label) === undefined);
    if (unknown === undefined) continue;
    const place = `${split.place(row)}, column ${JSON.stringify(split.columns.label)}`;
    return new UsageError(`${place}: ${unknownLabel(unknown, task.labels)}`);
  }
}
