// Random choices that a seed decides, so that a failure can be had again.

/** Mulberry32 (Tommy Ettinger): 32 bits of state are enough for some thousand choices. */
export class Random {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 2^32 - 1. */
  word() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  }

  /**
   * From 0 to `count` - 1.
   *
   * @param {number} count
   */
  below(count) {
    return Math.floor((this.word() / 2 ** 32) * count);
  }

  /** @param {number} probability */
  chance(probability) {
    return this.word() < probability * 2 ** 32;
  }

  /**
   * @template T
   * @param {readonly T[]} values
   * @returns {T}
   */
  pick(values) {
    if (values.length === 0) throw new RangeError('there is nothing to pick from');
    return Reflect.get(values, this.below(values.length));
  }
}
