// Chooses the point that the next trial tries: at random, or where past trials were good, by the tree-structured Parzen
// estimator (TPE, Bergstra et al. 2011) with the choices of Optuna's TPESampler. Pure functions of the past, so that a
// resumed search continues as it would have.
import { randomNumbers } from '../util/random.js';
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
    Math.imul(options.seed + 1, 0x9e3779b1) ^ Math.imul(options.number, 0x85ebca6b),
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

/** A density over the values of one option. */
export interface Density {
  /** Of a log_uniform option, the density of its logarithm: what counts is the ratio of two densities. */
  logDensity(value: unknown): number;
  sample(random: () => number): unknown;
}

/** @param observed values of earlier trials, oldest first */
export function parzenEstimate(dimension: Dimension, observed: readonly unknown[]): Density {
  return dimension.kind === 'choice'
    ? new CategoricalDensity(dimension.choices, observed)
    : new NumericDensity(dimension, observed.map(Number));
}

/** Older trials beyond the last 25 count less (Optuna: default_weights), and the prior as one trial. */
function kernelWeights(count: number): number[] {
  const ramp = Math.max(count - 25, 0);
  const trials = Array.from({ length: count }, (_, i) => {
    if (count < 25 || i >= ramp) return 1;
    return 1 / count + (ramp === 1 ? 0 : (i / (ramp - 1)) * (1 - 1 / count));
  });
  const weights = [...trials, 1];
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

class CategoricalDensity implements Density {
  readonly #choices: readonly unknown[];
  readonly #shares: number[];

  constructor(choices: readonly unknown[], observed: readonly unknown[]) {
    this.#choices = choices;
    const kernels = observed.length + 1;
    const weights = kernelWeights(observed.length);
    const keys = choices.map((choice) => JSON.stringify(choice));
    const seen = observed.map((value) => keys.indexOf(JSON.stringify(value)));
    const size = 1 + choices.length / kernels; // what a kernel's shares add up to before they are scaled
    this.#shares = choices.map((_, choice) =>
      weights.reduce((sum, weight, kernel) => {
        if (kernel === observed.length) return sum + weight / choices.length;
        return sum + (weight * (1 / kernels + (seen[kernel] === choice ? 1 : 0))) / size;
      }, 0),
    );
  }

  logDensity(value: unknown): number {
    const key = JSON.stringify(value);
    return Math.log(this.#shares[this.#choices.findIndex((choice) => JSON.stringify(choice) === key)] ?? 0);
  }

  sample(random: () => number): unknown {
    return this.#choices[pick(this.#shares, random())];
  }
}

interface Kernel {
  weight: number;
  mean: number;
  width: number;
}

/** A mixture of normal kernels, cut off at the bounds; logarithms and whole numbers are handled around it. */
class NumericDensity implements Density {
  readonly #kind: 'uniform' | 'log_uniform' | 'int';
  readonly #low: number;
  readonly #high: number;
  readonly #kernels: Kernel[];

  constructor({ kind, low, high }: Extract<Dimension, { low: number }>, observed: readonly number[]) {
    this.#kind = kind;
    // A whole number stands for all that is rounded to it.
    const margin = kind === 'int' ? 0.5 : 0;
    [this.#low, this.#high] = [this.#inner(low - margin), this.#inner(high + margin)];
    this.#kernels = kernelsOf(
      observed.map((value) => this.#inner(value)),
      this.#low,
      this.#high,
    );
  }

  logDensity(value: unknown): number {
    const x = this.#inner(Number(value));
    const half = this.#kind === 'int' ? 0.5 : 0;
    const total = this.#kernels.reduce((sum, { weight, mean, width }) => {
      const scaled = (y: number): number => (y - mean) / width;
      const inside = normalMass(scaled(this.#low), scaled(this.#high));
      const share =
        half > 0
          ? normalMass(scaled(Math.max(x - half, this.#low)), scaled(Math.min(x + half, this.#high)))
          : Math.exp(-(scaled(x) ** 2) / 2) / (Math.sqrt(2 * Math.PI) * width);
      return sum + (weight * share) / inside;
    }, 0);
    return Math.log(total);
  }

  sample(random: () => number): number {
    const kernel =
      this.#kernels[
        pick(
          this.#kernels.map(({ weight }) => weight),
          random(),
        )
      ];
    const { mean, width } = kernel ?? { mean: this.#low, width: 1 };
    const [a, b] = [(this.#low - mean) / width, (this.#high - mean) / width];
    const x = Math.min(Math.max(mean + width * truncatedQuantile(random(), a, b), this.#low), this.#high);
    if (this.#kind === 'log_uniform') return Math.exp(x);
    return this.#kind === 'int' ? Math.min(Math.max(Math.round(x), this.#low + 0.5), this.#high - 0.5) : x;
  }

  #inner(value: number): number {
    return this.#kind === 'log_uniform' ? Math.log(value) : value;
  }
}

/** A kernel's width is the distance to its farther neighbour, within limits; the prior's is the whole range. */
function kernelsOf(means: readonly number[], low: number, high: number): Kernel[] {
  const weights = kernelWeights(means.length);
  const order = means.map((_, i) => i).toSorted((i, j) => (means[i] ?? 0) - (means[j] ?? 0));
  const sorted = order.map((i) => means[i] ?? 0);
  const narrowest = (high - low) / Math.min(100, means.length + 2);
  const widths: number[] = [];
  order.forEach((kernel, rank) => {
    const [before, here, after] = [sorted[rank - 1], sorted[rank] ?? 0, sorted[rank + 1]];
    // Optuna leaves the bounds out where there is another neighbour (consider_endpoints=False).
    const isAlone = before === undefined && after === undefined;
    const left = before ?? (isAlone ? low : undefined);
    const right = after ?? (isAlone ? high : undefined);
    const distance = Math.max(here - (left ?? here), (right ?? here) - here);
    widths[kernel] = Math.min(Math.max(distance, narrowest), high - low);
  });
  return [
    ...means.map((mean, i) => ({ weight: weights[i] ?? 0, mean, width: widths[i] ?? 1 })),
    { weight: weights[means.length] ?? 1, mean: (low + high) / 2, width: high - low },
  ];
}

/** The index at which the running sum of the shares passes `at`. */
function pick(shares: readonly number[], at: number): number {
  let sum = 0;
  const index = shares.findIndex((share) => (sum += share) > at);
  return index === -1 ? shares.length - 1 : index;
}

// The normal distribution, as far as the kernels need it.

/** The probability that a standard normal variable lies from `a` to `b`, exact also far out in a tail. */
export function normalMass(a: number, b: number): number {
  // By symmetry everything is taken from the upper tail, where small differences are not lost beside 1.
  if (a > 0) return upperTail(a) - upperTail(b);
  if (b < 0) return upperTail(-b) - upperTail(-a);
  return 1 - upperTail(-a) - upperTail(b);
}

/** The value up to which the truncated standard normal on [a, b] has a share of its probability; by bisection. */
export function truncatedQuantile(share: number, a: number, b: number): number {
  const wanted = share * normalMass(a, b);
  let [low, high] = [a, b];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalMass(a, middle) < wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(Z > x) for x >= 0. */
function upperTail(x: number): number {
  if (x === Infinity) return 0;
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) return 0.5 - density * series(x);
  return density * continuedFraction(x);
}

/** x + x^3/3 + x^5/(3*5) + ... (Abramowitz and Stegun 26.2.11) */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 3; term > sum * 1e-17; n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return sum;
}

/** 1/(x + 1/(x + 2/(x + 3/(x + ...)))) (Abramowitz and Stegun 26.2.14) */
function continuedFraction(x: number): number {
  let value = x;
  for (let n = 120; n > 0; n--) value = x + n / value;
  return 1 / value;
}
