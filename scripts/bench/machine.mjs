// What was measured and on what: machine, versions, commit, and whether anything else was running.
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { ourWorker, runJob } from './jobs.mjs';

const QUIET = 0.5;

/** @typedef {Awaited<ReturnType<typeof machineFacts>>} Machine */

/**
 * @param {'auto' | 'cpu' | 'cuda'} requested
 * @throws {import('../setup/errors.mjs').SetupError} (exit code 2) when there is no such device
 */
export async function machineFacts(requested) {
  const load = loadavg()[0] ?? 0; // first, before anything here adds to it
  const { version } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'));
  /** @type {{ device: 'cpu' | 'cuda', gpu: string | null, bfloat16: boolean, libtorch: string }} */
  const { device, gpu, bfloat16, libtorch } = await runJob(ourWorker, { task: 'machine', device: requested });
  return {
    date: new Date().toISOString().slice(0, 16),
    bertune: String(version),
    commit: await commit(),
    node: process.version,
    libtorch,
    device,
    gpu,
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    /** Whether the device multiplies bfloat16 in hardware. */
    bfloat16,
    load,
  };
}

/** @param {Machine} machine */
export function machineLines({ date, bertune, commit: id, node, libtorch, gpu, cpu, cores, bfloat16, load }) {
  return [
    `bertune ${bertune}, ${id}; Node ${node}, LibTorch ${libtorch}; ${date} UTC`,
    ...(gpu === null ? [] : [`on the GPU: ${gpu}, ${arithmetic(bfloat16)}`]),
    `${cpu}, ${cores} cores${gpu === null ? `, ${arithmetic(bfloat16)}` : ''}; load average at start ${load.toFixed(2)}`,
  ];
}

/** @param {boolean} bfloat16 */
function arithmetic(bfloat16) {
  return `${bfloat16 ? 'with' : 'without'} bfloat16 arithmetic`;
}

/** A warning if other programs used the cores, else empty. @param {number} load */
export function loadWarning(load) {
  if (load <= QUIET) return '';
  return `Warning: the load average was ${load.toFixed(2)} at the start. Other programs use the cores; repeat this on an idle machine.`;
}

async function commit() {
  const head = await git('rev-parse', '--short', 'HEAD');
  if (head.code !== 0) return 'no git commit';
  const changes = await git('status', '--porcelain', '--untracked-files=no');
  return `commit ${head.stdout.trim()}${changes.stdout === '' ? '' : ' with changed files'}`;
}

/** @param {string[]} args */
function git(...args) {
  return capture('git', ['-C', projectRoot, ...args]);
}
