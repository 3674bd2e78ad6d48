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
 * @param {{ batchSize: number, reduceDtype?: 'float32' | 'bfloat16' } & import('./inputs.mjs').Input & import('./inputs.mjs').Runtime} job
 * @param {import('./world.mjs').World} world
 */
export async function train({ batchSize, threads, device, dtype, reduceDtype, ...input }, world) {
  const { rows, tokenizer, config, close } = await openInput(input);
  const folder = await world.fromMain(() => mkdtemp(join(tmpdir(), 'bertune-bench-')));
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
      ...(reduceDtype !== undefined && { gradientReduceDtype: reduceDtype }),
    });
    const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
    await model.open(args);
    let dataWait = 0;
    await world.sum([0]); // all begin together
    /** @type {Trainer | undefined} */
    let trainer;
    const time = await timed(device, async () => {
      trainer = new Trainer({
        model,
        args,
        tokenizer,
        trainDataset: rows,
        progress: new Progress({ write: () => true }),
        world,
      });
      ({ train_data_wait: dataWait = NaN } = await trainer.train());
    });
    await trainer?.close();
    await model.close();
    return { ...time, dataWait, tokens: (world.isMain ? trainer?.state.num_input_tokens_seen : 0) ?? NaN };
  };
  try {
    await trainOnce(1);
    return { ...(await trainOnce(-1)), peakBytes: peakBytes(device) };
  } finally {
    if (world.isMain) await rm(folder, { recursive: true, force: true });
    await close();
  }
}
