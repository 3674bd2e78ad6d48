// Running other programs: captured, or in this terminal.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { endWithUs } from './ending.mjs';

/**
 * @typedef {{ code: number | null, stdout: string, stderr: string, missing: boolean }} Outcome
 *   `missing`: there is no such program
 */

/**
 * Runs a program to its end and keeps what it prints. Never rejects: a program that is not there has `missing` set.
 * A signal that ends this process ends the program first, with all that it has started.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, stdout?: 'pipe' | 'stderr', onLine?: (line: string) => void }} [options]
 *   `stdout: 'stderr'` shows the program's stdout on ours; `onLine` gets each line of stdout as it comes
 * @returns {Promise<Outcome>}
 */
export function capture(command, args, { cwd, env = process.env, stdout = 'pipe', onLine } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', stdout === 'pipe' ? 'pipe' : 2, 'pipe'],
      // A process group of its own: what it starts, such as compilers, can be ended with it.
      detached: true,
    });
    endWithUs(child);
    const out = { stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', (text) => (out.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text) => (out.stderr += text));
    if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine);
    child.on('error', (error) => resolve({ code: null, stdout: '', stderr: error.message, missing: true }));
    child.on('close', (code) => resolve({ code, ...out, missing: false }));
  });
}

/**
 * Runs a program in this terminal, as if it had been called itself: signals reach it, its exit code is the result.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>}
 */
export function hand(command, args, { cwd, env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: 'inherit' });
    // Ctrl-C reaches the child through the terminal, so this process only has to outlive it.
    process.on('SIGINT', () => {});
    for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP']))
      process.on(signal, () => child.kill(signal));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
}
