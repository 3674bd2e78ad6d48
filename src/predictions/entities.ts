// Files of entities: an object for each text in JSON Lines, a line for each entity in CSV, and a table for people.
import { stringify } from 'csv-stringify/sync';
import type { Entity } from '../evaluation/entities.js';
import { formatNumber } from '../terminal/progress.js';
import { oneLine } from '../util/text.js';
import { passthroughText, type FormulaGuard, type PassthroughColumn, type PredictedRow } from './table.js';

/** The entities of one row of the data. */
export interface EntityRow extends Pick<PredictedRow, 'row' | 'place' | 'passthrough'> {
  text: string;
  entities: readonly Entity[];
}

/** What every row has. */
export interface EntityTable {
  hasPlaces: boolean;
  passthrough: readonly PassthroughColumn[];
  guard: FormulaGuard;
  /** Of the terminal, for a table; default 100. */
  width?: number;
}

/** As `PredictionFormat`. */
export type EntityFormat = (
  batches: AsyncIterable<readonly EntityRow[]>,
  table: EntityTable,
) => AsyncIterable<string>;

/** `{"row":0,"text":"Ada ...","entities":[{"label":"PER","score":0.9,"start":0,"end":3,"text":"Ada"}]}` */
const jsonLines: EntityFormat = async function* (batches, { passthrough: columns }) {
  for await (const rows of batches)
    yield rows
      .map(({ row, place, passthrough = [], text, entities }) => {
        const carried = Object.fromEntries(columns.map(({ name }, i) => [name, passthrough[i] ?? null]));
        return `${JSON.stringify({ row, place, ...carried, text, entities })}\n`;
      })
      .join('');
};

/** A text without entities has no line. */
const csv: EntityFormat = async function* (batches, { hasPlaces, passthrough, guard }) {
  const place = hasPlaces ? ['place'] : [];
  const carried = passthrough.map(({ name }) => name);
  yield stringify([['row', ...place, ...carried, 'label', 'score', 'start', 'end', 'text']]);
  for await (const rows of batches)
    yield stringify(
      rows.flatMap((one) =>
        one.entities.map(({ label, score, start, end, text }) => [
          one.row,
          ...(hasPlaces ? [guard.label(one.place ?? '')] : []),
          ...passthrough.map((_, i) => guard.carried(passthroughText(one.passthrough?.[i]))),
          guard.label(label),
          score,
          start,
          end,
          guard.carried(text),
        ]),
      ),
    );
};

/** Each text with what was found in it. */
const tableOfText: EntityFormat = async function* (batches, { width = 100 }) {
  for await (const rows of batches)
    yield rows
      .map(({ text, entities }) => {
        const found = entities.map(
          (entity) =>
            `  ${entity.label}  ${formatNumber(entity.score)}  ${oneLine(entity.text, width - 20)}\n`,
        );
        return `${oneLine(text, width)}\n${found.join('') || '  no entity\n'}`;
      })
      .join('');
};

export const entityFormats = { jsonl: jsonLines, csv, table: tableOfText } as const;
