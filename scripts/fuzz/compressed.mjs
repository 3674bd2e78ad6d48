// Rows under gzip or zstd: the compressed bytes spoiled, or good compression of what is too much.
import { utf8 } from './format.mjs';
import { mutateBytes } from './mutate-bytes.mjs';

/** @typedef {import('./dice.mjs').Dice} Dice */

export const ROWS =
  'text,label\n' +
  Array.from({ length: 30 }, (_, i) => `film number ${i} was ${i * 7919},${i % 2}\n`).join('');

/**
 * @param {Uint8Array} bytes
 * @param {Dice} dice
 * @param {(bytes: Uint8Array) => Uint8Array} compress
 */
export function mutateCompressed(bytes, dice, compress) {
  if (bytes.length === 0) return compress(utf8(ROWS));
  if (dice.chance(0.003)) return compress(repetitive(dice));
  if (dice.chance(0.2))
    return new Uint8Array(Buffer.concat([bytes, compress(mutateBytes(utf8(ROWS), dice))]));
  return mutateBytes(bytes, dice);
}

/** A few megabytes of one character: a row, many rows, or none. @param {Dice} dice */
function repetitive(dice) {
  return new Uint8Array(
    Buffer.alloc((1 + dice.below(8)) * 2 ** 20, dice.pick(['a', 'a,b\n', '"', '\0', '\n', ','])),
  );
}
