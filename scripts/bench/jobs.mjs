// Jobs for another process: a job is one JSON argument, its result the last line of stdout.
import { fileURLToPath } from 'node:url';
import { SetupError } from '../setup/errors.mjs';
import { capture } from '../setup/process.mjs';

/**
 * A program that takes jobs.
 *
 * @typedef {{ command: string, args: readonly string[] }} Worker
 */

/** bertune's side. @type {Worker} */
export const ourWorker = {
  command: process.execPath,
  args: [fileURLToPath(new URL('worker.mjs', import.meta.url))],
};

/**
 * Runs one job to its end.
 *
 * @param {Worker} worker
 * @param {{ task: string } & Record<string, unknown>} job
 * @returns {Promise<any>} what the worker reports
 * @throws {SetupError} with the end of what the worker wrote to stderr, and its exit code
 */
export async function runJob({ command, args }, job) {
  const { code, stdout, stderr } = await capture(command, [...args, JSON.stringify(job)]);
  const result = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (code === 0 && result.startsWith('{')) return JSON.parse(result);
  const reason = stderr.trim().split('\n').slice(-20).join('\n');
  const why = reason === '' ? `it ended with code ${code ?? 'none (killed)'}` : reason;
  if (code === 2) throw new SetupError(why, 2); // the caller's mistake, in words already
  throw new SetupError(`The bench's ${job.task} run failed: ${why}`);
}
