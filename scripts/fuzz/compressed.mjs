// Compressed rows: mutated compressed bytes, or valid compression of too much.
import { utf8 } from './format.mjs';
import { mutateBytes } from './mutate-bytes.mjs';

/** @typedef {import('./seeded-random.mjs').SeededRandom} SeededRandom */

export const ROWS =
  'text,label\n' +
  Array.from({ length: 30 }, (_, i) => `film number ${i} was ${i * 7919},${i % 2}\n`).join('');

/**
 * @param {Uint8Array} bytes
 * @param {SeededRandom} random
 * @param {(bytes: Uint8Array) => Uint8Array} compress
 */
export function mutateCompressed(bytes, random, compress) {
  if (bytes.length === 0) return compress(utf8(ROWS));
  if (random.chance(0.003)) return compress(repetitive(random));
  if (random.chance(0.2))
    return new Uint8Array(Buffer.concat([bytes, compress(mutateBytes(utf8(ROWS), random))]));
  return mutateBytes(bytes, random);
}

/** A few megabytes of one character: a row, many rows, or none. @param {SeededRandom} random */
function repetitive(random) {
  return new Uint8Array(
    Buffer.alloc((1 + random.below(8)) * 2 ** 20, random.pick(['a', 'a,b\n', '"', '\0', '\n', ','])),
  );
}
