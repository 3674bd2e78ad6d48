// The other side of a comparison: HF Trainer, in a Python that has it or gets it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { say } from '../setup/terminal.mjs';
import { ourWorker, runJob } from './jobs.mjs';

const REFERENCE = join(projectRoot, 'scripts', 'reference');

/**
 * What to run against bertune, as the options ask.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {string} encoded file with config, token ids and labels
 * @returns {Promise<{ sides: import('./end-to-end.mjs').Side[], versions: string }>} nothing without --compare
 * @throws {SetupError} when there is no Python with the packages and none can be made
 */
export async function referenceSides({ compare, compareTutorial, batchSize, threads }, encoded) {
  /** @type {import('./end-to-end.mjs').Side[]} */
  const sides = [];
  if (!compare && !compareTutorial) return { sides, versions: '' };
  const worker = { command: await referencePython(), args: [join(REFERENCE, 'bench.py')] };
  const { python, torch, transformers } = await runJob(worker, { task: 'versions' });
  const { bfloat16 } = await runJob(ourWorker, { task: 'machine' });
  const shared = { task: 'train', encoded, batchSize, threads };
  /** @type {(name: string, role: import('./end-to-end.mjs').Side['role'], how: object) => void} */
  const add = (name, role, how) => sides.push({ name, role, worker, job: { ...shared, ...how } });
  if (compare) {
    add('HF Trainer at its best', 'best', { style: 'best', dtype: 'bfloat16' });
    if (!bfloat16) add('HF Trainer at its best', 'best', { style: 'best', dtype: 'float32' });
  }
  if (compareTutorial) add('HF Trainer as in tutorials', 'tutorial', { style: 'tutorial', dtype: 'float32' });
  return { sides, versions: `Python ${python}, torch ${torch}, transformers ${transformers}` };
}

/**
 * The ways of transformers that a step is held against: float32, and bfloat16 by autocast, eager or compiled.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @returns {Promise<import('./steps.mjs').StepSide[]>} nothing without --compare
 * @throws {SetupError} when there is no Python with the packages and none can be made
 */
export async function referenceStepSides({ compare, compile }) {
  if (!compare) return [];
  const worker = { command: await referencePython(), args: [join(REFERENCE, 'bench.py')] };
  return [false, ...(compile ? [true] : [])].flatMap((compiled) =>
    ['float32', 'bfloat16'].map((dtype) => ({
      name: `HF ${compiled ? 'compiled' : 'eager'}`,
      worker,
      job: { dtype, compile: compiled },
    })),
  );
}

/** A Python with torch and transformers: BERTUNE_PYTHON, else .venv, made where it is missing. */
async function referencePython() {
  const named = process.env['BERTUNE_PYTHON'];
  if (named !== undefined && named !== '') {
    const fault = await faultOf(named);
    if (fault !== '') throw new SetupError(`BERTUNE_PYTHON, ${named}, cannot be used: ${fault}`, 2);
    return named;
  }
  const python = join(projectRoot, '.venv', 'bin', 'python');
  if (!existsSync(python)) await step('Making .venv for the reference', 'python3', ['-m', 'venv', '.venv']);
  if ((await faultOf(python)) !== '')
    await step(
      'Installing torch and transformers into .venv (some minutes)',
      python,
      ['-m', 'pip', 'install', '--no-input', '-r'].concat(join(REFERENCE, 'requirements.txt')),
    );
  return python;
}

/**
 * Why a Python does not do; empty when it does.
 *
 * @param {string} python
 */
async function faultOf(python) {
  const { code, stderr, missing } = await capture(python, ['-c', 'import accelerate, torch, transformers']);
  if (code === 0) return '';
  return missing ? 'there is no such program' : (stderr.trim().split('\n').at(-1) ?? 'it fails');
}

/**
 * @param {string} what
 * @param {string} command
 * @param {string[]} args
 */
async function step(what, command, args) {
  say(`${what} ...`);
  const { code, stderr } = await capture(command, args, { cwd: projectRoot, stdout: 'stderr' });
  if (code === 0) return;
  throw new SetupError(`${what} failed: ${stderr.trim().split('\n').slice(-5).join('\n')}
The comparison needs a Python with torch, transformers and accelerate. Name one you have:
BERTUNE_PYTHON=/path/to/python npm run bench -- --compare`);
}
