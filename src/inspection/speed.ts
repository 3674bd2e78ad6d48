// How fast this machine trains on these rows: a few real steps.
import { loadBatch } from '../data/batch.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { Dataset } from '../data/dataset.js';
import { randomNumbers } from '../util/random.js';
import type { TokenizerPool } from '../tokenizer/index.js';

/** Steps are measured until this much time has gone. */
const SECONDS = 4;

/** Real tokens a second of training steps with batches of that many rows, after one step that is not counted. */
export async function measureSpeed(
  model: EncoderModel,
  data: Dataset,
  options: { pool: TokenizerPool; batchSize: number },
): Promise<number> {
  const { pool, batchSize } = options;
  const random = randomNumbers(42);
  let [tokens, began] = [0, 0];
  for (let step = 0; step < 2 || performance.now() - began < 1000 * SECONDS; step++) {
    const rows = Uint32Array.from({ length: Math.min(batchSize, data.size) }, () =>
      Math.floor(random() * data.size),
    );
    const batch = await loadBatch(data, rows, pool);
    await model.session.accumulate(batch, { divisor: rows.length });
    await model.session.update({
      learningRate: 0,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: 1,
    });
    await model.session.stats(); // waits for the device
    if (step === 0) began = performance.now();
    else tokens += batch.inputIds.length;
  }
  return tokens / ((performance.now() - began) / 1000);
}
