// A model's metrics on labelled texts: forward only.
import { buildSides } from './builds.mjs';
import { encodeRows } from './end-to-end.mjs';
import { evaluationSides } from './reference.mjs';
import { describeRows } from './report.mjs';
import { dtypeOf } from './steps.mjs';

const ROWS = 2000;

/** @typedef {import('./options.mjs').BenchOptions} BenchOptions */

/**
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planEvaluation(options, context) {
  return {
    works: [evaluationWork({ ...options, rows: options.rows ?? ROWS }, context)],
    notes: EVALUATION_NOTES,
  };
}

export const EVALUATION_NOTES = [
  'Evaluation: each run is a process of its own that evaluates some rows first, which are not counted; the rows are sorted',
  'by length for all. bertune: from the texts on disk to all metrics. HF: Trainer.evaluate() with accuracy alone, on the',
  'same token ids ready-made, with the precision and batch size that were the fastest on 128 of the rows.',
];

/**
 * @param {import('./end-to-end.mjs').RowOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Work}
 */
export function evaluationWork(options, context) {
  const { batchSize, threads, shape } = options;
  const { dtype } = dtypeOf(options, context);
  const { device } = context.machine;
  const prepare = async () => {
    const { input, encoded, sorted, lengths } = await encodeRows(options, context);
    const job = { task: 'evaluate', ...input, data: sorted, batchSize, dtype, device, threads };
    return {
      about: `${describeRows(input.data, lengths)}, `,
      shape,
      lengths,
      trains: false,
      sides: [
        ...buildSides(context.builds, dtype, ({ worker }) => worker(job), `, batch ${batchSize}`),
        ...(await evaluationSides(options, context, encoded)),
      ],
    };
  };
  return { title: 'Evaluation', prepare };
}
