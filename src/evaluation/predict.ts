// Logits for any number of texts, batch by batch, in the order of the rows.
import type { EncoderModel } from '../models/encoder-model.js';
import { labelsOf, pack, type LabelledRows, type TextRows } from '../data/batch.js';
import { prefetch } from '../data/prefetch.js';
import type { Example } from '../data/index.js';
import { predictWindows, type TextReading } from './long-texts.js';

/** The logits of some rows in a row. */
export interface PredictedBatch {
  /** The first row of the batch. */
  first: number;
  rows: number;
  /** [rows * numLabels] */
  logits: Float32Array;
  labels: Int32Array | Float32Array | undefined;
  examples: readonly Example[];
}

/** How rows are predicted; `evaluateRows` hands its own options on to here. */
export interface PredictRowsOptions extends TextReading {
  batchSize: number;
}

/** Tokenized and packed ahead of the batch that the model is busy with. */
const BATCHES_AHEAD = 4;

/** Runs the model over all rows without dropout. Memory does not grow with the number of rows. */
export async function* predictRows(
  model: EncoderModel,
  data: TextRows | LabelledRows,
  options: PredictRowsOptions,
): AsyncGenerator<PredictedBatch> {
  const { pool, batchSize, longTexts } = options;
  const load = async (first: number): Promise<PredictedBatch> => {
    const rows = Uint32Array.from({ length: Math.min(batchSize, data.size - first) }, (_, i) => first + i);
    const examples = await data.read(rows);
    const encodings = await pool.encode(examples);
    const logits = await (longTexts === undefined
      ? model.session.predict(pack(encodings))
      : predictWindows(model.session, encodings, longTexts, batchSize));
    return { first, rows: rows.length, logits, labels: labelsOf(data, rows), examples };
  };
  yield* prefetch(range(0, data.size, batchSize), load, BATCHES_AHEAD);
}

function* range(start: number, end: number, step: number): Generator<number> {
  for (let i = start; i < end; i += step) yield i;
}
