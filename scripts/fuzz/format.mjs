// A format to fuzz: valid files as seeds, how to mutate them, how the product reads them, and what must hold of accepted
// ones.

/** @typedef {import('./seeded-random.mjs').SeededRandom} SeededRandom */

/** CPU milliseconds that one input may take. */
export const MAX_MS = 5000;
/** Bytes of memory beyond the size of the input. */
export const MAX_EXTRA_BYTES = 256 * 2 ** 20;
/** V8 gives up above this, long before the machine does; in MiB. */
export const HEAP_MIB = 320;

/** @typedef {Record<string, Uint8Array>} Files the content of a folder, by name */

/**
 * @typedef {object} Format
 * @property {string} name
 * @property {() => Promise<Files[]>} seeds
 * @property {(files: Files, random: SeededRandom) => Files} mutate
 * @property {(folder: string) => Promise<unknown>} read what the product does with the folder; it may refuse by throwing
 * @property {(result: never, files: Files) => Promise<string | null> | string | null} [check] the fault of an input
 *   that was wrongly accepted, found without the product's own code
 */

/**
 * @template Result
 * @param {Omit<Format, 'read' | 'check'> & { read: (folder: string) => Promise<Result>, check?: (result: Result, files: Files) => Promise<string | null> | string | null }} format
 * @returns {Format}
 */
export function defineFormat(format) {
  return format;
}

/** @param {string} text */
export function utf8(text) {
  return new Uint8Array(Buffer.from(text));
}
