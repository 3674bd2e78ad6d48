// The trials of a search: search.jsonl, which of them is the best, and whether a new one is worth its time.
import { z } from 'zod';

import { Journal, type JournalHeader } from '../util/journal.js';

/** The metric at one evaluation. */
const report = z.object({
  /** Optimizer steps before it. */
  step: z.number(),
  /** NaN, in a file null, where the metric is not defined. */
  value: z
    .number()
    .nullable()
    .transform((value) => value ?? Number.NaN),
});
export type Report = z.output<typeof report>;

/** One training of a search and how it ended. */
const trial = z.object({
  number: z.number().int(),
  /** The values that were tried, by option. */
  params: z.record(z.string(), z.unknown()),
  /** Pruned: ended early; failed: it could not be trained with these values, e.g. its loss was no longer finite. */
  state: z.enum(['complete', 'pruned', 'failed']),
  /** The metric of the weights that the training ended with; null of a failed trial. */
  value: z.number().nullable(),
  reports: z.array(report),
  /** Why a trial failed. */
  error: z.string().exactOptional(),
});
export type Trial = z.output<typeof trial>;

/** Starts a search, or continues the one in the file. @throws UsageError when the file is damaged or of another search */
export function openStudy(path: string, header: JournalHeader): Promise<Journal<Trial>> {
  return Journal.open(path, { name: 'search', header, entry: trial });
}

/** The complete trial with the best value, the first of equal ones; undefined while there is none. */
export function bestTrial(trials: readonly Trial[], greaterIsBetter: boolean): Trial | undefined {
  const sign = greaterIsBetter ? -1 : 1;
  const score = ({ value }: Trial): number =>
    value === null || Number.isNaN(value) ? Infinity : sign * value;
  const complete = trials.filter(({ state }) => state === 'complete');
  return complete.toSorted((a, b) => (score(a) === score(b) ? 0 : score(a) - score(b)))[0];
}

const STARTUP_TRIALS = 5;

/**
 * Whether a trial should be pruned after the last of its reports (Optuna's MedianPruner, its defaults): when the best of
 * them is worse than the median of what the complete trials reported at that step.
 */
export function isHopeless(
  reports: readonly Report[],
  past: readonly Trial[],
  greaterIsBetter: boolean,
): boolean {
  const last = reports.at(-1);
  const complete = past.filter(({ state }) => state === 'complete');
  if (last === undefined || complete.length < STARTUP_TRIALS) return false;
  const others = complete.flatMap((other) =>
    other.reports.filter(({ step }) => step === last.step).map(({ value }) => value),
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
