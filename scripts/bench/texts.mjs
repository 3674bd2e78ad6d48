// Benchmarks on the texts of a file: a whole training, and a model's metrics.
import { join } from 'node:path';
import { prepareQuickstartData } from '../quickstart/data.mjs';
import { buildSides, ourBuild } from './builds.mjs';
import { evaluationSides, trainingSides } from './reference.mjs';
import { describeRows } from './report.mjs';
import { processes } from './statistics.mjs';

/**
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 * @typedef {import('./runs.mjs').Context} Context
 * @typedef {import('./runs.mjs').Benchmark} Benchmark
 */

export const TRAINING_NOTES = [
  'End to end: each run is a process of its own: one step of a model of the same shape first, not counted, then the whole',
  'epoch of a new model with AdamW, clip 1.0, dropout 0.1. Loading the program and making the model are not counted.',
  'bertune: from the texts on disk, with tokenizer threads and tokenization counted, batches as they come. HF Trainer:',
  'trainer.train() alone; it gets the same token ids ready-made.',
];

export const EVALUATION_NOTES = [
  'Evaluation: each run is a process of its own that evaluates some rows first, which are not counted; the rows are sorted',
  'by length for all. bertune: from the texts on disk to all metrics. HF: Trainer.evaluate() with accuracy alone, on the',
  'same token ids ready-made, with the precision and batch size that were the fastest on 128 of the rows.',
];

/** One epoch. @param {BenchOptions} options @param {Context} context @returns {Benchmark} */
export function trainingBenchmark(options, context) {
  const prepare = async () => {
    const { sides, about, encoded, ...work } = await textBenchmark('train', options, context);
    const all = [...sides, ...trainingSides(options, context, encoded)];
    return { ...work, about: `one epoch over ${about}`, trains: true, sides: all };
  };
  return { title: `End to end, batch ${options.batchSize}`, prepare };
}

/** @param {BenchOptions} options @param {Context} context @returns {Benchmark} */
export function evaluationBenchmark(options, context) {
  const prepare = async () => {
    const { sides, encoded, ...work } = await textBenchmark('evaluate', options, context);
    return {
      ...work,
      trains: false,
      sides: [...sides, ...(await evaluationSides(options, context, encoded))],
    };
  };
  return { title: 'Evaluation', prepare };
}

/**
 * Our sides, and a file with the token ids for the other. Texts that are evaluated are sorted by length.
 *
 * @param {'train' | 'evaluate'} task
 * @param {BenchOptions} options
 * @param {Context} context
 */
async function textBenchmark(task, options, { machine, builds, folder }) {
  const { rows, tokenizer, shape, batchSize, threads, dtype, nproc, reduceDtype } = options;
  const data = options.data ?? (await prepareQuickstartData()).train;
  const encoded = join(folder, `encoded-${rows}.json`);
  const sorted = join(folder, `sorted-${rows}.jsonl`);
  const input = { data, rows, tokenizer, shape };
  /** @type {{ lengths: number[] }} */
  const { lengths } = await ourBuild.worker({ task: 'encode', ...input, output: encoded, sorted });
  const runtime = { batchSize, dtype, device: machine.device, threads };
  /** @type {(role: 'one' | 'threads', threads: number, batchSize: number) => import('./runs.mjs').Side} of one process */
  const side = (role, ownThreads, ownBatch) => ({
    name: `bertune, ${processes(1, ownThreads)}, batch ${ownBatch}`,
    role,
    dtype,
    measure: () => ourBuild.worker({ ...job, threads: ownThreads, batchSize: ownBatch }),
  });
  const job = { task, ...input, data: task === 'train' ? data : sorted, ...runtime };
  const how = `, batch ${batchSize}`;
  const sides =
    nproc === 1
      ? buildSides(builds, dtype, ({ worker }) => worker(job), how)
      : [
          ...buildSides(
            builds,
            dtype,
            ({ worker }) => worker({ ...job, nproc, reduceDtype }),
            `, ${processes(nproc, threads)}, batch ${batchSize} each`,
          ),
          side('one', threads, batchSize),
          side('threads', nproc * threads, nproc * batchSize),
        ];
  return { about: `${describeRows(data, lengths)}, `, shape, lengths, sides, encoded };
}
