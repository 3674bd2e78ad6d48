// Work that one process does: several would do it all at the same time, and write the same files.
import { setTimeout as sleep } from 'node:timers/promises';

import { UsageError } from '../util/errors.js';
import { launched } from './address.js';

/** Milliseconds in which launchers end the other processes when rank 0 has failed. */
const REFUSAL_DELAY = 2000;

/**
 * Makes sure, before any work, that no launcher has started several of this process.
 *
 * @param what is refused, with its verb: `inspect is done`
 * @param nproc processes that this one would start
 * @throws UsageError where there are several. Rank 0 throws first; torchrun and mpirun then end the others, and those that are
 *   left, on other machines or started by hand, say it too
 */
export async function requireAlone(what: string, nproc = 1): Promise<void> {
  if (nproc > 1) throw new UsageError(`${what} by one process: leave --nproc out`);
  const found = launched(process.env);
  if (found === null) return;
  const { rank, size } = found;
  if (rank.value > 0) await sleep(REFUSAL_DELAY);
  throw new UsageError(
    `${what} by one process, and a launcher started this one as one of several (${size.variable} is ${size.value}): ` +
      `start it without torchrun, srun or mpirun, or unset ${rank.variable} and ${size.variable}`,
  );
}
