// Chooses the point that the next trial tries: at random, or where past trials were good (TPE). Pure functions of the
// past, so that a resumed search continues as it would have.
import { randomNumbers } from '../util/random.js';
import { parzenEstimate, type Density } from './parzen.js';
import type { Dimension, Params, Space } from './space.js';
import type { Trial } from './study.js';

export const samplers = ['tpe', 'random'] as const;
export type SamplerName = (typeof samplers)[number];

/** Optuna's defaults. */
const STARTUP_TRIALS = 10;
const CANDIDATES = 24;

/** @param past trials that ended, with or without a value */
export function nextParams(
  sampler: SamplerName,
  space: Space,
  past: readonly Trial[],
  options: { number: number; seed: number; greaterIsBetter: boolean },
): Params {
  const random = randomNumbers(
    Math.imul(options.seed + 1, 0x9e3779b1) ^ Math.imul(options.number + 1, 0x85ebca6b),
  );
  const ended = past.filter(({ state }) => state !== 'failed');
  if (sampler === 'random' || ended.length < STARTUP_TRIALS)
    return mapSpace(space, (dimension) => randomValue(dimension, random));
  const { good, rest } = splitTrials(ended, options.greaterIsBetter);
  return mapSpace(space, (dimension, name) => {
    const density = (trials: readonly Trial[]): Density =>
      parzenEstimate(
        dimension,
        trials.map(({ params }) => params[name]),
      );
    return likeliest(density(good), density(rest), random);
  });
}

/** The best tenth of the trials, at most 25, and the others, each in the order in which they were tried. */
export function splitTrials(
  trials: readonly Trial[],
  greaterIsBetter: boolean,
): { good: Trial[]; rest: Trial[] } {
  const sign = greaterIsBetter ? -1 : 1;
  const rank = (trial: Trial): number => (trial.value === null ? Infinity : sign * trial.value);
  const sorted = trials.toSorted(
    (a, b) => compare(reached(b), reached(a)) || compare(rank(a), rank(b)) || a.number - b.number,
  );
  const count = Math.min(Math.ceil(0.1 * trials.length), 25);
  return { good: byNumber(sorted.slice(0, count)), rest: byNumber(sorted.slice(count)) };
}

/** Pruned trials come behind all complete ones, those that got furthest first. */
function reached({ state, reports }: Trial): number {
  return state === 'complete' ? Infinity : (reports.at(-1)?.step ?? 0);
}

function byNumber(trials: readonly Trial[]): Trial[] {
  return trials.toSorted((a, b) => a.number - b.number);
}

/** Of some candidates like the good trials, the one that is least like the others. */
function likeliest(good: Density, rest: Density, random: () => number): unknown {
  const candidates = Array.from({ length: CANDIDATES }, () => good.sample(random));
  const scored = candidates.map((value) => ({
    value,
    score: good.logDensity(value) - rest.logDensity(value),
  }));
  return scored.reduce((best, other) => (other.score > best.score ? other : best)).value;
}

function randomValue(dimension: Dimension, random: () => number): unknown {
  const share = random();
  if (dimension.kind === 'choice') return dimension.choices[Math.floor(share * dimension.choices.length)];
  const { kind, low, high } = dimension;
  if (kind === 'int') return low + Math.floor(share * (high - low + 1));
  return kind === 'uniform' ? low + share * (high - low) : low * (high / low) ** share;
}

function mapSpace(space: Space, value: (dimension: Dimension, name: string) => unknown): Params {
  return Object.fromEntries(Object.entries(space).map(([name, dimension]) => [name, value(dimension, name)]));
}

/** Without a difference of infinities. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
