// Who starts the processes of a training: torchrun itself where there is one, and stand-ins for SLURM and Kubernetes, with the files
// that users take for them.
import { spawn, spawnSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { freePort } from '../../dist/distributed/launch.js';
import { z } from 'zod';

import { startBertune, type Options } from '../fixtures/cli.js';
import { linesOf, logged, processesOf, train, trainArguments, weights } from '../fixtures/together.js';
import { makeToy } from '../fixtures/toy.js';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const fileOf = (name: string): string =>
  fileURLToPath(new URL(`../../examples/cluster/${name}`, import.meta.url));
const STAND_INS = fileURLToPath(new URL('../fixtures/slurm', import.meta.url));

const folder = t.testdir();
makeToy(folder, { train: 333, test: 101 });
const at = (output: string): string => join(folder, output);

const SHORT = { 'max-steps': '12', 'eval-strategy': 'no' } satisfies Options;
/** Long enough for a process to be killed on the way. */
const LONG = {
  'max-steps': '600',
  'eval-strategy': 'no',
  'save-strategy': 'steps',
  'save-steps': '20',
  'save-total-limit': '2',
  'ddp-timeout': '20',
} satisfies Options;

/** Runs a program to its end; its exit code and both streams together. */
function start(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { output: () => string; code: Promise<number | null> } {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', HF_HUB_OFFLINE: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const code = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  return { output: () => output, code };
}

const PYTHON = process.env['BERTUNE_PYTHON'];
const hasTorch =
  PYTHON !== undefined && spawnSync(PYTHON, ['-c', 'import torch.distributed.run']).status === 0;

function torchrun(options: readonly string[], args: readonly string[]): ReturnType<typeof start> {
  const command = ['-m', 'torch.distributed.run', '--no-python', ...options, process.execPath, CLI, ...args];
  return start(PYTHON ?? '', command);
}

/** Kills a process after a checkpoint that is newer than those that there are. */
async function killAfterCheckpoint(output: string, rank: number, after: number): Promise<void> {
  while (!existsSync(join(at(output), `checkpoint-${after}`))) await sleep(5);
  const id = processesOf(output).get(rank);
  if (id === undefined) throw new Error(`rank ${rank} of ${output} does not run at checkpoint-${after}`);
  process.kill(id, 'SIGKILL');
}

const withTorch = { skip: hasTorch ? false : 'BERTUNE_PYTHON names no Python with torch', timeout: 0 };

await t.test('torchrun', withTorch, async (t) => {
  await train(folder, 'launched', 2, SHORT);
  const short = torchrun(['--standalone', '--nproc-per-node', '2'], trainArguments('torchrun', 2, SHORT));
  t.equal(await short.code, 0, short.output());
  t.same(logged(at('torchrun')), logged(at('launched')), 'the same losses as with --nproc');
  t.same(weights(at('torchrun')), weights(at('launched')), 'the same bits');

  await train(folder, 'undisturbed', 2, LONG);
  const resuming = { ...LONG, 'resume-from-checkpoint': 'auto' } satisfies Options;
  const restarted = torchrun(
    ['--standalone', '--nproc-per-node', '2', '--max-restarts', '2'],
    trainArguments('restarted', 2, resuming),
  );
  await killAfterCheckpoint('restarted', 1, 40);
  await killAfterCheckpoint('restarted', 0, 200);
  t.equal(await restarted.code, 0, restarted.output().slice(-3000));
  t.equal(
    restarted.output().match(/Resuming from restarted\/checkpoint-\d+/g)?.length,
    2,
    'started twice again',
  );
  t.same(weights(at('restarted')), weights(at('undisturbed')), 'the bits of an undisturbed run');
  t.same(logged(at('restarted')), logged(at('undisturbed')), 'and its log');
});

await t.test('torchrun on two machines', withTorch, async (t) => {
  const port = await freePort();
  const agents = [0, 1].map(() =>
    torchrun(
      [
        '--nnodes=2',
        '--nproc-per-node=1',
        '--max-restarts=2',
        '--rdzv-backend=c10d',
        '--local-addr=127.0.0.1',
      ].concat(`--rdzv-endpoint=127.0.0.1:${port}`, '--rdzv-id=of-two'),
      trainArguments('of-two', 2, { ...LONG, 'resume-from-checkpoint': 'auto' }),
    ),
  );
  // One agent counts a restart, and the other one has only heard of it.
  await killAfterCheckpoint('of-two', 1, 40);
  for (const { code, output } of agents) t.equal(await code, 0, output().slice(-3000));
  t.same(weights(at('of-two')), weights(at('undisturbed')), 'the bits of an undisturbed run');
});

const hasBash = spawnSync('bash', ['--version']).status === 0;

await t.test(
  'a batch script of SLURM',
  { skip: hasBash ? false : 'bash is needed', timeout: 0 },
  async (t) => {
    const programs = t.testdir();
    cpSync(STAND_INS, programs, { recursive: true });
    writeFileSync(join(programs, 'npx'), `#!/bin/bash\nshift\nexec "${process.execPath}" "${CLI}" "$@"\n`, {
      mode: 0o755,
    });
    const sbatch = (nodes: number, tasks: number, args: readonly string[]): ReturnType<typeof start> =>
      start(
        'sbatch',
        [`--nodes=${nodes}`, `--ntasks-per-node=${tasks}`, fileOf('train.sbatch'), ...args.slice(1)],
        { PATH: `${programs}${delimiter}${process.env['PATH']}` },
      );
    await train(folder, 'launched', 2, SHORT);
    const twoNodes = sbatch(2, 1, trainArguments('slurm', 2, SHORT));
    t.equal(await twoNodes.code, 0, twoNodes.output());
    t.match(twoNodes.output(), /Training on cpu, .*2 processes/);
    t.same(weights(at('slurm')), weights(at('launched')), 'the bits of a training with --nproc');
    const again = sbatch(1, 2, trainArguments('slurm-again', 2, { ...SHORT, 'learning-rate': '-1' }));
    t.not(await again.code, 0);
    t.match(
      linesOf(again.output()),
      [/--learning-rate/, /--learning-rate/],
      'each says what is wrong with its options',
    );
  },
);

/** Of PyTorchJob (kubeflow.org/v1) and what it holds of Kubernetes: all that our manifest uses, and what the operator asks for. */
const container = z.strictObject({
  name: z.literal('pytorch'),
  image: z.string().min(1),
  command: z.array(z.string()),
  args: z.array(z.string()),
  ports: z.array(
    z.strictObject({ name: z.literal('pytorchjob-port'), containerPort: z.int().min(1).max(65_535) }),
  ),
  resources: z.strictObject({ limits: z.record(z.enum(['cpu', 'memory']), z.string().regex(/^\d+(Gi)?$/)) }),
  volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string().startsWith('/') })),
});
const replicas = (count: z.ZodNumber) =>
  z.strictObject({
    replicas: count,
    restartPolicy: z.enum(['Always', 'OnFailure', 'Never', 'ExitCode']),
    template: z.strictObject({
      metadata: z.strictObject({ annotations: z.record(z.string(), z.string()) }),
      spec: z.strictObject({
        terminationGracePeriodSeconds: z.int(),
        containers: z.tuple([container]),
        volumes: z.array(
          z.strictObject({
            name: z.string(),
            persistentVolumeClaim: z.strictObject({ claimName: z.string() }),
          }),
        ),
      }),
    }),
  });
