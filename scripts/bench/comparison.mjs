// Repetitions of several sides as medians, and how they compare with ours.
import { summary } from './statistics.mjs';

/**
 * @typedef {import('./runs.mjs').Run} Run
 * @typedef {import('./statistics.mjs').Summary} Summary
 *
 * @typedef {object} Ratios ours and another side's, repetition by repetition
 * @property {Summary} speed our speed over the other's
 * @property {Summary} time the inverse of speed
 * @property {Summary} memory our peak memory over the other's; NaN where it was not measured
 */

const FIGURES = /** @type {const} */ ([
  'seconds',
  'tokensPerSecond',
  'samplesPerSecond',
  'flopsPerSecond',
  'matmulShare',
  'outside',
  'dataWait',
  'peakBytes',
  'overWeights',
  'stateBytes',
]);

/** @typedef {ReturnType<typeof mediansOf>[number]} Side */

/**
 * One entry a side, in the order of their first runs; figures that a side does not have are left out.
 *
 * @param {readonly Run[]} runs
 */
export function mediansOf(runs) {
  const ours = runs.filter(({ role }) => role === 'ours');
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const own = runs.filter((run) => run.name === name);
    const isOurs = own[0]?.role === 'ours';
    return {
      name,
      role: own[0]?.role,
      figures: figuresOf(own),
      split: splitOf(own),
      ratios: isOurs || ours.length === 0 ? null : ratiosOf(ours, own),
    };
  });
}

/**
 * @param {readonly Run[]} runs of one side
 * @returns {Partial<Record<(typeof FIGURES)[number], Summary>>}
 */
function figuresOf(runs) {
  return Object.fromEntries(
    FIGURES.flatMap((figure) => {
      const values = runs.flatMap((run) => run[figure] ?? []);
      return values.length === 0 ? [] : [[figure, summary(values)]];
    }),
  );
}

/**
 * @param {readonly Run[]} runs of one side
 * @returns {Record<string, Summary> | null}
 */
function splitOf(runs) {
  const splits = runs.flatMap(({ split }) => split ?? []);
  const [first] = splits;
  if (first === undefined) return null;
  return Object.fromEntries(
    Object.keys(first).map((phase) => [
      phase,
      summary(
        splits.flatMap((split) =>
          Object.entries(split).flatMap(([key, share]) => (key === phase ? share : [])),
        ),
      ),
    ]),
  );
}

/**
 * @param {readonly Run[]} ours
 * @param {readonly Run[]} theirs
 * @returns {Ratios}
 */
function ratiosOf(ours, theirs) {
  return {
    speed: ratio(theirs, ours, 'seconds'),
    time: ratio(ours, theirs, 'seconds'),
    memory: ratio(ours, theirs, 'peakBytes'),
  };
}

/**
 * The ratio of the medians, and the least and the largest of one repetition.
 *
 * @param {readonly Run[]} runs
 * @param {readonly Run[]} others
 * @param {'seconds' | 'peakBytes'} figure
 */
function ratio(runs, others, figure) {
  /** @param {Run | undefined} run */
  const value = (run) => run?.[figure] ?? NaN;
  return {
    ...summary(runs.map((run, i) => value(run) / value(others[i]))),
    median: summary(runs.map(value)).median / summary(others.map(value)).median,
  };
}
