// Predictions as JSON Lines: one object a row.
import type { PredictionFormat } from './table.js';

/** `{"row":0,"id":"a7","label":"pos","score":0.9,"probabilities":{"neg":0.1,"pos":0.9}}` */
export const jsonLines: PredictionFormat = async function* (batches, { kept: columns }) {
  for await (const rows of batches)
    yield rows
      .map(({ row, place, kept = [], ...prediction }) => {
        const carried = Object.fromEntries(columns.map(({ name }, i) => [name, kept[i] ?? null]));
        return `${JSON.stringify({ row, place, ...carried, ...prediction })}\n`; // no place, no key
      })
      .join('');
};
