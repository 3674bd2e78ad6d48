// A whole training: one epoch over the texts of a file.
import { join } from 'node:path';
import { prepareQuickstartData } from '../quickstart/data.mjs';
import { buildSides, ourBuild } from './builds.mjs';
import { trainingSides } from './reference.mjs';
import { describeRows } from './report.mjs';
import { dtypeOf } from './steps.mjs';

const ROWS = 96;

/**
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 *
 * @typedef {BenchOptions & { rows: number }} RowOptions
 */

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planEndToEnd(options, context) {
  return {
    works: [trainingWork({ ...options, rows: options.rows ?? ROWS }, context)],
    notes: TRAINING_NOTES,
  };
}

export const TRAINING_NOTES = [
  'End to end: each run is a process of its own: one step of a model of the same shape first, not counted, then the whole',
  'epoch of a new model with AdamW, clip 1.0, dropout 0.1. Loading the program and making the model are not counted.',
  'bertune: from the texts on disk, with tokenizer threads and tokenization counted, batches as they come. HF Trainer:',
  'trainer.train() alone; it gets the same token ids ready-made.',
];

/**
 * @param {RowOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Work}
 */
export function trainingWork(options, context) {
  const { batchSize, threads, shape } = options;
  const { dtype } = dtypeOf(options, context);
  const { device } = context.machine;
  const prepare = async () => {
    const { input, encoded, lengths } = await encodeRows(options, context);
    const job = { task: 'train', ...input, batchSize, dtype, device, threads };
    return {
      about: `one epoch over ${describeRows(input.data, lengths)}, `,
      shape,
      lengths,
      trains: true,
      sides: [
        ...buildSides(context.builds, dtype, ({ worker }) => worker(job)),
        ...trainingSides(options, context, encoded),
      ],
    };
  };
  return { title: `End to end, batch ${batchSize}`, prepare };
}

/**
 * Writes the token ids of the first rows to a file, for the other side, and their texts from the shortest to the longest
 * to another.
 *
 * @param {RowOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Promise<{ input: import('./worker/inputs.mjs').Input, encoded: string, sorted: string, lengths: number[] }>}
 */
export async function encodeRows({ data: file, rows, tokenizer, shape }, { folder }) {
  const data = file ?? (await prepareQuickstartData()).train;
  const encoded = join(folder, `encoded-${rows}.json`);
  const sorted = join(folder, `sorted-${rows}.jsonl`);
  const input = { data, rows, tokenizer, shape };
  const { lengths } = await ourBuild.worker({ task: 'encode', ...input, output: encoded, sorted });
  return { input, encoded, sorted, lengths };
}
