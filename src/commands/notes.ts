// What a person should know of the data and of an evaluation that its figures do not show: rows on both sides, labels without
// a training row, a model that has learned nothing; and the figures of each class as a table.
import type { Dataset, DatasetDict } from '../data/dataset.js';
import { differenceOf, foldKey, labelIds } from '../data/index.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { eachTargets, type MetricDetails, type TaskKind } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import { counted, listed } from '../util/text.js';

/** Notes how many validation rows are among the training rows, with one of them. */
export function reportOverlap({ splits }: DatasetDict, progress: Progress): void {
  const { train, validation } = splits;
  if (train !== undefined && validation !== undefined) reportShared({ train, validation }, progress);
}

/** The same of the first fold, which stands for all. */
export function reportOverlapOfFolds(
  [fold]: readonly { train: Dataset; validation: Dataset }[],
  progress: Progress,
): void {
  if (fold !== undefined) reportShared(fold, progress);
}

function reportShared(
  { train, validation }: { train: Dataset; validation: Dataset },
  progress: Progress,
): void {
  const shared = sharedRows(train, validation);
  const [first] = shared;
  if (first === undefined) return;
  const share = ((100 * shared.length) / validation.size).toFixed(1);
  const [place, trained] = [validation.place(first), firstEqual(train, validation, first)];
  const isSameFile = trained === place;
  progress.line(
    `note: ${shared.length} of ${counted(validation.size, 'validation row')} (${share} %) ` +
      `${shared.length === 1 ? 'is also a training row' : 'are also training rows'}, e.g. ` +
      `${place}${isSameFile ? ': it is the same file' : ` and ${trained}`}; the metrics will be too good. ` +
      remedyFor(train.split === validation.split, isSameFile),
  );
}

function remedyFor(isSplit: boolean, isSameFile: boolean): string {
  if (isSplit)
    return 'Remove the repetitions, or name a column that equal texts share with --validation-group-column.';
  return isSameFile
    ? 'Validate with other rows, or hold some of them out with --validation-split 0.1.'
    : 'Remove them from the training rows.';
}

/** The validation rows with a text that is among the training rows: 8 bytes a training row. */
function sharedRows(train: Dataset, validation: Dataset): number[] {
  const known = Float64Array.from({ length: train.size }, (_, row) => train.hash(row)).toSorted();
  const rows = Array.from({ length: validation.size }, (_, row) => row);
  return rows.filter((row) => isAmong(known, validation.hash(row)));
}

/** Where the first training row with the text of a validation row stands. */
function firstEqual(train: Dataset, validation: Dataset, row: number): string {
  const hash = validation.hash(row);
  let other = 0;
  while (train.hash(other) !== hash) other++;
  return train.place(other);
}