const manifestSchema = z.strictObject({
  apiVersion: z.literal('kubeflow.org/v1'),
  kind: z.literal('PyTorchJob'),
  metadata: z.strictObject({ name: z.string().regex(/^[a-z]([-a-z0-9]*[a-z0-9])?$/) }),
  spec: z.strictObject({
    runPolicy: z.strictObject({ cleanPodPolicy: z.enum(['All', 'Running', 'None']), backoffLimit: z.int() }),
    pytorchReplicaSpecs: z.strictObject({
      Master: replicas(z.number().min(1).max(1)),
      Worker: replicas(z.int().min(1)),
    }),
  }),
});

await t.test('a PyTorchJob of Kubernetes', { timeout: 0 }, async (t) => {
  const manifest = manifestSchema.parse(parse(readFileSync(fileOf('pytorchjob.yaml'), 'utf8')));
  const { Master: main, Worker: workers } = manifest.spec.pytorchReplicaSpecs;
  const roles = [main, workers].map(({ template }) => template.spec);
  for (const { containers, volumes } of roles)
    t.same(
      containers[0].volumeMounts.map(({ name }) => name),
      volumes.map(({ name }) => name),
    );

  await train(folder, 'bert-base-uncased', 1, { ...SHORT, 'max-steps': '1' });
  const host = await lookup(hostname()).then(
    () => hostname(),
    () => 'localhost',
  );
  const port = await freePort();
  const size = 2;
  const [variables, common] = [
    { MASTER_PORT: String(port), MASTER_ADDR: host },
    { threads: '1', dtype: 'float32' },
  ];
  const more = [
    '--max-steps=12',
    '--per-device-train-batch-size=8',
    ...Object.entries(common).map(([name, value]) => `--${name}=${value}`),
  ];
  const ends = roles.map(({ containers: [{ command, args }] }, rank) => {
    t.same(command, ['npx', 'bertune', 'train']);
    const own = args.map((argument) => argument.replace('/shared', folder)).concat(more);
    // What the operator's setPodEnv gives a container of such a job.
    const env = {
      PYTHONUNBUFFERED: '1',
      ...variables,
      WORLD_SIZE: String(size),
      RANK: String(rank),
      PET_MASTER_PORT: String(port),
      PET_MASTER_ADDR: host,
      PET_NODE_RANK: String(rank),
      PET_NNODES: String(size),
    };
    return startBertune(['train', ...own], { cwd: folder, env }).outcome;
  });
  for (const { code, stderr } of await Promise.all(ends)) t.equal(code, 0, stderr);
  const [first] = await Promise.all(ends);
  t.match(first?.stderr, /Training on cpu, .*2 processes/);
  t.ok(existsSync(at('out/model.safetensors')), 'the model is where all see it');
});
