// Running other programs: captured, or in the foreground of this terminal.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';

/**
 * @typedef {{ code: number | null, stdout: string, stderr: string, missing: boolean }} Outcome
 *   `missing`: there is no such program
 */

/**
 * Runs a program to its end and returns its output. Never rejects: for a program that does not exist, `missing` is set.
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
      // A process group of its own: what it starts, such as compilers, ends with it.
      detached: true,
    });
    endOnSignal(child);
    const out = { stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', (text) => (out.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text) => (out.stderr += text));
    if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine);
    child.on('error', (error) => resolve({ code: null, stdout: '', stderr: error.message, missing: true }));
    child.on('close', (code) => resolve({ code, ...out, missing: false }));
  });
}

/**
 * Runs a program in this terminal, as if it had been started directly: signals reach it, its exit code is the result.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>}
 */
export function runForeground(command, args, { cwd, env = process.env } = {}) {
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

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
// Ninja needs a moment to remove half-written files; what still runs then is killed.
const PATIENCE_MS = 3000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
let exitCode = 0;

/**
 * A signal to this process ends a child with its process group, and then this process: a compiler left behind would occupy
 * every core for minutes.
 *
 * @param {import('node:child_process').ChildProcess} child spawned with `detached`
 */
export function endOnSignal(child) {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, endAll);
  running.add(child);
  // 'close' comes once the child's output is closed, but never for a program that does not exist.
  for (const event of ['close', 'error']) child.once(event, () => forget(child));
}

/** @param {import('node:child_process').ChildProcess} child */
function forget(child) {
  if (!running.delete(child) || running.size > 0) return;
  if (exitCode > 0) process.exit(exitCode);
  for (const signal of SIGNALS) process.off(signal, endAll);
}

/** @param {typeof SIGNALS[number]} signal */
function endAll(signal) {
  if (exitCode > 0) return; // npm passes on a Ctrl-C that the terminal has already sent
  exitCode = 128 + constants.signals[signal];
  killAll('SIGTERM');
  setTimeout(() => {
    killAll('SIGKILL');
    process.exit(exitCode);
  }, PATIENCE_MS);
}

/** @param {NodeJS.Signals} signal */
function killAll(signal) {
  for (const { pid } of running) {
    try {
      if (pid !== undefined) process.kill(-pid, signal);
    } catch {
      // It has just exited.
    }
  }
}
