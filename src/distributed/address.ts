// Where the processes of one training meet, from the environment that a launcher gives each of them: torchrun and whatever sets
// its variables (PyTorchJob on Kubernetes, `--nproc`), srun of SLURM, or MPI.
import type { WorldAddress } from '../native/index.js';
import { UsageError } from '../util/errors.js';
import { listed } from '../util/text.js';
import { addressesByInterface, isLoopback } from './interfaces.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** The names that launchers give rank and number of processes. SLURM's are those of a step: a batch script alone has one task. */
const LAUNCHERS = [
  { name: 'torchrun', rank: 'RANK', size: 'WORLD_SIZE', local: 'LOCAL_RANK' },
  { name: 'srun', rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS', local: 'SLURM_LOCALID' },
  {
    name: 'Open MPI',
    rank: 'OMPI_COMM_WORLD_RANK',
    size: 'OMPI_COMM_WORLD_SIZE',
    local: 'OMPI_COMM_WORLD_LOCAL_RANK',
  },
  { name: 'MPI', rank: 'PMI_RANK', size: 'PMI_SIZE', local: 'MPI_LOCALRANKID' },
] as const;

/** How a launcher's variables say that this process is one of several. */
export interface Launched {
  readonly rank: { readonly variable: string; readonly value: number };
  readonly size: { readonly variable: string; readonly value: number };
}

/** What a launcher has said of this process, checked by nobody; null where none has, or there is one process. */
export function launched(environment: Environment): Launched | null {
  const launcher = launcherOf(environment);
  if (launcher === undefined || Number(environment[launcher.size]) === 1) return null;
  const variable = (name: string): Launched['rank'] => ({ variable: name, value: Number(environment[name]) });
  return { rank: variable(launcher.rank), size: variable(launcher.size) };
}

function launcherOf(environment: Environment): (typeof LAUNCHERS)[number] | undefined {
  return LAUNCHERS.find(
    ({ rank, size }) => environment[rank] !== undefined && environment[size] !== undefined,
  );
}

const DEFAULT_PORT = 29_500;
const LOOPBACK = '127.0.0.1';

/**
 * The address of a training of several processes; null where this process is alone.
 *
 * @param timeout milliseconds to wait for another process
 * @throws UsageError for variables that make no address
 *
 * @example
 * ```ts
 * import { worldAddress, type WorldAddress } from 'bertune';
 *
 * const address: WorldAddress | null = worldAddress(process.env, 600_000);
 * console.log(address === null ? 'alone' : `rank ${address.rank} of ${address.size}`);
 * ```
 */
export function worldAddress(environment: Environment, timeout: number): WorldAddress | null {
  const launcher = launcherOf(environment);
  if (launcher === undefined) return null;
  const whole = (name: string, least: number, most: number, otherwise?: number): number => {
    const text = environment[name];
    if (text === undefined && otherwise !== undefined) return otherwise;
    const value = Number(text);
    if (
      text !== undefined &&
      text.trim() !== '' &&
      Number.isInteger(value) &&
      value >= least &&
      value <= most
    )
      return value;
    throw new UsageError(
      `The variable ${name} is ${JSON.stringify(text ?? '')}; it must be a whole number from ${least} to ${most}. ` +
        'Launchers set it for each process of a training; unset it to train with one process.',
    );
  };
  const size = whole(launcher.size, 1, 65_535);
  if (size === 1) return null;
  const rank = whole(launcher.rank, 0, size - 1);
  const host = environment['MASTER_ADDR'] ?? firstNode(launcher.name, environment);
  const run = environment['TORCHELASTIC_RUN_ID'] ?? '';
  return {
    host,
    port: whole('MASTER_PORT', 1, 65_535, DEFAULT_PORT),
    rank,
    size,
    isServer: rank === 0 && environment['TORCHELASTIC_USE_AGENT_STORE'] !== 'True',
    prefix: `bertune/${run}`,
    interface: isLoopback(host) ? LOOPBACK : chosenAddress(environment['GLOO_SOCKET_IFNAME']),
    timeout,
  };
}

/** Among the processes of this machine; null where no launcher says. */
export function localRank(environment: Environment): number | null {
  for (const { local } of LAUNCHERS) {
    const rank = Number(environment[local] ?? 'none');
    if (Number.isInteger(rank) && rank >= 0) return rank;
  }
  return null;
}

/** Threads for each process of this machine, which has `cores` for this process if launchers do not share them out. */
export function localThreads(environment: Environment, cores: number): number {
  // Where srun binds a task to the cores that it asks for, there are no more than these.
  const isTask = launcherOf(environment)?.name === 'srun'; // torchrun in a task divides it among several processes
  const ofTask = isTask ? Number(environment['SLURM_CPUS_PER_TASK'] ?? 'none') : NaN;
  if (ofTask >= 1) return Math.min(cores, ofTask);
  const names = [
    'LOCAL_WORLD_SIZE',
    'OMPI_COMM_WORLD_LOCAL_SIZE',
    'MPI_LOCALNRANKS',
    'SLURM_NTASKS_PER_NODE',
  ];
  const size = names.map((name) => Number(environment[name])).find((number) => number >= 1) ?? 1;
  return Math.max(1, Math.floor(cores / size));
}

/** By Gloo's own variable, as in PyTorch; of several interfaces the first. */
function chosenAddress(names = ''): string {
  const [name = ''] = names.split(',');
  if (name === '') return '';
  const known = addressesByInterface();
  const address = known.get(name);
  if (address !== undefined) return address;
  throw new UsageError(
    `The variable GLOO_SOCKET_IFNAME is ${JSON.stringify(names)}; the network interfaces of this machine are ${listed([...known.keys()])}`,
  );
}

/** Where the launcher does not name the machine of rank 0. */
function firstNode(launcher: string, environment: Environment): string {
  if (launcher !== 'srun') return LOOPBACK;
  if (environment['SLURM_STEP_NUM_NODES'] === '1') return LOOPBACK;
  throw new UsageError(
    'The processes of this SLURM step are on several machines: set MASTER_ADDR to the name of the first one, such as ' +
      'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
  );
}
