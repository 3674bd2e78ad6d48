// The batches of one optimizer step, tokenized and packed.
import { loadBatch, type LabelledRows } from '../data/batch.js';
import type { PackedBatch } from '../native/index.js';
import type { TokenizerPool } from '../tokenizer/index.js';

/** Ready for the native session. */
export interface PreparedStep {
  batches: PackedBatch[];
  tokens: number;
}

/** Reads the rows of a step, one list a micro-batch. */
export async function prepareStep(
  data: LabelledRows,
  rows: readonly Uint32Array[],
  pool: TokenizerPool,
): Promise<PreparedStep> {
  const batches = await Promise.all(rows.map((group) => loadBatch(data, group, pool)));
  const tokens = batches.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  return { batches, tokens };
}
