// Fuzzers that are programs of their own: for the client of the hub, and for the addon.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** @typedef {{ name: string, inputs: number, what: string, file: string, args: (inputs: number, seed: number) => string[] }} Program inputs: how many by default */
/** @typedef {{ inputs: number, failed: number }} Count what a program sends when it is done */

const SESSIONS_A_CALL = 1 / 100;

/** @type {readonly Program[]} */
export const programs = [
  {
    name: 'hub',
    inputs: 20_000,
    what: 'downloads',
    file: 'hub.mjs',
    args: (inputs, seed) => [String(inputs), String(seed)],
  },
  {
    name: 'native',
    inputs: 100_000,
    what: 'calls and sessions',
    file: 'native/run.mjs',
    args: (inputs, seed) => [
      `--calls=${inputs}`,
      `--sessions=${Math.ceil(inputs * SESSIONS_A_CALL)}`,
      `--seed=${seed}`,
    ],
  },
];

/**
 * Runs a program to its end with its output shown. One that ends without a count counts as one failure.
 *
 * @param {Program} program
 * @param {number} inputs
 * @param {number} seed
 * @returns {Promise<Count>}
 */
export function runProgram({ file, args }, inputs, seed) {
  const path = fileURLToPath(new URL(`../../test/fuzz/${file}`, import.meta.url));
  const child = fork(path, args(inputs, seed), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  /** @type {Count | null} */
  let count = null;
  child.on('message', (/** @type {Count} */ message) => (count = message));
  return new Promise((resolve) => {
    child.on('close', () => resolve(count ?? { inputs: 1, failed: 1 }));
  });
}
