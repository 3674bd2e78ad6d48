// What a person sees of an evaluation class by class, where it is small enough to be read: two tables of text.
import type { MetricDetails } from '../tasks/index.js';

const MOST_CLASSES = 20;
/** A matrix is as wide as it has classes. */
const MOST_COLUMNS = 8;
const NAME_WIDTH = 16;

/** The lines of the tables; none of both where there are too many classes, or none at all. */
export function classReport(details: MetricDetails | null, labels: readonly string[]): string[] {
  if (details === null || labels.length > MOST_CLASSES) return [];
  const { per_class: figures, confusion_matrix: matrix } = details;
  const scores = labels.map((label) => {
    const { precision = 0, recall = 0, f1 = 0, support = 0 } = figures[label] ?? {};
    return [shortName(label), ...[precision, recall, f1].map((score) => score.toFixed(4)), String(support)];
  });
  const lines = aligned([['class', 'precision', 'recall', 'f1', 'rows'], ...scores]);
  if (matrix === undefined || labels.length > MOST_COLUMNS) return lines;
  const counts = labels.map((label) => [
    shortName(label),
    ...labels.map((guess) => String(matrix[label]?.[guess] ?? 0)),
  ]);
  return [...lines, '', ...aligned([['label \\ predicted', ...labels.map(shortName)], ...counts])];
}

/** Names to the left, numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
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
