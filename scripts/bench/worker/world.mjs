// Jobs of several processes: each does the same job, started as `--nproc` starts it, and the first reports for all of them.
import { openWorld, worldAddress } from '../../../dist/index.js';
import { launch, OF_LAUNCHER } from '../../../dist/distributed/launch.js';
import { ALONE } from '../../../dist/distributed/world.js';

const TIMEOUT = 120_000; // milliseconds to wait for another process

/**
 * @typedef {import('../../../dist/index.js').World} World
 * @typedef {import('../runs.mjs').Measured} Measured
 * @typedef {{ nproc?: number, device: string }} WorldJob
 */

/**
 * Starts the processes of a job with several; the first of them prints the result in this one's place.
 *
 * @param {WorldJob} job
 * @returns {Promise<boolean>} false where this process is to do the job
 */
export async function launched({ nproc = 1 }) {
  if (nproc === 1 || process.env[OF_LAUNCHER] !== undefined) return false;
  process.exitCode = await launch(process.argv.slice(1), nproc, (line) => process.stderr.write(`${line}\n`));
  return true;
}

/**
 * Does a job as one of its processes.
 *
 * @template {WorldJob} Job
 * @param {Job} job
 * @param {(job: Job, world: World) => Promise<Measured>} measure
 * @returns {Promise<Measured>} of all processes
 */
export async function inWorld(job, measure) {
  if ((job.nproc ?? 1) === 1) return measure(job, ALONE);
  const world = await openWorld(worldAddress(process.env, TIMEOUT));
  try {
    const device = job.device === 'cpu' ? 'cpu' : `cuda:${world.rank}`;
    return togetherOf(await world.gather(await measure({ ...job, device }, world)));
  } finally {
    await world.close();
  }
}

/**
 * What processes measured at the same time, as one: the slowest's time, the sums of tokens, memory and FLOP/s. Of waiting for
 * the others the least, since the last to come waits for the reductions alone. The rest is the first's.
 *
 * @param {readonly Measured[]} ranks
 * @returns {Measured}
 */
export function togetherOf(ranks) {
  const [first = { seconds: NaN }] = ranks;
  /** @type {(name: 'tokens' | 'peakBytes' | 'stateBytes' | 'matmulRate') => number} */
  const sum = (name) => ranks.reduce((total, { [name]: value = NaN }) => total + value, 0);
  /** @type {(name: 'reduction' | 'exposed') => number} */
  const least = (name) => Math.min(...ranks.map(({ [name]: value = NaN }) => value));
  return {
    ...first,
    seconds: Math.max(...ranks.map(({ seconds }) => seconds)),
    tokens: sum('tokens'),
    peakBytes: sum('peakBytes'),
    ...(first.stateBytes !== undefined && { stateBytes: sum('stateBytes') }),
    ...(first.matmulRate !== undefined && { matmulRate: sum('matmulRate') }),
    ...(first.reduction !== undefined && { reduction: least('reduction'), exposed: least('exposed') }),
  };
}

/**
 * Bytes that a process sends in a ring all-reduce: of each of N - 1 parts of N to be summed, and again of the sums.
 *
 * @param {number} bytes of what is summed
 * @param {number} processes
 */
export function sentBytes(bytes, processes) {
  return (2 * (processes - 1) * bytes) / processes;
}
