// Jobs for another process: a job is one JSON object, and so is its result.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { messageOf, SetupError } from '../setup/errors.mjs';
import { capture, endOnSignal } from '../setup/process.mjs';

/**
 * @typedef {{ task: string } & Record<string, unknown>} Job
 *
 * Does one job in a process that has done nothing else, and returns what it reports.
 *
 * @typedef {(job: Job) => Promise<any>} Worker
 */

/**
 * A program that takes its job as its last argument and writes the result as the last line of stdout.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Worker} throws SetupError with the end of what the program wrote to stderr, and its exit code
 */
export function freshWorker(command, args, env = process.env) {
  return async (job) => {
    const { code, stdout, stderr } = await capture(command, [...args, JSON.stringify(job)], { env });
    const result = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (code === 0 && result.startsWith('{')) return JSON.parse(result);
    const why = endOf(stderr) || `it ended with code ${code ?? 'none (killed)'}`;
    if (code === 2) throw new SetupError(why, 2); // the caller's mistake, in words already
    throw failure(job, why);
  };
}

/**
 * A program that reads jobs from stdin, forks for each and writes a line of JSON for each: its imports, which take
 * longer than many jobs, are loaded once.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {{ worker: Worker, close: () => void }}
 */
export function forkingWorker(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  endOnSignal(child); // with its forks, which would else go on to the end of their job
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr = (stderr + text).slice(-10_000)));
  child.stdin.on('error', () => {}); // it has ended, which the end of its lines tells
  const ended = once(child, 'close').catch((error) => void (stderr = messageOf(error))); // it could not be started
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    worker: async (job) => {
      child.stdin.write(`${JSON.stringify(job)}\n`);
      for (;;) {
        const { value = '', done } = await lines.next();
        if (done) await ended;
        if (done) throw failure(job, endOf(stderr) || 'it ended');
        if (!value.startsWith('{"')) continue; // something that a library prints
        const { error, ...result } = JSON.parse(value);
        if (error === undefined) return result;
        throw failure(job, error);
      }
    },
    close: () => child.stdin.end(),
  };
}

/**
 * Seconds of a program from its start to its end.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env] beside this process's own
 */
export async function timeProcess(command, args, env = {}) {
  const started = performance.now();
  const { code, stderr } = await capture(command, args, { env: { ...process.env, ...env } });
  if (code !== 0) throw new SetupError(`${[command, ...args].join(' ')} failed: ${endOf(stderr)}`);
  return { seconds: (performance.now() - started) / 1000 };
}

/** @param {string} text */
function endOf(text) {
  return text.trim().split('\n').slice(-20).join('\n');
}

/** @param {Job} job @param {string} why */
function failure({ task }, why) {
  return new SetupError(`The bench's ${task} run failed: ${why}`);
}
