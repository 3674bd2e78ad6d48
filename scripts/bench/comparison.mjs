// Repetitions of several sides as medians, and our speed over theirs.
import { summary } from './statistics.mjs';

/** @typedef {import('./end-to-end.mjs').Run} Run */

/**
 * One entry a side, in the order of their first runs.
 *
 * @param {readonly Run[]} runs
 */
export function mediansOf(runs) {
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const own = runs.filter((run) => run.name === name);
    const waits = own.flatMap(({ dataWait }) => dataWait ?? []);
    return {
      name,
      role: own[0]?.role,
      seconds: summary(own.map((run) => run.seconds)),
      tokensPerSecond: summary(speedsOf(runs, name)),
      samplesPerSecond: summary(own.map((run) => run.samplesPerSecond)),
      flopsPerSecond: summary(own.map((run) => run.flopsPerSecond)),
      dataWait: waits.length === 0 ? null : summary(waits),
      peakBytes: summary(own.map((run) => run.peakBytes)),
    };
  });
}

/**
 * Our speed over that of the fastest other side of each role: the ratio of the medians, with the smallest and largest
 * ratio of one repetition.
 *
 * @param {readonly Run[]} runs
 * @returns {{ against: string, ratio: import('./statistics.mjs').Summary }[]}
 */
export function ratiosOf(runs) {
  const medians = mediansOf(runs);
  const ours = medians.find(({ role }) => role === 'ours');
  return ['best', 'tutorial'].flatMap((role) => {
    const [fastest] = medians
      .filter((side) => side.role === role)
      .toSorted((a, b) => b.tokensPerSecond.median - a.tokensPerSecond.median);
    if (ours === undefined || fastest === undefined) return [];
    const theirs = speedsOf(runs, fastest.name);
    const each = summary(speedsOf(runs, ours.name).map((speed, i) => speed / (theirs[i] ?? NaN)));
    const median = ours.tokensPerSecond.median / fastest.tokensPerSecond.median;
    return [{ against: fastest.name, ratio: { ...each, median } }];
  });
}

/**
 * @param {readonly Run[]} runs
 * @param {string} name
 */
function speedsOf(runs, name) {
  return runs.filter((run) => run.name === name).map((run) => run.tokensPerSecond);
}
