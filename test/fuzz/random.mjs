// Random choices that a seed repeats.
import { randomNumbers } from '../../dist/random.js';

/**
 * @typedef {object} Random
 * @property {(below: number) => number} below a whole number from 0
 * @property {<T>(items: readonly T[]) => T} pick
 * @property {(probability: number) => boolean} chance
 * @property {(length: number) => Buffer} bytes
 */

/**
 * @param {number} seed
 * @returns {Random}
 */
export function randomFrom(seed) {
  const next = randomNumbers(seed);
  const below = (/** @type {number} */ limit) => Math.floor(next() * limit);
  return {
    below,
    pick: (items) => {
      if (items.length === 0) throw new RangeError('there is nothing to pick from');
      return Reflect.get(items, below(items.length));
    },
    chance: (probability) => next() < probability,
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  };
}
