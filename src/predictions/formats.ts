// The formats of files of predictions by name and by the ending of a file, and those that are text: JSON Lines, one object
// a row, and CSV, quoted where a label or a path makes it necessary.
import { extname } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { formatNumber } from '../terminal/progress.js';
import { oneLine } from '../util/text.js';
import {
  passthroughText,
  probabilityColumns,
  type PredictedRow,
  type FormulaGuard,
  type PredictionFormat,
} from './table.js';

/** `{"row":0,"id":"a7","label":"pos","score":0.9,"probabilities":{"neg":0.1,"pos":0.9}}` */
const jsonLines: PredictionFormat = async function* (batches, { passthrough: columns }) {
  for await (const rows of batches)
    yield rows
      .map(({ row, place, passthrough = [], label, score, probabilities }) => {
        const carried = Object.fromEntries(columns.map(({ name }, i) => [name, passthrough[i] ?? null]));
        return `${JSON.stringify({ row, place, ...carried, label, score, probabilities })}\n`; // no place, no key
      })
      .join('');
};

/** What the data layer, too, takes for the separator of several labels in one cell. */
const LABEL_DELIMITER = '|';

/**
 * Columns: row, place where rows were left out, those carried over, label (several joined by |), score, and a
 * probability for each label. A text that a spreadsheet would compute (`=HYPERLINK(...)`) gets an apostrophe before it,
 * unless it is a number.
 */
const csv: PredictionFormat = async function* (batches, { task, hasPlaces, passthrough, guard }) {
  const probabilities = probabilityColumns(task);
  const place = hasPlaces ? ['place'] : [];
  const carried = passthrough.map(({ name }) => name);
  yield stringify([
    ['row', ...place, ...carried, 'label', 'score', ...probabilities.map(({ column }) => column)],
  ]);
  const record = (row: PredictedRow): (string | number | undefined)[] => [
    row.row,
    ...(hasPlaces ? [guard.label(row.place ?? '')] : []),
    ...passthrough.map((_, i) => guard.carried(passthroughText(row.passthrough?.[i]))),
    labelCell(row.label, guard),
    row.score,
    ...probabilities.map(({ label }) => row.probabilities[label]),
  ];
  for await (const rows of batches) yield stringify(rows.map(record));
};

const SCORE_WIDTH = 7;
const MOST_LABEL = 24;

/** For people: label, score and as much of the text as a line holds. */
const tableOfText: PredictionFormat = async function* (batches, { task, width = 100 }) {
  const names = task.kind.hasClasses ? task.labels : ['LABEL_0'];
  const longest = Math.max('label'.length, ...names.map((name) => oneLine(name, MOST_LABEL).length));
  const line = (label: string, score: string, text: string): string =>
    `${label.padEnd(longest)}  ${score.padStart(SCORE_WIDTH)}  ${text}`.trimEnd() + '\n';
  yield line('label', 'score', 'text');
  for await (const rows of batches)
    yield rows
      .map(({ label, score, text = '' }) => {
        const cell = [label].flat().map((one) => (typeof one === 'number' ? formatNumber(one) : one));
        const shown = oneLine(cell.join(' | '), Math.max(longest, MOST_LABEL));
        const room = width - Math.max(longest, shown.length) - SCORE_WIDTH - 4;
        return line(shown, formatNumber(score), oneLine(text, Math.max(room, 20)));
      })
      .join('');
};

interface Format {
  /** Of files, without the dot. */
  readonly endings: readonly string[];
  /** Whether it can only be written to a file, and not to a stream. */
  readonly needsFile: boolean;
  readonly write: PredictionFormat;
}

export const predictionFormats = {
  // No ending is that of a pipe or a device.
  jsonl: { endings: ['jsonl', 'ndjson', ''], needsFile: false, write: jsonLines },
  csv: { endings: ['csv'], needsFile: false, write: csv },
  table: { endings: [], needsFile: false, write: tableOfText },
  // Its footer has the places of the parts of the file, so that a reader must be able to seek.
  parquet: {
    endings: ['parquet'],
    needsFile: true,
    async *write(batches, table) {
      const { parquet } = await import('./parquet.js'); // only who writes Parquet loads its library
      yield* parquet(batches, table);
    },
  },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof predictionFormats;
export const formatNames = ['jsonl', 'csv', 'parquet', 'table'] as const satisfies readonly FormatName[];

/** The format that the ending of a file names; undefined for a foreign one. */
export function formatOfEnding(path: string): FormatName | undefined {
  const ending = extname(path).toLowerCase().slice(1);
  return formatNames.find((name) => {
    const { endings }: Format = predictionFormats[name];
    return endings.includes(ending);
  });
}

/** A label as a cell; several are joined by |. */
export function labelCell(label: PredictedRow['label'], guard: FormulaGuard): string | number {
  if (typeof label === 'number') return label;
  if (typeof label === 'string') return guard.label(label);
  const joined = label.join(LABEL_DELIMITER);
  return typeof label[0] === 'number' ? joined : guard.label(joined);
}
