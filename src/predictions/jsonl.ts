// Predictions as JSON Lines: one object a row.
import type { PredictionFormat } from './table.js';

/** `{"row":0,"label":"pos","score":0.9,"probabilities":{"neg":0.1,"pos":0.9}}` */
export const jsonLines: PredictionFormat = async function* (batches) {
  for await (const rows of batches) yield rows.map((row) => `${JSON.stringify(row)}\n`).join('');
};
