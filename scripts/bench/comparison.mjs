// Repetitions of several sides as medians, and how they compare with ours.
import { summary } from './statistics.mjs';

/**
 * @typedef {import('./runs.mjs').Run} Run
 * @typedef {import('./statistics.mjs').Summary} Summary
 * @typedef {Readonly<Record<string, Summary>>} Summaries
 *
 * @typedef {object} Side
 * @property {string} name
 * @property {Run['role'] | undefined} role
 * @property {Summaries} figures all numbers that were measured, by name
 * @property {Summaries | null} split of a step
 * @property {Summaries | null} ratios to ours, repetition by repetition: `speed` in tokens a second (without tokens: in times) ours over
 *   the side's, and ours over the side's `time` and peak `memory` (NaN where it was not measured); null of our own
 */

/** One entry a side, in the order of their first runs. @param {readonly Run[]} runs @returns {Side[]} */
export function mediansOf(runs) {
  const ours = runs.filter(({ role }) => role === 'ours');
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const own = runs.filter((run) => run.name === name);
    const role = own[0]?.role;
    const splits = own.flatMap(({ split }) => split ?? []);
    return {
      name,
      role,
      figures: summaries(own.map(({ name: _n, role: _r, repetition: _i, split: _s, ...figures }) => figures)),
      split: splits.length === 0 ? null : summaries(splits),
      ratios: role === 'ours' || ours.length === 0 ? null : ratiosOf(ours, own),
    };
  });
}

/** @param {readonly object[]} records of numbers, all with the same names @returns {Summaries} */
function summaries(records) {
  const entries = records.flatMap((record) => Object.entries(record));
  return Object.fromEntries(
    [...new Set(entries.map(([name]) => name))].map((name) => [
      name,
      summary(entries.flatMap(([each, value]) => (each === name ? Number(value) : []))),
    ]),
  );
}

/** @param {readonly Run[]} ours @param {readonly Run[]} theirs @returns {Summaries} */
function ratiosOf(ours, theirs) {
  return {
    speed:
      ours[0]?.tokensPerSecond === undefined
        ? ratio(theirs, ours, 'seconds')
        : ratio(ours, theirs, 'tokensPerSecond'),
    time: ratio(ours, theirs, 'seconds'),
    memory: ratio(ours, theirs, 'peakBytes'),
  };
}

/**
 * The ratio of the medians, and the least and the largest of one repetition.
 *
 * @param {readonly Run[]} runs
 * @param {readonly Run[]} others
 * @param {'seconds' | 'peakBytes' | 'tokensPerSecond'} figure
 */
export function ratio(runs, others, figure) {
  /** @param {Run | undefined} run */
  const value = (run) => run?.[figure] ?? NaN;
  return {
    ...summary(runs.map((run, i) => value(run) / value(others[i]))),
    median: summary(runs.map(value)).median / summary(others.map(value)).median,
  };
}
