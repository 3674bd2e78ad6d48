// From the labels of the splits to the task: kind of problem, label map, and labels as numbers for the training step.

import {
  asTask,
  multiLabel,
  regression,
  singleLabel,
  taskKinds,
  tokenClassification,
  type LabelReader,
  type ProblemType,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
} from '../tasks/index.js';
import { OUTSIDE } from '../tasks/label-schemes.js';
import { UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { foldKey, labelIds, sortLabels, unknownLabel } from './label-values.js';
import type { LabelColumn } from './labels.js';
import type { Split } from './split.js';
import { tokenLabelReader, tokenLabels } from './token-column.js';

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
  const kind = taskKinds[options.problemType ?? impliedBy(labelled.map(({ labels }) => labels))];
  for (const one of labelled) requireKind(one, kind);
  if (!kind.hasClasses)
    return kind.create(inOrderOf(options.modelLabels, labelled[0]?.labels.ordered ?? ['LABEL_0']));

  const task = kind.create(
    labelMap(
      labelled.map(({ labels }) => labels),
      options,
    ),
  );
  if (task.labels.length === 0)
    throw new UsageError(
      `${labelled.map(({ split }) => columnOf(split)).join('; ')}: every list of labels is empty, so there is no class; ` +
        'name another column with labelColumn',
    );
  for (const { split } of labelled) labelReader(split, task);
  if (options.forTraining === true && kind.columns.ofSeveral === 'one') requireTwoClasses(labelled, task);
  return task;
}

/**
 * The task that labels of tokens make, and with it how those of all splits are read.
 *
 * @throws UsageError when training has no entity to learn
 */
export function inferTokenTask(splits: readonly Split[], options: TaskOptions): Task {
  const columns = splits.flatMap(({ tokens }) => tokens ?? []);
  const { labels, reading } = tokenLabels(columns, options.labelList ?? options.modelLabels);
  for (const column of columns) column.reading = reading;
  if (options.forTraining === true && labels.length < 2)
    throw new UsageError(
      `The train data hold no entity: all labels are ${JSON.stringify(labels[0] ?? OUTSIDE)}; add rows with entities, or name another column with labelColumn`,
    );
  return tokenClassification.create(labels);
}

/** The names of values in the order that a model has them in; as they are where it has others. */
function inOrderOf(model: readonly string[] = [], names: readonly string[]): readonly string[] {
  const isSame = model.length === names.length && names.every((name) => model.includes(name));
  return isSame ? model : names;
}

/**
 * What the labels mean unless an option decides, by the rules of HF's run_classification: lists are multi-label, decimals
 * are regression, anything else is single label.
 */
function impliedBy(columns: readonly LabelColumn[]): ProblemType {
  const tasks = new Set(
    columns.map(({ task, kind }) => (kind === 'list' ? multiLabel : (task ?? singleLabel))),
  );
  if (tasks.size > 1 && tasks.has(multiLabel))
    throw new UsageError(
      'Some splits hold lists of labels and others single labels; problemType makes them agree',
    );
  const implied = [regression, multiLabel].find((kind) => tasks.has(kind)) ?? singleLabel;
  return implied.problemType;
}

function labelMap(columns: readonly LabelColumn[], options: TaskOptions): readonly string[] {
  const given = options.labelList ?? options.modelLabels;
  if (given !== undefined) {
    const twice = given.find((name, i) => given.indexOf(name) !== i);
    if (twice !== undefined) throw new UsageError(`The label list names ${JSON.stringify(twice)} twice`);
    return given;
  }
  const ordered = columns.find((column) => column.ordered !== null)?.ordered;
  return ordered ?? sortLabels(distinct(columns));
}

/** The labels of all columns; of those that are folded into one, as the first column spells it. */
function distinct(columns: readonly LabelColumn[]): Set<string> {
  const names = new Map<string, string>();
  for (const { values, isFolded } of columns)
    for (const name of values) {
      const key = isFolded ? foldKey(name) : name;
      if (!names.has(key)) names.set(key, name);
    }
  return new Set(names.values());
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
        `(column ${JSON.stringify(split.columns.label)}); training needs at least two: ${wayToTwo(split)}`,
    );
  }
}

