// Where processes meet, by what launchers set.
import { networkInterfaces } from 'node:os';
import t from 'tap';

import { launched, localRank, localThreads, worldAddress } from '../../dist/distributed/address.js';

const TORCHRUN = {
  RANK: '3',
  LOCAL_RANK: '1',
  WORLD_SIZE: '4',
  MASTER_ADDR: 'node-0',
  MASTER_PORT: '29400',
  TORCHELASTIC_USE_AGENT_STORE: 'True',
  TORCHELASTIC_RUN_ID: 'job',
  TORCHELASTIC_RESTART_COUNT: '2',
};

t.test('torchrun', (t) => {
  t.same(worldAddress(TORCHRUN, 5000), {
    host: 'node-0',
    port: 29400,
    rank: 3,
    size: 4,
    isServer: false,
    prefix: 'bertune/job',
    interface: '',
    timeout: 5000,
  });
  t.equal(worldAddress({ ...TORCHRUN, RANK: '0' }, 1)?.isServer, false, 'its agent has the store');
  t.equal(localRank(TORCHRUN), 1);
  t.end();
});

t.test('PyTorchJob of Kubernetes', (t) => {
  const address = worldAddress(
    { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'job-master-0', MASTER_PORT: '23456' },
    1,
  );
  t.match(address, { host: 'job-master-0', port: 23456, rank: 0, isServer: true });
  t.end();
});

t.test('srun', (t) => {
  const step = {
    SLURM_PROCID: '1',
    SLURM_STEP_NUM_TASKS: '2',
    SLURM_LOCALID: '1',
    SLURM_STEP_NUM_NODES: '1',
  };
  t.match(worldAddress(step, 1), {
    host: '127.0.0.1',
    port: 29500,
    rank: 1,
    size: 2,
    interface: '127.0.0.1',
  });
  t.equal(localRank(step), 1);
  t.throws(() => worldAddress({ ...step, SLURM_STEP_NUM_NODES: '2' }, 1), { message: /set MASTER_ADDR/ });
  t.match(worldAddress({ ...step, SLURM_STEP_NUM_NODES: '2', MASTER_ADDR: 'a' }, 1), { host: 'a' });
  t.equal(
    worldAddress({ SLURM_PROCID: '0', SLURM_NTASKS: '8', SLURM_STEP_NUM_TASKS: '1' }, 1),
    null,
    'a batch script without srun is alone',
  );
  t.end();
});

t.test('the cores of a machine are shared out', (t) => {
  const task = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '4' };
  t.equal(localThreads({ LOCAL_WORLD_SIZE: '4' }, 16), 4);
  t.equal(localThreads({ LOCAL_WORLD_SIZE: '4' }, 3), 1);
  t.equal(
    localThreads({ ...task, SLURM_NTASKS_PER_NODE: '4', SLURM_CPUS_PER_TASK: '8' }, 32),
    8,
    'a task that is not bound',
  );
  t.equal(
    localThreads({ ...task, SLURM_NTASKS_PER_NODE: '4', SLURM_CPUS_PER_TASK: '8' }, 8),
    8,
    'and one that is',
  );
  t.equal(
    localThreads(
      { ...task, SLURM_CPUS_PER_TASK: '32', RANK: '1', WORLD_SIZE: '4', LOCAL_WORLD_SIZE: '4' },
      32,
    ),
    8,
    'a task that is a torchrun',
  );
  t.equal(localThreads({}, 16), 16);
  t.end();
});

t.test('MPI', (t) => {
  const openMpi = { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_RANK: '0' };
  t.match(worldAddress(openMpi, 1), { rank: 1, size: 2 });
  t.equal(localRank(openMpi), 0);
  t.match(worldAddress({ PMI_RANK: '1', PMI_SIZE: '2' }, 1), { rank: 1, size: 2 });
  t.end();
});

t.test('one of several, by variables that nobody has checked', (t) => {
  t.same(launched(TORCHRUN), {
    rank: { variable: 'RANK', value: 3 },
    size: { variable: 'WORLD_SIZE', value: 4 },
  });
  // On several machines without MASTER_ADDR there is no address, and there are several processes all the same.
  const step = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2', SLURM_STEP_NUM_NODES: '2' };
  t.match(launched(step), { rank: { variable: 'SLURM_PROCID' }, size: { variable: 'SLURM_STEP_NUM_TASKS' } });
  t.equal(launched({ RANK: '0', WORLD_SIZE: '1' }), null);
  t.equal(launched({ RANK: '0' }), null);
  t.end();
});

t.test('alone', (t) => {
  t.equal(worldAddress({}, 1), null);
  t.equal(worldAddress({ RANK: '0', WORLD_SIZE: '1' }, 1), null);
  t.equal(localRank({}), null);
  t.end();
});

t.test('the network interface that a person chooses', (t) => {
  const interfaces = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses
      .filter(({ internal, family }) => !internal && family === 'IPv4')
      .map(({ address }) => ({ name, address })),
  );
  for (const { name, address } of interfaces.slice(0, 1)) {
    t.equal(worldAddress({ ...TORCHRUN, GLOO_SOCKET_IFNAME: name }, 1)?.interface, address);
    t.equal(
      worldAddress({ ...TORCHRUN, GLOO_SOCKET_IFNAME: `${name},eth99` }, 1)?.interface,
      address,
      'the first',
    );
    const local = { ...TORCHRUN, MASTER_ADDR: 'localhost', GLOO_SOCKET_IFNAME: name };
    t.equal(worldAddress(local, 1)?.interface, '127.0.0.1', 'loopback is not left');
  }
  t.throws(() => worldAddress({ ...TORCHRUN, GLOO_SOCKET_IFNAME: 'eth99' }, 1), {
    name: 'UsageError',
    message: /^The variable GLOO_SOCKET_IFNAME is "eth99"; the network interfaces of this machine are /,
  });
  t.end();
});

t.test('values that are none', (t) => {
  for (const [name, value] of [
    ['WORLD_SIZE', 'two'],
    ['WORLD_SIZE', '0'],
    ['RANK', '4'],
    ['RANK', '-1'],
    ['RANK', ''],
    ['MASTER_PORT', '70000'],
  ] as const)
    t.throws(() => worldAddress({ ...TORCHRUN, [name]: value }, 1), {
      name: 'UsageError',
      message: new RegExp(`^The variable ${name} is "${value}"; it must be a whole number from`),
    });
  t.end();
});
