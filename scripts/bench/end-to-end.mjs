// A whole training: one epoch over the texts of a file.
import { join } from 'node:path';
import { prepareQuickstartData } from '../quickstart/data.mjs';
import { ourWorker, runJob } from './jobs.mjs';
import { trainingSides } from './reference.mjs';
import { describeRows } from './report.mjs';

/** @typedef {import('./options.mjs').BenchOptions} BenchOptions */

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planEndToEnd(options, context) {
  return { works: [await trainingWork(options, context)], notes: TRAINING_NOTES };
}

export const TRAINING_NOTES = [
  'End to end: each run is a process of its own: one step of a model of the same shape first, not counted, then the whole',
  'epoch of a new model with AdamW, clip 1.0, dropout 0.1. Loading the program and making the model are not counted.',
  'bertune: from the texts on disk, with tokenizer threads and tokenization counted, batches as they come. HF Trainer:',
  'trainer.train() alone; it gets the same token ids ready-made.',
];

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Promise<import('./runs.mjs').Work>}
 */
export async function trainingWork(options, context) {
  const { batchSize, dtype, threads, shape } = options;
  const { device } = context.machine;
  const { input, encoded, lengths } = await encodeRows(options, context);
  const ours = { task: 'train', ...input, batchSize, dtype, device, threads };
  return {
    title: `End to end, batch ${batchSize}`,
    about: `one epoch over ${describeRows(input.data, lengths)}, `,
    shape,
    lengths,
    trains: true,
    sides: [
      { name: 'bertune', role: 'ours', worker: ourWorker, job: ours },
      ...trainingSides(options, context, encoded),
    ],
  };
}

/**
 * Writes the token ids of the first rows to a file, for the other side.
 *
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Promise<{ input: import('./worker/inputs.mjs').Input, encoded: string, lengths: number[] }>}
 */
export async function encodeRows({ data: file, rows, tokenizer, shape }, { folder }) {
  const data = file ?? (await prepareQuickstartData()).train;
  const encoded = join(folder, `encoded-${rows}.json`);
  const input = { data, rows, tokenizer, shape };
  const { lengths } = await runJob(ourWorker, { task: 'encode', ...input, output: encoded });
  return { input, encoded, lengths };
}
