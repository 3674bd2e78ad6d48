// End to end: one epoch with Trainer.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AutoModelForSequenceClassification,
  parseConfig,
  Progress,
  Trainer,
  trainingArguments,
} from '../../../dist/index.js';
import { MAX_TOKENS } from '../shape.mjs';
import { openInput } from './inputs.mjs';
import { peakBytes, timed } from './measures.mjs';

const SEED = 42;

/**
 * Trains one step of one model, which is not measured, and then one epoch of another, which is: from texts on disk to
 * the last update.
 *
 * @param {{ batchSize: number } & import('./inputs.mjs').Input & import('./inputs.mjs').Runtime} job
 */
export async function train({ batchSize, threads, device, dtype, ...input }) {
  const { rows, tokenizer, config, close } = await openInput(input);
  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  /** @param {number} maxSteps */
  const trainOnce = async (maxSteps) => {
    const args = trainingArguments({
      outputDir: folder,
      numTrainEpochs: 1,
      maxSteps,
      perDeviceTrainBatchSize: batchSize,
      maxSeqLength: MAX_TOKENS,
      saveStrategy: 'no',
      loggingStrategy: 'no',
      seed: SEED,
      device,
      dtype,
      threads,
    });
    const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
    await model.open(args);
    let dataWait = 0;
    /** @type {Trainer | undefined} */
    let trainer;
    const time = await timed(device, async () => {
      trainer = new Trainer({
        model,
        args,
        tokenizer,
        trainDataset: rows,
        progress: new Progress({ write: () => true }),
      });
      ({ train_data_wait: dataWait = NaN } = await trainer.train());
    });
    await trainer?.close();
    await model.close();
    return { ...time, dataWait, tokens: trainer?.state.num_input_tokens_seen };
  };
  try {
    await trainOnce(1);
    return { ...(await trainOnce(-1)), peakBytes: peakBytes(device) };
  } finally {
    await rm(folder, { recursive: true, force: true });
    await close();
  }
}
