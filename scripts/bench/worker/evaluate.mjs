// Evaluation and prediction: from texts on disk to metrics, or to logits.
import {
  AutoModelForSequenceClassification,
  createTokenizerPool,
  evaluateRows,
  parseConfig,
  predictRows,
} from '../../../dist/index.js';
import { MAX_TOKENS } from '../shape.mjs';
import { firstRows, openInput } from './inputs.mjs';
import { peakBytes, timed } from './measures.mjs';

const SEED = 42;
const TOKENIZER_THREADS = 1; // dataloaderNumWorkers' default

/**
 * @typedef {{ batchSize: number } & import('./inputs.mjs').Input & import('./inputs.mjs').Runtime} TextJob
 * @typedef {import('../../../dist/index.js').LabelledRows} Rows
 * @typedef {ReturnType<typeof createTokenizerPool>} Pool
 * @typedef {(model: import('../../../dist/index.js').EncoderModel, rows: Rows, options: { pool: Pool, batchSize: number }) => Promise<unknown>} Work
 */

/** From texts to metrics. @param {TextJob} job */
export function evaluate(job) {
  return timedRows(job, evaluateRows);
}

/** From texts to logits. @param {TextJob} job */
export function predict(job) {
  return timedRows(job, async (model, rows, options) => {
    for await (const { logits } of predictRows(model, rows, options))
      if (logits.length === 0) throw new Error('no logits');
  });
}

/** Does the work with one batch, which is not measured, and then with all rows, which is. @param {TextJob} job @param {Work} work */
async function timedRows({ batchSize, threads, device, dtype, ...input }, work) {
  const { rows, tokenizer, config, close } = await openInput(input);
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
  await model.open({ device, dtype, threads, seed: SEED });
  let tokens = 0;
  /** @param {Rows} some */
  const workOnce = async (some) => {
    const pool = createTokenizerPool(tokenizer, { maxLength: MAX_TOKENS, workers: TOKENIZER_THREADS });
    tokens = 0;
    /** @type {Pool} */
    const counting = {
      ...pool,
      encode: async (examples) => {
        const encodings = await pool.encode(examples);
        for (const { ids } of encodings) tokens += ids.length;
        return encodings;
      },
    };
    try {
      return await timed(device, () => work(model, some, { pool: counting, batchSize }));
    } finally {
      await pool.close();
    }
  };
  try {
    await workOnce(firstRows(rows, Math.min(batchSize, rows.size)));
    const time = await workOnce(rows);
    return { ...time, tokens, peakBytes: peakBytes(device) };
  } finally {
    await model.close();
    await close();
  }
}
