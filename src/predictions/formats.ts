// The formats of files of predictions by name and by the ending of a file, and those that are text: JSON Lines, one object
// a row, and CSV, quoted where a label or a path makes it necessary.
import { extname } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { passthroughText, probabilityColumns, type PredictedRow, type PredictionFormat } from './table.js';

/** `{"row":0,"id":"a7","label":"pos","score":0.9,"probabilities":{"neg":0.1,"pos":0.9}}` */
const jsonLines: PredictionFormat = async function* (batches, { passthrough: columns }) {
  for await (const rows of batches)
    yield rows
      .map(({ row, place, passthrough = [], ...prediction }) => {
        const carried = Object.fromEntries(columns.map(({ name }, i) => [name, passthrough[i] ?? null]));
        return `${JSON.stringify({ row, place, ...carried, ...prediction })}\n`; // no place, no key
      })
      .join('');
};

/** What the data layer, too, takes for the separator of several labels in one cell. */
const LABEL_DELIMITER = '|';

/** What a spreadsheet takes for the start of a formula, the full-width forms included. */
const FORMULA = /^[=+\-@\t\r＝＋－＠]/u;

/** Labels such as `+` and `-`: nothing that could be computed, and they must be read back as they are. */
const SIGNS_ALONE = /^[=+\-@|＝＋－＠]+$/u;

/**
 * Columns: row, place where rows were left out, those carried over, label (several joined by |), score, and a
 * probability for each label. A text that a spreadsheet would compute (`=HYPERLINK(...)`) gets an apostrophe before it,
 * unless it is a number.
 */
const csv: PredictionFormat = async function* (batches, { task, hasPlaces, passthrough }) {
  const probabilities = probabilityColumns(task);
  const place = hasPlaces ? ['place'] : [];
  const carried = passthrough.map(({ name }) => name);
  yield stringify([
    ['row', ...place, ...carried, 'label', 'score', ...probabilities.map(({ column }) => column)],
  ]);
  const record = (row: PredictedRow): (string | number | undefined)[] => [
    row.row,
    ...(hasPlaces ? [inert(row.place ?? '')] : []),
    ...passthrough.map((_, i) => inert(passthroughText(row.passthrough?.[i]))),
    labelCell(row.label),
    row.score,
    ...probabilities.map(({ label }) => row.probabilities[label]),
  ];
  for await (const rows of batches) yield stringify(rows.map(record));
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
export const formatNames = ['jsonl', 'csv', 'parquet'] as const satisfies readonly FormatName[];

/** The format that the ending of a file names; undefined for a foreign one. */
export function formatOfEnding(path: string): FormatName | undefined {
  const ending = extname(path).toLowerCase().slice(1);
  return formatNames.find((name) => {
    const { endings }: Format = predictionFormats[name];
    return endings.includes(ending);
  });
}

function labelCell(label: PredictedRow['label']): string | number {
  if (typeof label === 'number') return label;
  if (typeof label === 'string') return inert(label);
  const joined = label.join(LABEL_DELIMITER);
  return typeof label[0] === 'number' ? joined : inert(joined);
}

function inert(text: string): string {
  return FORMULA.test(text) && !SIGNS_ALONE.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
}
