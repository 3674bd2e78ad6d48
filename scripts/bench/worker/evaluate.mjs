// Evaluation: from texts on disk to metrics.
import {
  AutoModelForSequenceClassification,
  createTokenizerPool,
  evaluateRows,
  parseConfig,
} from '../../../dist/index.js';
import { MAX_TOKENS } from '../shape.mjs';
import { firstRows, openInput } from './inputs.mjs';
import { peakBytes, timed } from './measures.mjs';

const SEED = 42;
const TOKENIZER_THREADS = 1; // dataloaderNumWorkers' default

/**
 * Evaluates one batch, which is not measured, and then all rows, which is.
 *
 * @param {{ batchSize: number } & import('./inputs.mjs').Input & import('./inputs.mjs').Runtime} job
 */
export async function evaluate({ batchSize, threads, device, dtype, ...input }) {
  const { rows, tokenizer, config, close } = await openInput(input);
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
  await model.open({ device, dtype, threads, seed: SEED });
  let tokens = 0;
  /** @param {import('../../../dist/index.js').LabelledRows} some */
  const evaluateOnce = async (some) => {
    const pool = createTokenizerPool(tokenizer, { maxLength: MAX_TOKENS, workers: TOKENIZER_THREADS });
    tokens = 0;
    /** @type {typeof pool} */
    const counting = {
      ...pool,
      encode: async (examples) => {
        const encodings = await pool.encode(examples);
        for (const { ids } of encodings) tokens += ids.length;
        return encodings;
      },
    };
    try {
      return await timed(device, () => evaluateRows(model, some, { pool: counting, batchSize }));
    } finally {
      await pool.close();
    }
  };
  try {
    await evaluateOnce(firstRows(rows, Math.min(batchSize, rows.size)));
    const time = await evaluateOnce(rows);
    return { ...time, tokens, peakBytes: peakBytes(device) };
  } finally {
    await model.close();
    await close();
  }
}
