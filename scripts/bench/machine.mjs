// What was measured and on what: machine, versions, commit, and whether anything else was running.
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../setup/paths.mjs';
import { commitOf, ourBuild } from './builds.mjs';

const QUIET = 0.5;

/** Which cap the instructions of LibTorch's libraries, so that a processor stands in for an older one. */
const CAPS = /** @type {const} */ ([
  'ONEDNN_MAX_CPU_ISA',
  'DNNL_MAX_CPU_ISA',
  'ATEN_CPU_CAPABILITY',
  'MKL_ENABLE_INSTRUCTIONS',
]);

/**
 * @typedef {import('../../dist/index.js').DeviceInfo['instructionSet']} InstructionSet
 * @typedef {Awaited<ReturnType<typeof machineFacts>>} Machine
 */

/**
 * @param {import('../../dist/index.js').Device} requested
 * @throws {import('../setup/errors.mjs').SetupError} (exit code 2) when there is no such device
 */
export async function machineFacts(requested) {
  const load = loadavg()[0] ?? 0; // first, before anything here adds to it
  const { version } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'));
  /** @type {{ device: string, gpu: string | null, bfloat16: boolean, instructionSet: InstructionSet, libtorch: string }} */
  const { device, gpu, libtorch, instructionSet, ...found } = await ourBuild.worker({
    task: 'machine',
    device: requested,
  });
  /** Whether the device multiplies bfloat16 in hardware. */
  const bfloat16 = found.bfloat16 && (device !== 'cpu' || instructionSet === 'avx512_bf16');
  return {
    date: new Date().toISOString().slice(0, 16),
    bertune: String(version),
    commit: await commitOf(projectRoot),
    node: process.version,
    libtorch,
    device,
    gpu,
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    instructionSet,
    caps: CAPS.flatMap((name) => (process.env[name] ? [`${name}=${process.env[name]}`] : [])),
    bfloat16,
    load,
  };
}

/** @param {Machine} machine */
export function machineLines({ date, bertune, commit, node, libtorch, gpu, cpu, cores, load, ...machine }) {
  const { instructionSet, caps, bfloat16 } = machine;
  return [
    `bertune ${bertune}, ${commit}; Node ${node}, LibTorch ${libtorch}; ${date} UTC`,
    ...(gpu === null ? [] : [`on the GPU: ${gpu}, ${bfloat16 ? 'with' : 'without'} bfloat16 arithmetic`]),
    `${cpu}, ${cores} cores, ${instructionSet}; load average at start ${load.toFixed(2)}`,
    ...(caps.length === 0
      ? []
      : [
          `Emulated: ${caps.join(' ')} caps the processor. Its figures are ratios only, no measurement of such a one.`,
        ]),
  ];
}

/** A warning if other programs used the cores, else empty. @param {number} load */
export function loadWarning(load) {
  if (load <= QUIET) return '';
  return `Warning: the load average was ${load.toFixed(2)} at the start. Other programs use the cores; repeat this on an idle machine.`;
}
