// The rows whose labels are probably wrong, as a file that a person edits and gives back as `labelCorrections`.
import { stringify } from 'csv-stringify/sync';
import type { Dataset } from '../data/dataset.js';
import { labelCell } from '../predictions/formats.js';
import type { FormulaGuard } from '../predictions/table.js';
import { eachTargets } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { labelIssues, multiLabelIssues, type LabelIssue } from './confident-learning.js';

/** A row whose label the probabilities contradict. */
export interface LabelError {
  /** The number of the row among those read, from 0. */
  row: number;
  /** Where it stands, e.g. `train.csv line 7`. */
  place: string;
  text: string;
  textPair: string | undefined;
  /** As it is given: several in a list. */
  label: string | string[];
  suggested: string | string[];
  /** How probable the given label is, from 0 to 1. */
  score: number;
}

/** @throws UsageError for rows whose labels cannot be wrong in this sense */
export function requireClassLabels({ task, split }: Pick<Dataset, 'task' | 'split'>): void {
  const { kind, problemType } = task;
  if (!kind.hasClasses || kind.unit === 'token')
    throw new UsageError(
      `labelErrors compares the classes of texts with their probabilities, and ${problemType} has none; leave it out`,
    );
  if (split.labelKind === 'probabilities')
    throw new UsageError(
      'labelErrors needs labels that are classes, not probabilities; leave softLabels out',
    );
}

/**
 * The rows whose labels are probably wrong, the worst first.
 *
 * @param probabilities of models that have not seen the row, [rows * numLabels]
 */
export async function findLabelErrors(data: Dataset, probabilities: Float64Array): Promise<LabelError[]> {
  const issues = issuesOf(data, probabilities);
  const { task } = data;
  const named = (ids: readonly number[]): string | string[] => {
    const names = ids.map((id) => task.labels[id] ?? '');
    return task.labelType.isList ? names : (names[0] ?? '');
  };
  const examples = await data.split.read(issues.map(({ row }) => data.rowOfSplit(row)));
  return issues.map(({ row, suggested, score }, i) => {
    const { text = '', textPair } = examples[i] ?? {};
    return {
      row: data.rowOfSplit(row),
      place: data.place(row),
      text,
      textPair,
      label: named(task.classesOf(data.labels([row]))[0] ?? []),
      suggested: named(suggested),
      score,
    };
  });
}

function issuesOf(data: Dataset, probabilities: Float64Array): LabelIssue[] {
  const { numLabels, labelType } = data.task;
  const ids = [...eachTargets(data)].flatMap((targets) => data.task.classesOf(targets));
  if (!labelType.isList) {
    const labels = Uint32Array.from(ids, ([id = 0]) => id);
    return labelIssues({ labels, probabilities, numLabels });
  }
  const hot = new Uint8Array(ids.length * numLabels);
  ids.forEach((own, row) => own.forEach((id) => (hot[row * numLabels + id] = 1)));
  return multiLabelIssues({ hot, probabilities, numLabels });
}

/** The content of the file. In CSV several labels are joined by |, and `[]` is none. */
export function labelErrorsFile(
  errors: readonly LabelError[],
  format: 'csv' | 'jsonl',
  guard: FormulaGuard,
): string {
  const hasPairs = errors.some(({ textPair }) => textPair !== undefined);
  if (format === 'jsonl')
    return errors
      .map(({ row, place, text, textPair, label, suggested, score }) => {
        const line = { row, place, text, text_pair: textPair, label, suggested_label: suggested, score };
        return `${JSON.stringify(line)}\n`;
      })
      .join('');
  const cell = (label: string | string[]): string =>
    label.length === 0 ? '[]' : String(labelCell(label, guard));
  return stringify([
    ['row', 'place', 'text', ...(hasPairs ? ['text_pair'] : []), 'label', 'suggested_label', 'score'],
    ...errors.map(({ row, place, text, textPair = '', label, suggested, score }) => [
      row,
      guard.label(place),
      guard.carried(text),
      ...(hasPairs ? [guard.carried(textPair)] : []),
      cell(label),
      cell(suggested),
      score,
    ]),
  ]);
}
