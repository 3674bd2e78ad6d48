// Random choices that one number decides, so that every input can be made again.
import { randomNumbers } from '../../dist/random.js';

export class Dice {
  #next;

  /** @param {number} seed */
  constructor(seed) {
    this.#next = randomNumbers(seed);
  }

  /** @param {number} share from 0 to 1 */
  chance(share) {
    return this.#next() < share;
  }

  /** @param {number} below a whole number from 0 to before this */
  int(below) {
    return Math.floor(this.#next() * below);
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    const item = items[this.int(items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }
}
