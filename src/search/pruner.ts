// Gives trials up that are worse than half of the others were at the same point (Optuna's MedianPruner, its defaults).
import type { Report, Trial } from './trial.js';

const STARTUP_TRIALS = 5;

/**
 * Whether a trial is to be given up after the last of its reports: when the best of them is worse than the median of
 * what the complete trials reported at that step.
 */
export function isHopeless(
  reports: readonly Report[],
  past: readonly Trial[],
  greaterIsBetter: boolean,
): boolean {
  const last = reports.at(-1);
  const complete = past.filter(({ state }) => state === 'complete');
  if (last === undefined || complete.length < STARTUP_TRIALS) return false;
  const others = complete.flatMap((trial) =>
    trial.reports.filter(({ step }) => step === last.step).map(({ value }) => value),
  );
  if (others.length === 0) return false;
  const sign = greaterIsBetter ? -1 : 1;
  const best = Math.min(...reports.map(({ value }) => (Number.isNaN(value) ? Infinity : sign * value)));
  return best > median(others.map((value) => sign * value).filter((value) => !Number.isNaN(value)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  if (!Number.isInteger(middle)) return sorted[Math.floor(middle)] ?? Infinity;
  return ((sorted[middle - 1] ?? Infinity) + (sorted[middle] ?? Infinity)) / 2;
}
