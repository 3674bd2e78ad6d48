// Repetitions of several sides as medians, and how they compare with ours.
import { summary } from './statistics.mjs';

/**
 * @typedef {import('./runs.mjs').Run} Run
 * @typedef {import('./statistics.mjs').Summary} Summary
 *
 * @typedef {object} Ratios ours and another side's, repetition by repetition
 * @property {Summary} speed our speed over the other's
 * @property {Summary} memory our peak memory over the other's
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
  'stateBytes',
]);

/** @typedef {ReturnType<typeof mediansOf>[number]} Side */

/**
 * One entry a side, in the order of their first runs; figures that a side does not have are left out.
 *
 * @param {readonly Run[]} runs
 */
export function mediansOf(runs) {
  const ours = ourRuns(runs);
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

/** The runs of our fastest side. @param {readonly Run[]} runs */
function ourRuns(runs) {
  const ours = runs.filter(({ role }) => role === 'ours');
  /** @param {string} name */
  const speed = (name) => speedOf(ours.filter((run) => run.name === name)).median;
  const [fastest] = [...new Set(ours.map(({ name }) => name))].toSorted((a, b) => speed(b) - speed(a));
  return ours.filter(({ name }) => name === fastest);
}

/** @param {readonly Run[]} runs */
function speedOf(runs) {
  return summary(runs.map(({ tokensPerSecond }) => tokensPerSecond));
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
  /** @param {'tokensPerSecond' | 'peakBytes'} figure */
  const ratio = (figure) => ({
    ...summary(ours.map((run, i) => run[figure] / (theirs[i]?.[figure] ?? NaN))),
    median: summary(ours.map((run) => run[figure])).median / summary(theirs.map((run) => run[figure])).median,
  });
  return { speed: ratio('tokensPerSecond'), memory: ratio('peakBytes') };
}
