// A model's metrics on labelled texts: forward only.
import { encodeRows } from './end-to-end.mjs';
import { ourWorker } from './jobs.mjs';
import { evaluationSides } from './reference.mjs';
import { describeRows } from './report.mjs';

/** @typedef {import('./options.mjs').BenchOptions} BenchOptions */

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planEvaluation(options, context) {
  return { works: [await evaluationWork(options, context)], notes: EVALUATION_NOTES };
}

export const EVALUATION_NOTES = [
  'Evaluation: each run is a process of its own that evaluates some rows first, which are not counted. bertune: from the',
  'texts on disk to all metrics, rows as they come. HF: Trainer.evaluate() with accuracy alone, on the same token ids',
  'ready-made and sorted by length, with the precision and batch size that were the fastest on 128 of the rows.',
];

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Promise<import('./runs.mjs').Work>}
 */
export async function evaluationWork(options, context) {
  const { batchSize, dtype, threads, shape } = options;
  const { device } = context.machine;
  const { input, encoded, lengths } = await encodeRows(options, context);
  const ours = { task: 'evaluate', ...input, batchSize, dtype, device, threads };
  return {
    title: 'Evaluation',
    about: `${describeRows(input.data, lengths)}, `,
    shape,
    lengths,
    trains: false,
    sides: [
      { name: `bertune, batch ${batchSize}`, role: 'ours', worker: ourWorker, job: ours },
      ...(await evaluationSides(options, context, encoded)),
    ],
  };
}