/** Prodigy asks of a text and one label whether it fits: where there is no other label, the answers are the classes. */
function wayToTwo({ rejected }: Split): string {
  return rejected === 0
    ? 'add rows of another class, or name another column with labelColumn'
    : `${counted(rejected, 'row was', 'rows were')} left out with the answer "reject"; ` +
        'labelColumn answer makes the answers the classes, and naLabels ignore leaves out rows that have none';
}

/**
 * Labels of any rows as numbers, made on demand, so that they cost no memory beyond the split's own; what
 * they are for which task: see `Task.collate`.
 *
 * @throws UsageError when a label is not in the task, naming file and line
 */
export function labelReader(split: Split, description: TaskDescription): LabelReader {
  const { labels, tokens } = split;
  if (tokens !== null) return tokenLabelReader(tokens, asTask(description), (row) => split.place(row));
  const task = asTask(description);
  if (task.kind.columns.reads.length === 0) return () => task.collate([]);
  if (labels === null) throw new UsageError(`The ${split.name} data were opened without labels`);
  requireKind({ split, labels }, task.kind);
  const targetOf = targetReader({ split, labels }, task);
  return (rows) => task.collate(Array.from(rows, targetOf));
}

function targetReader({ split, labels }: Labelled, task: Task): (row: number) => Target {
  if (!task.kind.hasClasses && labels.width < 2) return (row) => ({ values: labels.valuesAt(row) });
  if (labels.kind === 'probabilities' || labels.kind === 'float') return valueReader({ split, labels }, task);
  if (labels.isPositional && labels.classNames === null) return positionReader({ split, labels }, task);
  const idOf = labelIds(task.labels, labels.isFolded);
  const ids = new Map(labels.values.map((label) => [label, idOf(label)]));
  if ([...ids.values()].includes(undefined)) throw labelNotInTask({ split, labels }, task);
  return (row) => ({ ids: labels.at(row).flatMap((label) => ids.get(label) ?? []) });
}

/** Zeros and ones of lists, whose positions are the ids of the labels. */
function positionReader({ split, labels }: Labelled, task: Task): (row: number) => Target {
  requireWidth({ split, labels }, task, 'zeros and ones');
  const ids = new Map(labels.ordered?.map((name, id) => [name, id]));
  return (row) => ({ ids: labels.at(row).flatMap((name) => ids.get(name) ?? []) });
}

function requireWidth({ split, labels }: Labelled, task: Task, what: string): void {
  if (labels.width === task.numLabels) return;
  throw new UsageError(
    `${columnOf(split)}: the lists hold ${labels.width} ${what}, and there are ${task.numLabels} labels; give one for each`,
  );
}

function columnOf({ name, columns }: Split): string {
  return `${name} data, column ${JSON.stringify(columns.label)}`;
}

/** In the order of the task's labels; a label that has no column has no probability. */
function valueReader({ split, labels }: Labelled, task: Task): (row: number) => Target {
  const names = labels.classNames;
  const idOf = labelIds(task.labels, labels.isFolded);
  const ids = names?.map((name) => idOf(name)) ?? [];
  const isByPosition = names === null || (!task.kind.hasClasses && ids.every((id) => id === undefined));
  if (isByPosition) {
    requireWidth({ split, labels }, task, task.kind.hasClasses ? 'probabilities' : 'numbers');
    return (row) => ({ values: labels.valuesAt(row) });
  }
  const column = columnOf(split);
  const unknown = names.find((_, i) => ids[i] === undefined);
  if (unknown !== undefined) throw new UsageError(`${column}: ${unknownLabel(unknown, task.labels)}`);
  return (row) => {
    const values = new Float32Array(task.numLabels);
    labels.valuesAt(row).forEach((value, i) => (values[ids[i] ?? -1] = value));
    return { values };
  };
}

/** All labels of a split as numbers. */
export function labelArray(split: Split, task: TaskDescription): Targets {
  return labelReader(split, task)(Uint32Array.from({ length: split.size }, (_, row) => row));
}

/** Names the first row with a label that is not in the task; there must be one. */
function labelNotInTask({ split, labels }: Labelled, task: Task): UsageError {
  const idOf = labelIds(task.labels, labels.isFolded);
  for (let row = 0; ; row++) {
    const unknown = labels.at(row).find((label) => idOf(label) === undefined);
    if (unknown === undefined) continue;
    const place = `${split.place(row)}, column ${JSON.stringify(split.columns.label)}`;
    return new UsageError(`${place}: ${unknownLabel(unknown, task.labels)}`);
  }
}
