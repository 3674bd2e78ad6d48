// Mutates any bytes: flipped, cut, repeated, and wrong numbers.
import { DICTIONARY, NUMBERS } from './edge-cases.mjs';

/** @typedef {import('./seeded-random.mjs').SeededRandom} SeededRandom */

/**
 * One to four changes.
 *
 * @param {Uint8Array} bytes
 * @param {SeededRandom} random
 * @returns {Uint8Array}
 */
export function mutateBytes(bytes, random) {
  let result = bytes;
  for (let left = 1 + random.below(4); left > 0; left--) result = random.pick(CHANGES)(result, random);
  return result;
}

/** @type {((bytes: Uint8Array, random: SeededRandom) => Uint8Array)[]} */
const CHANGES = [
  (bytes, random) => withByte(bytes, random, (byte) => byte ^ (1 << random.below(8))),
  (bytes, random) =>
    withByte(bytes, random, () => random.pick([0, 1, 0x0a, 0x0d, 0x22, 0x2c, 0x7f, 0x80, 0xfe, 0xff])),
  (bytes, random) => withByte(bytes, random, (byte) => byte + random.pick([-1, 1])),
  (bytes, random) => replaced(bytes, random.below(bytes.length + 1), 0, Uint8Array.of(random.below(256))),
  (bytes, random) => replaced(bytes, random.below(bytes.length + 1), 0, Buffer.from(random.pick(DICTIONARY))),
  (bytes, random) => replaced(bytes, random.below(bytes.length), 1 + random.below(16), new Uint8Array()),
  (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  (bytes, random) => {
    const start = random.below(bytes.length);
    const part = bytes.subarray(start, start + 1 + random.below(64));
    return replaced(bytes, random.below(bytes.length), random.chance(0.5) ? part.length : 0, part);
  },
  (bytes, random) => {
    const part = bytes.subarray(random.below(bytes.length)).subarray(0, 1 + random.below(32));
    const times = 1 + random.below(random.chance(0.02) ? 1000 : 20);
    return replaced(
      bytes,
      random.below(bytes.length),
      0,
      Buffer.concat(Array.from({ length: times }, () => part)),
    );
  },
  (bytes, random) => {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, BigInt.asUintN(64, random.pick(NUMBERS)), random.chance(0.8));
    return replaced(bytes, random.below(bytes.length), 8, number.subarray(0, random.pick([1, 2, 4, 8])));
  },
  (bytes, random) =>
    replaced(bytes, random.below(bytes.length), random.below(6), varint(random.pick(NUMBERS))),
];

/** @param {Uint8Array} bytes @param {SeededRandom} random @param {(byte: number) => number} change */
function withByte(bytes, random, change) {
  const at = random.below(bytes.length);
  return replaced(bytes, at, 1, Uint8Array.of(change(bytes[at] ?? 0)));
}

/**
 * Replaces `length` bytes from `start` on.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} length
 * @param {Uint8Array} by
 * @returns {Uint8Array}
 */
export function replaced(bytes, start, length, by) {
  return new Uint8Array(Buffer.concat([bytes.subarray(0, start), by, bytes.subarray(start + length)]));
}

/** A number as Thrift and Protocol Buffers write it. @param {bigint} value */
export function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.of(...bytes, Number(rest));
}
