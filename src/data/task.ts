// From the labels of the splits to the task: kind of problem, label map, and labels as numbers for the training step.

import {
  asTask,
  inferProblemType,
  taskKinds,
  type LabelReader,
  type ProblemType,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
} from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { labelIds, sortLabels, unknownLabel } from './label-values.js';
import type { LabelColumn } from './labels.js';
import type { Split } from './split.js';

export interface TaskOptions {
  /** Wins over what the labels look like; must be the one the splits were opened with. */
  problemType?: ProblemType;
  /** The label map, in the order of the ids (`labelList`). */
  labelList?: readonly string[];
  /** The label map of a trained model, when it has names of its own (not LABEL_0, LABEL_1, ...). */
  modelLabels?: readonly string[];
  /** Training needs two classes; evaluation does not. */
  forTraining?: boolean;
}

interface Labelled {
  split: Split;
  labels: LabelColumn;
}

/**
 * The task that labels make; the label map is the sorted union over the splits, unless it is given or the data set brings
 * ClassLabel names.
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
      'Some splits hold lists of labels and others single labels; problemType makes them agree',
    );
  }
  const kind = taskKinds[options.problemType ?? inferProblemType(kinds)];
  for (const one of labelled) requireKind(one, kind);
  if (!kind.hasClasses) return kind.create(['LABEL_0']);

  const task = kind.create(
    labelMap(
      labelled.map(({ labels }) => labels),
      options,
    ),
  );
  for (const { split } of labelled) labelReader(split, task);
  if (options.forTraining === true && kind.columns.ofSeveral === 'one') requireTwoClasses(labelled, task);
  return task;
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

function requireKind({ split, labels }: Labelled, { columns, problemType }: TaskKind): void {
  if (columns.reads.includes(labels.kind)) return;
  const found = {
    float: 'decimals',
    integer: 'integers',
    string: 'text',
    list: 'lists',
    probabilities: 'probabilities',
  }[labels.kind];
  throw new UsageError(
    `The labels of the ${split.name} data (column ${JSON.stringify(split.columns.label)}) are ${found}, ` +
      `which does not fit ${problemType}`,
  );
}

function requireTwoClasses(labelled: readonly Labelled[], task: Task): void {
  const only = task.labels.length < 2 ? task.labels[0] : undefined;
  for (const { split, labels } of labelled) {
    const alone = only ?? (split.name === 'train' && labels.values.length < 2 ? labels.values[0] : undefined);
    if (alone === undefined) continue;
    throw new UsageError(
      `The ${split.name} data hold only one class, ${JSON.stringify(alone)} ` +
        `(column ${JSON.stringify(split.columns.label)}); training needs at least two: add rows of another class, ` +
        'or name another column with labelColumn',
    );
  }
}

/**
 * Labels of any rows as numbers, made on demand, so that they cost no memory beyond the split's own; what
 * they are for which task: see `Task.collate`.
 *
 * @throws UsageError when a label is not in the task, naming file and line
 */
export function labelReader(split: Split, description: TaskDescription): LabelReader {
  const { labels } = split;
  if (labels === null) throw new UsageError(`The ${split.name} data were opened without labels`);
  const task = asTask(description);
  requireKind({ split, labels }, task.kind);
  const targetOf = targetReader({ split, labels }, task);
  return (rows) => task.collate(Array.from(rows, targetOf));
}

function targetReader({ split, labels }: Labelled, task: Task): (row: number) => Target {
  if (!task.kind.hasClasses) return (row) => ({ values: [labels.numberAt(row)] });
  if (labels.kind === 'probabilities') return probabilityReader({ split, labels }, task);
  const idOf = labelIds(task.labels);
  const ids = new Map(labels.values.map((label) => [label, idOf(label)]));
  if ([...ids.values()].includes(undefined)) throw labelNotInTask({ split, labels }, task);
  return (row) => ({ ids: labels.at(row).flatMap((label) => ids.get(label) ?? []) });
}

/** In the order of the task's labels; a label that has no column has no probability. */
function probabilityReader({ split, labels }: Labelled, task: Task): (row: number) => Target {
  const { values: names } = labels;
  const column = `${split.name} data, column ${JSON.stringify(split.columns.label)}`;
  if (labels.classNames === null) {
    if (names.length === task.numLabels) return (row) => ({ values: labels.probabilitiesAt(row) });
    throw new UsageError(
      `${column}: the lists hold ${names.length} probabilities, and there are ${task.numLabels} labels; give one for each`,
    );
  }
  const idOf = labelIds(task.labels);
  const ids = names.map((name) => idOf(name));
  const unknown = names.find((_, i) => ids[i] === undefined);
  if (unknown !== undefined) throw new UsageError(`${column}: ${unknownLabel(unknown, task.labels)}`);
  return (row) => {
    const values = new Float32Array(task.numLabels);
    labels.probabilitiesAt(row).forEach((probability, i) => (values[ids[i] ?? -1] = probability));
    return { values };
  };
}

/** All labels of a split as numbers. */
export function labelArray(split: Split, task: TaskDescription): Targets {
  return labelReader(split, task)(Uint32Array.from({ length: split.size }, (_, row) => row));
}

/** Names the first row with a label that is not in the task; there must be one. */
function labelNotInTask({ split, labels }: Labelled, task: Task): UsageError {
  const idOf = labelIds(task.labels);
  for (let row = 0; ; row++) {
    const unknown = labels.at(row).find((label) => idOf(label) === undefined);
    if (unknown === undefined) continue;
    const place = `${split.place(row)}, column ${JSON.stringify(split.columns.label)}`;
    return new UsageError(`${place}: ${unknownLabel(unknown, task.labels)}`);
  }
}