function isAmong(sorted: Float64Array, value: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

const SHOWN = 5;

/** Notes which labels only validation rows have, in how many of them, and the place of one. */
export function reportUnseenLabels({ splits }: DatasetDict, progress: Progress): void {
  const { train, validation } = splits;
  if (train === undefined || validation === undefined) return;
  const unseen = labelsOf(validation);
  const trained = [...labelsOf(train).keys()];
  for (const label of trained) unseen.delete(label);
  const [first] = unseen.values();
  if (first === undefined) return;
  const rows = counted(validation.size, 'validation row');
  const shown = [...unseen]
    .slice(0, SHOWN)
    .map(([label, { count }]) => `${JSON.stringify(label)} in ${count} of ${rows}`);
  const more = unseen.size > SHOWN ? ` and ${unseen.size - SHOWN} more` : '';
  progress.line(
    `note: ${counted(unseen.size, 'label has', 'labels have')} no training row: ${shown.join(', ')}${more}, ` +
      `e.g. ${validation.place(first.row)}; the model cannot learn ${unseen.size === 1 ? 'it' : 'them'}`,
  );
  const spelling = new Map(trained.map((label) => [foldKey(label), label]));
  for (const label of unseen.keys()) {
    const other = spelling.get(foldKey(label));
    if (other === undefined) continue;
    progress.line(
      `note: ${JSON.stringify(label)} of the validation rows and ${JSON.stringify(other)} of the training rows ` +
        `differ only in ${differenceOf(label, other)}; --fold-labels makes such labels one`,
    );
    return;
  }
}

/**
 * Notes which labels of the training rows a trained model does not have, where its labels did not bind the reading.
 *
 * @param model its labels; undefined where it has none of its own, or others were asked for
 */
export function reportLabelsOtherThan(
  model: readonly string[] | undefined,
  { train, task }: DatasetDict,
  progress: Progress,
): void {
  const { labels } = train.split;
  // Positions have the names that the model has for them.
  const isByPosition = labels?.isPositional === true && labels.classNames === null;
  if (model === undefined || !task.kind.hasClasses || isByPosition) return;
  const idOf = labelIds(model, labels?.isFolded);
  const others = task.labels.filter((label) => idOf(label) === undefined);
  if (others.length === 0) return;
  const what = others.length === task.labels.length ? 'none' : `${task.labels.length - others.length}`;
  progress.line(
    `note: the model has ${what} of the ${counted(task.labels.length, 'label')} of the data: it lacks ${listed(others, SHOWN)}, ` +
      `and has ${listed(model, SHOWN)}; a training with it takes the others for bad rows, unless --label-list names all labels`,
  );
}

/** How many rows have each label, and the first of them. */
function labelsOf(data: Dataset): Map<string, { count: number; row: number }> {
  const found = new Map<string, { count: number; row: number }>();
  const add = (ids: Iterable<number>, row: number): void => {
    for (const label of Array.from(ids, (id) => data.task.labels[id] ?? '')) {
      const known = found.get(label);
      if (known === undefined) found.set(label, { count: 1, row });
      else known.count++;
    }
  };
  if (data.task.kind.unit === 'token') {
    // A row has as many labels as words.
    for (let row = 0; row < data.size; row++)
      add(new Set(data.task.classesOf(data.labels([row])).flat()), row);
    return found;
  }
  let row = 0;
  for (const targets of eachTargets(data)) for (const ids of data.task.classesOf(targets)) add(ids, row++);
  return found;
}

/** One line where an evaluation is no better than that of a model that has not looked at the texts, else none. */
export function chanceNote(kind: TaskKind, metrics: Metrics): string[] {
  const reason = kind.chanceLevel(metrics);
  if (reason === null) return [];
  return [
    `note: the model does not distinguish the validation rows: ${reason}; more steps or another learning rate may help`,
  ];
}

const MOST_CLASSES = 20;
/** A matrix is as wide as it has classes. */
const MOST_COLUMNS = 8;
const NAME_WIDTH = 16;

/** The lines of the tables; none of both where there are too many classes, or none at all. */
export function classReport(
  details: MetricDetails | null,
  labels: readonly string[],
  what: 'rows' | 'entities' = 'rows',
): string[] {
  if (details === null || labels.length > MOST_CLASSES) return [];
  const { per_class: figures, confusion_matrix: matrix } = details;
  const scores = labels.map((label) => {
    const { precision = 0, recall = 0, f1 = 0, support = 0 } = figures[label] ?? {};
    return [shortName(label), ...[precision, recall, f1].map((score) => score.toFixed(4)), String(support)];
  });
  const lines = aligned([['class', 'precision', 'recall', 'f1', what], ...scores]);
  if (matrix === undefined || labels.length > MOST_COLUMNS) return lines;
  const counts = labels.map((label) => [
    shortName(label),
    ...labels.map((guess) => String(matrix[label]?.[guess] ?? 0)),
  ]);
  return [...lines, '', ...aligned([['label \\ predicted', ...labels.map(shortName)], ...counts])];
}

/** Names to the left, numbers to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  '),
  );
}

function shortName(label: string): string {
  const name = label.replaceAll(/\s+/g, ' ');
  return name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 3)}...` : name;
}
