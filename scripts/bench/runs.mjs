// Benchmarks: work that several programs do in alternation, each time in a process of its own.
import { messageOf, SetupError } from '../setup/errors.mjs';
import { log } from '../setup/terminal.mjs';
import { trainingFlops } from './shape.mjs';

/**
 * One program and way of doing the work.
 *
 * @typedef {object} Side
 * @property {string} name
 * @property {'ours' | 'before' | 'plain' | 'one' | 'threads' | 'apart' | 'strong' | 'best' | 'tutorial' | 'eager' | 'compiled'} role
 *   `before`: another build; `plain`: ours without the options that are looked at; beside ours of several processes `one` and
 *   `threads`: one process, of as many threads as one of them or as all; `apart`: they sum nothing; `strong`: they share the
 *   rows that one has
 * @property {'float32' | 'bfloat16'} dtype
 * @property {readonly number[]} [lengths] tokens of each row, where they are not those of the benchmark
 * @property {() => Promise<Measured>} measure
 *
 * @typedef {object} Prepared
 * @property {string} about what the rows are, in front of the model's shape
 * @property {import('./shape.mjs').Shape} shape
 * @property {readonly number[]} lengths tokens of each row; empty where tokens do not matter
 * @property {number} [weightBytes] size of the weights, where memory is held against it
 * @property {boolean} trains whether there is a backward pass
 * @property {readonly Side[]} sides
 *
 * @typedef {{ title: string, prepare: () => Promise<Prepared> }} Benchmark
 *
 * @typedef {object} Results of one benchmark
 * @property {string} title
 * @property {readonly import('./comparison.mjs').Side[]} sides
 * @property {readonly Run[]} [runs]
 * @property {readonly Failure[]} failures
 *
 * @typedef {{ name: string, reason: string }} Failure of a side, or of the whole benchmark
 *
 * @typedef {object} Plan what a call of the bench does
 * @property {readonly Benchmark[]} benchmarks
 * @property {readonly string[]} notes how it is measured, for people
 * @property {(results: readonly Results[]) => { lines: string[], figures: Record<string, unknown> }} [summarize] a plan with
 *   a summary goes on where a side or a benchmark fails
 *
 * What all measurements of one call share.
 *
 * @typedef {object} Context
 * @property {import('./machine.mjs').Machine} machine
 * @property {readonly import('./builds.mjs').Build[]} builds ours first
 * @property {import('./reference.mjs').Reference | null} reference null where nothing is compared
 * @property {string} folder for temporary files
 *
 * What a worker measures: seconds for all rows once, real tokens that the program saw, bytes of the GPU's memory on a GPU
 * and else of the process, FLOP/s of the largest matrix product alone, the share of the time in which the native thread
 * had nothing to do, the share in which no step was ready after the first, shares of the step's thread-seconds, and bytes of
 * the optimizer's state; `dispatches` counts the operators of LibTorch that a step calls, `launches` those of
 * fused kernels and the nodes of the graphs that it repeats. Of several processes the bytes that
 * each sends in a step, the seconds of the step's reductions alone, and those in which a step waits for them (`exposed`).
 *
 * @typedef {{ seconds: number, tokens?: number, peakBytes?: number, openedBytes?: number, matmulRate?: number, outside?: number, dataWait?: number, split?: import('./worker/measures.mjs').Split, dispatches?: number, launches?: number, stateBytes?: number, sentBytes?: number, reduction?: number, exposed?: number }} Measured
 *
 * @typedef {{ name: string, role: Side['role'], repetition: number, tokensPerSecond?: number, samplesPerSecond?: number, flopsPerSecond?: number, matmulShare?: number, overWeights?: number, overlapped?: number } & Omit<Measured, 'tokens' | 'matmulRate'>} Run
 */

/**
 * Runs all sides, and again.
 *
 * @param {string} title
 * @param {Prepared} work
 * @param {{ repeat: number, goesOn: boolean }} options `goesOn`: a side that fails is left out, and the others go on
 * @returns {Promise<{ runs: Run[], failures: Failure[] }>}
 * @throws {SetupError}
 */
export async function runAlternately(title, work, { repeat, goesOn }) {
  /** @type {Run[]} */
  const runs = [];
  /** @type {Map<string, string>} */
  const failed = new Map();
  for (let repetition = 1; repetition <= repeat; repetition++)
    for (const side of work.sides) {
      const name = `${side.name}, ${side.dtype}`;
      if (failed.has(name)) continue;
      log(`${title}, repetition ${repetition} of ${repeat}: ${name} ...`);
      try {
        runs.push({
          ...runOf({ ...work, ...side }, await side.measure(), name),
          name,
          role: side.role,
          repetition,
        });
      } catch (error) {
        if (!goesOn) throw error;
        failed.set(name, messageOf(error));
      }
    }
  return {
    runs: runs.filter(({ name }) => !failed.has(name)),
    failures: [...failed].map(([name, reason]) => ({ name, reason })),
  };
}

/**
 * @param {Pick<Prepared, 'lengths' | 'shape' | 'trains' | 'weightBytes'>} work
 * @param {Measured} measured
 * @param {string} name
 * @returns {Omit<Run, 'repetition' | 'name' | 'role'>}
 */
function runOf(
  { lengths, shape, trains, weightBytes },
  { tokens, matmulRate, openedBytes, ...figures },
  name,
) {
  const { seconds, reduction, exposed } = figures;
  const memory = weightBytes && openedBytes ? { overWeights: openedBytes / weightBytes } : {};
  if (lengths.length === 0) return { ...figures, ...memory };
  const expected = lengths.reduce((sum, length) => sum + length, 0);
  if (tokens !== expected)
    throw new SetupError(`${name} saw ${tokens} real tokens where the rows have ${expected}`);
  // Backward takes twice as much as forward.
  const flopsPerSecond = trainingFlops(shape, lengths) / (trains ? 1 : 3) / seconds;
  return {
    ...figures,
    ...memory,
    tokensPerSecond: tokens / seconds,
    samplesPerSecond: lengths.length / seconds,
    flopsPerSecond,
    ...(matmulRate !== undefined && { matmulShare: flopsPerSecond / matmulRate }),
    ...(reduction !== undefined &&
      exposed !== undefined && { overlapped: Math.max(0, 1 - exposed / reduction) }),
  };
}
