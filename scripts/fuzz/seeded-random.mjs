// Random choices from a seed, so that every input can be reproduced.
import { randomNumbers } from '../../dist/util/random.js';

export class SeededRandom {
  #next;

  /** @param {number} seed */
  constructor(seed) {
    this.#next = randomNumbers(seed);
  }

  /** @param {number} share from 0 to 1 */
  chance(share) {
    return this.#next() < share;
  }

  /** @param {number} limit a whole number from 0 to before this */
  below(limit) {
    return Math.floor(this.#next() * limit);
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    if (items.length === 0) throw new RangeError('there is nothing to pick from');
    return Reflect.get(items, this.below(items.length)); // which may be undefined
  }

  /** @param {number} length */
  bytes(length) {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
