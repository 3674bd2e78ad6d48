// Work of `npm run check:gpu` in a process of its own: a job is one JSON object as the argument, its result the last line of stdout.
import { fileURLToPath } from 'node:url';
import { messageOf } from '../setup/errors.mjs';
import { capture } from '../setup/process.mjs';

const SCRIPT = fileURLToPath(import.meta.url);

/**
 * @typedef {{ task: 'train' } & import('./training.mjs').Training} TrainJob
 * @typedef {{ task: 'run' } & import('./trainer-run.mjs').Run} RunJob
 */

/**
 * @param {TrainJob | RunJob} job
 * @param {{ env?: NodeJS.ProcessEnv, wrapper?: readonly string[] }} [how] `wrapper`: a program that starts the process, with its options
 * @returns {Promise<{ code: number | null, stderr: string, result: any }>} `result` is undefined where there is none
 */
export async function inChild(job, { env = {}, wrapper = [] } = {}) {
  const [command, ...args] = [...wrapper, process.execPath, SCRIPT, JSON.stringify(job)];
  const { code, stdout, stderr } = await capture(command, args, { env: { ...process.env, ...env } });
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  return {
    code,
    stderr: stderr || stdout,
    result: code === 0 && last.startsWith('{') ? JSON.parse(last) : undefined,
  };
}

if (process.argv[1] === SCRIPT) {
  const { task, ...job } = JSON.parse(process.argv[2] ?? '{}');
  try {
    const { train } = await import('./training.mjs');
    const { run } = await import('./trainer-run.mjs');
    process.stdout.write(`${JSON.stringify(await (task === 'train' ? train(job) : run(job)))}\n`);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
