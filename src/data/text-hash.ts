// A fingerprint of each row's text, 8 bytes a row, by which equal rows are found without reading them again.
import { GrowingArray } from '../util/growing-array.js';
import type { Example } from './types.js';

export class TextHashes {
  readonly #high = new GrowingArray(Uint32Array);
  readonly #low = new GrowingArray(Uint32Array);

  push(example: Example): void {
    const [high, low] = halves(example);
    this.#high.push(high);
    this.#low.push(low);
  }

  /** A number that is equal for equal texts. For others it is equal once in 2^53 pairs. */
  at(row: number): number {
    return joined(this.#high.at(row), this.#low.at(row));
  }
}

/** What `TextHashes.at` says of an equal text. */
export function hashOf(example: Example): number {
  return joined(...halves(example));
}

function halves(example: Example): [high: number, low: number] {
  const text = example.textPair === undefined ? example.text : `${example.text}\0${example.textPair}`;
  return [murmur(text, 0x9747b28c), murmur(text, 0x3c6ef372)];
}

/** 53 bits, which a number holds exactly. */
function joined(high: number, low: number): number {
  return (high >>> 11) * 2 ** 32 + low;
}

/** MurmurHash3, 32 bits (Appleby 2011), over UTF-16 units in pairs. */
function murmur(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 2) {
    const unit = text.charCodeAt(i) | ((i + 1 < text.length ? text.charCodeAt(i + 1) : 0) << 16);
    hash ^= Math.imul(rotated(Math.imul(unit, 0xcc9e2d51), 15), 0x1b873593);
    hash = (Math.imul(rotated(hash, 13), 5) + 0xe6546b64) | 0;
  }
  hash ^= text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function rotated(bits: number, by: number): number {
  return (bits << by) | (bits >>> (32 - by));
}
