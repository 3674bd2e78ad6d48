// Predictions as CSV: a header, then one record a row, quoted where a label or a path makes it necessary.
import { stringify } from 'csv-stringify/sync';
import { keptText, probabilityColumns, type PredictedRow, type PredictionFormat } from './table.js';

/** What the data layer, too, takes for the separator of several labels in one cell. */
const LABEL_DELIMITER = '|';

/** Columns: row, place where rows were left out, those carried over, label (several joined by |), score, and a probability for each label. */
export const csv: PredictionFormat = async function* (batches, { task, hasPlaces, kept }) {
  const probabilities = probabilityColumns(task);
  const place = hasPlaces ? ['place'] : [];
  const carried = kept.map(({ name }) => name);
  yield stringify([
    ['row', ...place, ...carried, 'label', 'score', ...probabilities.map(({ column }) => column)],
  ]);
  const record = (row: PredictedRow): (string | number | undefined)[] => [
    row.row,
    ...(hasPlaces ? [row.place] : []),
    ...kept.map((_, i) => keptText(row.kept?.[i])),
    Array.isArray(row.label) ? row.label.join(LABEL_DELIMITER) : row.label,
    row.score,
    ...probabilities.map(({ label }) => row.probabilities[label]),
  ];
  for await (const rows of batches) yield stringify(rows.map(record));
};
