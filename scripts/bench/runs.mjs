// Work that several programs do in alternation, each time in a process of its own.
import { SetupError } from '../setup/errors.mjs';
import { log } from '../setup/terminal.mjs';
import { runJob } from './jobs.mjs';
import { trainingFlops } from './shape.mjs';

/**
 * One program and way of doing the work.
 *
 * @typedef {object} Side
 * @property {string} name
 * @property {'ours' | 'plain' | 'best' | 'tutorial' | 'eager' | 'compiled'} role `plain`: ours without the options that
 *   are looked at
 * @property {import('./jobs.mjs').Worker} worker
 * @property {{ task: string } & Record<string, unknown>} job
 *
 * @typedef {object} Work
 * @property {string} title
 * @property {string} about what the rows are, in front of the model's shape
 * @property {import('./shape.mjs').Shape} shape
 * @property {readonly number[]} lengths tokens of each row
 * @property {boolean} trains whether there is a backward pass
 * @property {readonly Side[]} sides
 *
 * @typedef {object} Plan what a call of the bench does
 * @property {readonly Work[]} works
 * @property {readonly string[]} notes how it is measured, for people
 * @property {(measured: ReadonlyMap<Work, readonly import('./comparison.mjs').Side[]>) => { lines: string[], targets: unknown[] }} [conclude]
 *
 * What all measurements of one call share.
 *
 * @typedef {object} Context
 * @property {import('./machine.mjs').Machine} machine
 * @property {import('./reference.mjs').Reference | null} reference null where nothing is compared
 * @property {string} folder for temporary files
 *
 * What a worker measures.
 *
 * @typedef {object} Measured
 * @property {number} seconds for all rows once
 * @property {number} tokens real tokens that the program saw
 * @property {string} dtype
 * @property {number} peakBytes of the GPU's memory on a GPU, else of the process
 * @property {number} [matmulRate] FLOP/s of the largest matrix product alone
 * @property {number} [outside] share of the time in which the native thread had nothing to do
 * @property {number} [dataWait] share of the time in which no step was ready after the first
 * @property {import('./worker/measures.mjs').Split} [split] shares of the step's thread-seconds
 * @property {number} [stateBytes] bytes of the optimizer's state
 *
 * @typedef {{ name: string, role: Side['role'], repetition: number, tokensPerSecond: number, samplesPerSecond: number, flopsPerSecond: number, matmulShare?: number } & Omit<Measured, 'dtype' | 'tokens' | 'matmulRate'>} Run
 */

/**
 * Repeats the work.
 *
 * @param {Work} work
 * @param {number} repeat
 * @returns {Promise<Run[]>}
 * @throws {SetupError}
 */
export async function takeTurns(work, repeat) {
  /** @type {Run[]} */
  const runs = [];
  for (let repetition = 1; repetition <= repeat; repetition++)
    for (const side of work.sides) {
      log(
        `${work.title}, repetition ${repetition} of ${repeat}: ${side.name} (${String(side.job['dtype'])}) ...`,
      );
      runs.push({ ...runOf(work, side, await runJob(side.worker, side.job)), repetition });
    }
  return runs;
}

/**
 * @param {Work} work
 * @param {Side} side
 * @param {Measured} measured
 * @returns {Omit<Run, 'repetition'>}
 */
function runOf({ lengths, shape, trains }, { name, role }, { tokens, dtype, matmulRate, ...rest }) {
  const expected = lengths.reduce((sum, length) => sum + length, 0);
  if (tokens !== expected)
    throw new SetupError(`${name} saw ${tokens} real tokens where the rows have ${expected}`);
  // Backward takes twice as much as forward.
  const flopsPerSecond = trainingFlops(shape, lengths) / (trains ? 1 : 3) / rest.seconds;
  return {
    ...rest,
    name: `${name}, ${dtype}`,
    role,
    tokensPerSecond: tokens / rest.seconds,
    samplesPerSecond: lengths.length / rest.seconds,
    flopsPerSecond,
    ...(matmulRate !== undefined && { matmulShare: flopsPerSecond / matmulRate }),
  };
}
