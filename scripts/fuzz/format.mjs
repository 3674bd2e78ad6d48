// What the fuzzer knows of a format: valid files to begin with, how to spoil them, how the product reads them, and what
// must hold of those that it accepts.

/** @typedef {import('./dice.mjs').Dice} Dice */

/** @typedef {Record<string, Uint8Array>} Files the content of a folder, by name */

/**
 * @typedef {object} Format
 * @property {string} name
 * @property {() => Promise<Files[]>} seeds
 * @property {(files: Files, dice: Dice) => Files} mutate
 * @property {(folder: string) => Promise<unknown>} read what the product does with the folder; it may refuse by throwing
 * @property {(result: never, files: Files) => Promise<string | null> | string | null} [check] the fault of what was
 *   accepted and should not have been, found without the product's own code
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
