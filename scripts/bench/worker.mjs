// bertune's side of the bench: does one job in a fresh process and prints its result as one JSON line.
import { UsageError } from '../../dist/index.js';
import { messageOf } from '../setup/errors.mjs';
import { evaluate, predict } from './worker/evaluate.mjs';
import { encode, vocabulary } from './worker/inputs.mjs';
import { machine } from './worker/measures.mjs';
import { makeModel, open } from './worker/open.mjs';
import { forward, frozen, step } from './worker/step.mjs';
import { train } from './worker/train.mjs';
import { inWorld, launched } from './worker/world.mjs';

/** @type {Record<string, (job: any) => unknown>} */
const tasks = {
  machine,
  vocabulary,
  frozen,
  encode,
  train: (job) => inWorld(job, train),
  evaluate,
  predict,
  step: (job) => inWorld(job, step),
  forward,
  makeModel,
  open,
};

try {
  const job = JSON.parse(process.argv[2] ?? '{}');
  const task = tasks[job.task];
  if (task === undefined)
    throw new UsageError(`This build has no job '${job.task}' but ${Object.keys(tasks).join(', ')}`);
  if (!(await launched(job))) process.stdout.write(`${JSON.stringify(await task(job))}\n`);
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${isUsage || !(error instanceof Error) ? messageOf(error) : error.stack}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
