// Throughput of a whole training, ours alone or in turns with HF Trainer.
import { join } from 'node:path';
import { prepareQuickstartData } from '../quickstart/data.mjs';
import { SetupError } from '../setup/errors.mjs';
import { say } from '../setup/terminal.mjs';
import { mediansOf, ratiosOf } from './comparison.mjs';
import { ourWorker, runJob } from './jobs.mjs';
import { referenceSides } from './reference.mjs';
import { headLines, runLines } from './report.mjs';
import { trainingFlops } from './shape.mjs';
import { decimals, withSpread } from './statistics.mjs';

/**
 * One program and way of training.
 *
 * @typedef {object} Side
 * @property {string} name
 * @property {'ours' | 'best' | 'tutorial'} role `best`: HF Trainer at its best, of which the fastest counts
 * @property {import('./jobs.mjs').Worker} worker
 * @property {{ task: string } & Record<string, unknown>} job
 *
 * @typedef {object} Run
 * @property {string} name
 * @property {Side['role']} role
 * @property {number} repetition from 1
 * @property {number} seconds
 * @property {number} tokensPerSecond real tokens
 * @property {number} samplesPerSecond
 * @property {number} flopsPerSecond
 * @property {number | null} dataWait share of the time without a step to run; null where it is not known
 * @property {number} peakBytes
 */

/**
 * Trains one epoch as often as asked, all sides in turns.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {string} folder for files that are not kept
 * @throws {SetupError}
 */
export async function benchEndToEnd(options, folder) {
  const { rows, tokenizer, shape, batchSize, dtype, threads, repeat } = options;
  const data = options.data ?? (await prepareQuickstartData()).train;
  const encoded = join(folder, 'encoded.json');
  const input = { data, rows, tokenizer, shape };
  /** @type {{ lengths: number[], vocabSize: number }} */
  const { lengths, vocabSize } = await runJob(ourWorker, { task: 'encode', ...input, output: encoded });
  const { sides, versions } = await referenceSides(options, encoded);
  const ours = { task: 'train', ...input, batchSize, dtype, threads };
  sides.unshift({ name: 'bertune', role: 'ours', worker: ourWorker, job: ours });

  /** @type {Run[]} */
  const runs = [];
  for (let repetition = 1; repetition <= repeat; repetition++)
    for (const side of sides) {
      say(`Repetition ${repetition} of ${repeat}: ${side.name} (${String(side.job['dtype'])}) ...`);
      runs.push({ ...(await measure(side, lengths, shape)), repetition });
    }
  const ratios = ratiosOf(runs);
  const lines = [
    ...headLines(options, { data, lengths, vocabSize, versions }),
    '',
    ...runLines(runs),
    ...ratios.map(({ against, ratio }) => `bertune / ${against}: ${withSpread(ratio, decimals)}`),
  ];
  return { lines, results: { data, lengths, vocabSize, versions, runs, medians: mediansOf(runs), ratios } };
}

/**
 * @param {Side} side
 * @param {readonly number[]} lengths
 * @param {import('./shape.mjs').Shape} shape
 * @returns {Promise<Omit<Run, 'repetition'>>}
 */
async function measure({ name, role, worker, job }, lengths, shape) {
  const { seconds, tokens, dataWait = null, peakBytes, dtype } = await runJob(worker, job);
  const expected = lengths.reduce((sum, length) => sum + length, 0);
  if (tokens !== expected)
    throw new SetupError(`${name} trained on ${tokens} real tokens where the rows have ${expected}`);
  return {
    name: `${name}, ${dtype}`,
    role,
    seconds,
    tokensPerSecond: tokens / seconds,
    samplesPerSecond: lengths.length / seconds,
    flopsPerSecond: trainingFlops(shape, lengths) / seconds,
    dataWait,
    peakBytes,
  };
}
