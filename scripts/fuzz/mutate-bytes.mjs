// Spoils any bytes: flipped, cut, repeated, and numbers that lie.
import { DICTIONARY, NUMBERS } from './nasty.mjs';

/** @typedef {import('./dice.mjs').Dice} Dice */

/**
 * One to four changes.
 *
 * @param {Uint8Array} bytes
 * @param {Dice} dice
 * @returns {Uint8Array}
 */
export function mutateBytes(bytes, dice) {
  let result = bytes;
  for (let left = 1 + dice.below(4); left > 0; left--) result = dice.pick(CHANGES)(result, dice);
  return result;
}

/** @type {((bytes: Uint8Array, dice: Dice) => Uint8Array)[]} */
const CHANGES = [
  (bytes, dice) => withByte(bytes, dice, (byte) => byte ^ (1 << dice.below(8))),
  (bytes, dice) =>
    withByte(bytes, dice, () => dice.pick([0, 1, 0x0a, 0x0d, 0x22, 0x2c, 0x7f, 0x80, 0xfe, 0xff])),
  (bytes, dice) => withByte(bytes, dice, (byte) => byte + dice.pick([-1, 1])),
  (bytes, dice) => replaced(bytes, dice.below(bytes.length + 1), 0, Uint8Array.of(dice.below(256))),
  (bytes, dice) => replaced(bytes, dice.below(bytes.length + 1), 0, Buffer.from(dice.pick(DICTIONARY))),
  (bytes, dice) => replaced(bytes, dice.below(bytes.length), 1 + dice.below(16), new Uint8Array()),
  (bytes, dice) => bytes.subarray(0, dice.below(bytes.length)),
  (bytes, dice) => {
    const start = dice.below(bytes.length);
    const part = bytes.subarray(start, start + 1 + dice.below(64));
    return replaced(bytes, dice.below(bytes.length), dice.chance(0.5) ? part.length : 0, part);
  },
  (bytes, dice) => {
    const part = bytes.subarray(dice.below(bytes.length)).subarray(0, 1 + dice.below(32));
    const times = 1 + dice.below(dice.chance(0.02) ? 1000 : 20);
    return replaced(
      bytes,
      dice.below(bytes.length),
      0,
      Buffer.concat(Array.from({ length: times }, () => part)),
    );
  },
  (bytes, dice) => {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, BigInt.asUintN(64, dice.pick(NUMBERS)), dice.chance(0.8));
    return replaced(bytes, dice.below(bytes.length), 8, number.subarray(0, dice.pick([1, 2, 4, 8])));
  },
  (bytes, dice) => replaced(bytes, dice.below(bytes.length), dice.below(6), varint(dice.pick(NUMBERS))),
];

/** @param {Uint8Array} bytes @param {Dice} dice @param {(byte: number) => number} change */
function withByte(bytes, dice, change) {
  const at = dice.below(bytes.length);
  return replaced(bytes, at, 1, Uint8Array.of(change(bytes[at] ?? 0)));
}

/**
 * `length` bytes from `start` on in exchange for others.
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
