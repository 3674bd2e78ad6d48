// The other side of a comparison: HF Trainer, in a Python that has it or gets it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { log } from '../setup/terminal.mjs';
import { processes } from './statistics.mjs';
import { forkingWorker, freshWorker } from './jobs.mjs';

const REFERENCE = join(projectRoot, 'scripts', 'reference');

/**
 * The program on the other side, and what it is.
 *
 * @typedef {Awaited<ReturnType<typeof openReference>>} Reference
 * @typedef {import('./runs.mjs').Side} Side
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 */

/**
 * Finds or makes the Python of the other side.
 *
 * @param {string} device
 * @throws {SetupError} when there is no Python with the packages and none can be made, or its torch has no such device
 */
export async function openReference(device) {
  const command = await referencePython();
  const script = join(REFERENCE, 'bench.py');
  const { worker, close } = forkingWorker(command, [script]);
  try {
    const { python, torch, transformers, cuda } = await worker({ task: 'versions' });
    if (device !== 'cpu' && !cuda)
      throw new SetupError(
        `The comparison runs on the GPU too, but torch ${torch} of ${command} sees none: install a CUDA build of ` +
          'torch there, or name a Python that has one with BERTUNE_PYTHON',
      );
    const versions = `Python ${python}, torch ${torch}, transformers ${transformers}`;
    // `command script JOB` does one job from the start of Python on.
    return { command, script, worker, close, versions };
  } catch (error) {
    close(); // else it would wait for jobs, and this program for its end
    throw error;
  }
}

/**
 * HF Trainer as the options ask.
 *
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @param {string} encoded file with config, token ids and labels
 * @returns {Side[]}
 */
export function trainingSides(options, { reference, machine }, encoded) {
  if (reference === null) return [];
  const { compare, compareTutorial, batchSize, threads, nproc } = options;
  const worker = nproc === 1 ? reference.worker : torchrun(reference, nproc, threads);
  const shared = { task: 'train', encoded, batchSize, threads, device: machine.device };
  /** @type {(name: string, style: 'best' | 'tutorial', dtype: Side['dtype']) => Side} */
  const side = (name, style, dtype) => ({
    name,
    role: style,
    dtype,
    measure: () => worker({ ...shared, style, dtype }),
  });
  return [
    // Emulated bfloat16 is many times slower than float32.
    ...(compare
      ? [
          side(
            `HF Trainer at its best${nproc === 1 ? '' : `, ${processes(nproc, threads)}`}`,
            'best',
            machine.bfloat16 ? 'bfloat16' : 'float32',
          ),
        ]
      : []),
    ...(compareTutorial ? [side('HF Trainer as in tutorials', 'tutorial', 'float32')] : []),
  ];
}

/**
 * Trainer.evaluate with what is the fastest on a part of the rows.
 *
 * @param {BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @param {string} encoded file with config, token ids and labels
 * @returns {Promise<Side[]>}
 */
export async function evaluationSides({ compare, threads }, { reference, machine }, encoded) {
  if (reference === null || !compare) return [];
  const { worker } = reference;
  const shared = { encoded, threads, device: machine.device };
  log('Looking for the best way of Trainer.evaluate ...');
  const best = await worker({ task: 'tune_evaluation', ...shared, bfloat16: machine.bfloat16 });
  /** @type {{ way: string, dtype: Side['dtype'], batchSize: number, tried: { way: string, batchSize: number, seconds: number }[] }} */
  const { way, dtype, batchSize, tried } = best;
  const times = tried.map((one) => `${one.way}, batch ${one.batchSize}: ${one.seconds.toFixed(1)} s`);
  log(`On a part of the rows: ${times.join('; ')}`);
  return [
    {
      name: `HF Trainer.evaluate, ${way}, batch ${batchSize}`,
      role: 'best',
      dtype,
      measure: () => worker({ task: 'evaluate', ...shared, way, batchSize }),
    },
  ];
}

/**
 * Steps or forward passes of transformers' model, eager or compiled too.
 *
 * @param {Pick<import('./steps.mjs').StepPlan, 'theirs' | 'compile'>} plan
 * @param {Reference} reference
 * @param {import('./jobs.mjs').Job} job what the sides have in common
 * @returns {Side[]}
 */
export function stepSides({ theirs, compile }, { worker }, job) {
  /** @type {(role: 'eager' | 'compiled') => Side[]} */
  const sides = (role) =>
    theirs.map((each) => ({
      name: `HF ${role}`,
      role,
      dtype: each,
      measure: () => worker({ ...job, dtype: each, compile: role === 'compiled' }),
    }));
  return [...sides('eager'), ...(compile ? sides('compiled') : [])];
}

/**
 * Steps of as many processes in DistributedDataParallel, started by torchrun.
 *
 * @param {Pick<BenchOptions, 'nproc' | 'theirs' | 'threads'>} options
 * @param {import('./runs.mjs').Context} context
 * @param {import('./jobs.mjs').Job & { rows: number }} job
 * @returns {Side[]}
 */
export function togetherSides({ nproc, theirs, threads }, { reference }, job) {
  if (reference === null) return [];
  const worker = torchrun(reference, nproc, threads);
  return theirs.map((dtype) => ({
    name: `HF eager, DDP, ${processes(nproc, threads)}, ${job.rows} rows each`,
    role: 'eager',
    dtype,
    measure: () => worker({ ...job, dtype, compile: false }),
  }));
}

/** @param {Reference} reference @param {number} nproc @param {number} threads of each process */
function torchrun({ command, script }, nproc, threads) {
  const args = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', String(nproc), script];
  return freshWorker(command, args, { ...process.env, OMP_NUM_THREADS: String(threads) });
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

/** Why a Python does not do; empty when it does. @param {string} python */
async function faultOf(python) {
  const { code, stderr, missing } = await capture(python, ['-c', 'import accelerate, torch, transformers']);
  if (code === 0) return '';
  return missing ? 'there is no such program' : (stderr.trim().split('\n').at(-1) ?? 'it fails');
}

/** @param {string} what @param {string} command @param {string[]} args */
async function step(what, command, args) {
  log(`${what} ...`);
  const { code, stderr } = await capture(command, args, { cwd: projectRoot, stdout: 'stderr' });
  if (code === 0) return;
  throw new SetupError(`${what} failed: ${stderr.trim().split('\n').slice(-5).join('\n')}
The comparison needs a Python with torch, transformers and accelerate. Name one you have:
BERTUNE_PYTHON=/path/to/python npm run bench -- --compare`);
}
