// Trainings of several processes on this machine: the same as by one, and an end with one line when one of them fails.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';

import { bertune, flags, startBertune, type Options } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const STEPS = 200;
const folder = t.testdir();
makeToy(folder, { train: 333, test: 101 });

const OPTIONS = {
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'max-steps': String(STEPS),
  'learning-rate': '3e-4',
  'logging-steps': '1',
  'eval-strategy': 'steps',
  'eval-steps': '100',
  'save-strategy': 'no',
  dtype: 'float32',
  threads: '1',
} satisfies Options;

/** A run of `processes`, each of which has so much of a batch that all have 16 rows. */
async function train(output: string, processes: number, options: Options = {}): Promise<string> {
  const { code, stderr } = await bertune(
    [
      'train',
      ...flags({
        ...OPTIONS,
        'output-dir': output,
        'per-device-train-batch-size': String(16 / processes),
        ...(processes > 1 && { nproc: String(processes) }),
        ...options,
      }),
    ],
    { cwd: folder, wrapper: [] },
  );
  if (code !== 0)
    throw new Error(
      stderr
        .split('\n')
        .filter((line) => line.startsWith('bertune'))
        .join(),
    );
  return stderr;
}

/** What was logged, step by step: losses, norms of gradients and metrics, without times. */
function logged(output: string): Record<string, number>[] {
  const { log_history: entries } = JSON.parse(
    readFileSync(join(folder, output, 'trainer_state.json'), 'utf8'),
  ) as { log_history: Record<string, number>[] };
  return entries.map((entry) =>
    Object.fromEntries(Object.entries(entry).filter(([name]) => !/runtime|per_second|data_wait/.test(name))),
  );
}

function weights(output: string): Float32Array {
  const bytes = readFileSync(join(folder, output, 'model.safetensors'));
  const header = Number(bytes.readBigUInt64LE());
  return new Float32Array(Uint8Array.from(bytes.subarray(8 + header)).buffer);
}

/** |a - b| / |b| */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? NaN) - (b[i] ?? NaN)) ** 2;
    size += (b[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / size);
}

function worst(
  a: readonly Record<string, number>[],
  b: readonly Record<string, number>[],
  name: RegExp,
): number {
  let most = 0;
  for (const [i, entry] of b.entries())
    for (const [key, value] of Object.entries(entry))
      if (name.test(key) && a[i]?.[key] !== value)
        most = Math.max(most, Math.abs((a[i]?.[key] ?? NaN) / value - 1));
  return a.length === b.length ? most : NaN;
}

await t.test('2 and 4 processes train as one does', { timeout: 0 }, async (t) => {
  await train('one', 1);
  for (const processes of [2, 4]) {
    const output = `of-${processes}`;
    await train(output, processes);
    const losses = worst(logged(output), logged('one'), /^(eval_)?loss$/);
    t.ok(losses < 1e-5, `${processes} processes: losses within ${losses}`);
    const far = distance(weights(output), weights('one'));
    t.ok(far < 1e-4, `${processes} processes: weights within ${far}`);
    t.equal(
      worst(logged(output), logged('one'), /^eval_accuracy$/),
      0,
      `${processes} processes: the same accuracies`,
    );
  }
  await train('of-2-again', 2);
  t.same(weights('of-2-again'), weights('of-2'), 'two runs of one size have the same bits');
  t.same(logged('of-2-again'), logged('of-2'), 'and logs');
});

await t.test('adapters, accumulation and reductions in bfloat16', { timeout: 0 }, async (t) => {
  const options = {
    'max-steps': '40',
    'eval-strategy': 'no',
    'gradient-accumulation-steps': '3',
    config: undefined,
    model: 'one',
    'lora-rank': '4',
    'lora-dropout': '0.1',
    'neftune-noise-alpha': '5',
  } satisfies Options;
  await train('lora-1', 1, options);
  await train('lora-2', 2, options);
  const losses = worst(logged('lora-2'), logged('lora-1'), /^loss$/);
  t.ok(losses < 1e-5, `losses within ${losses}`);
  await train('rounded', 2, {
    'max-steps': '40',
    'eval-strategy': 'no',
    'gradient-reduce-dtype': 'bfloat16',
  });
  await train('exact', 2, { 'max-steps': '40', 'eval-strategy': 'no' });
  const rounded = worst(logged('rounded'), logged('exact'), /^loss$/);
  t.ok(rounded > 0 && rounded < 0.05, `rounded gradients: losses within ${rounded}`);
});

await t.test('fewer rows than processes', { timeout: 0 }, async (t) => {
  writeFileSync(
    join(folder, 'few.csv'),
    readFileSync(join(folder, 'train.csv'), 'utf8').split('\n').slice(0, 4).join('\n'),
  );
  const options = { 'train-file': 'few.csv', 'eval-strategy': 'no', 'max-steps': '10' } satisfies Options;
  await train('few-1', 1, options);
  await train('few-4', 4, options);
  const losses = worst(logged('few-4'), logged('few-1'), /^loss$/);
  t.ok(losses < 1e-5, `losses within ${losses}`);
});

await t.test('resumed with the same bits, and at another size', { timeout: 0 }, async (t) => {
  const saving = { 'save-strategy': 'steps', 'save-steps': '120' } satisfies Options;
  await train('whole', 2, saving);
  mkdirSync(join(folder, 'resumed'));
  await train('resumed', 2, { ...saving, 'resume-from-checkpoint': 'whole/checkpoint-120' });
  t.same(weights('resumed'), weights('whole'), 'the same bits');
  const told = await train('resumed-alone', 1, {
    ...saving,
    'resume-from-checkpoint': 'whole/checkpoint-120',
  });
  t.match(told, /placement was "cpu, float32, 1 thread, 2 processes" and is now "cpu, float32, 1 thread"/);
  const far = distance(weights('resumed-alone'), weights('whole'));
  t.ok(far < 1e-4, `one process continues what two began: weights within ${far}`);
});

/** The ids of a run's processes by rank, from the variables of their environment. */
function processesOf(output: string): Map<number, number> {
  const found = new Map<number, number>();
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      if (!readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(`\0${output}\0`)) continue;
      const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${id}/environ`, 'utf8'))?.[1];
      if (rank !== undefined) found.set(Number(rank), Number(id));
    } catch {
      // ended meanwhile
    }
  return found;
}

async function whileTraining(
  output: string,
  options: Options,
  disturb: (processes: Map<number, number>) => void,
): Promise<{ code: number | null; stderr: string; seconds: number }> {
  const run = startBertune(
    [
      'train',
      ...flags({
        ...OPTIONS,
        'output-dir': output,
        'max-steps': '100000',
        'eval-strategy': 'no',
        'logging-steps': '10',
        nproc: '3',
        'ddp-timeout': '10',
        ...options,
      }),
    ],
    { cwd: folder },
  );
  while (!run.stderr().includes('step 20/')) await new Promise((resolve) => setTimeout(resolve, 100));
  const disturbed = performance.now();
  disturb(processesOf(output));
  const { code, stderr } = await run.outcome;
  return { code, stderr, seconds: (performance.now() - disturbed) / 1000 };
}

await t.test('a process that is killed', { timeout: 0 }, async (t) => {
  for (const rank of [1, 0]) {
    const output = `killed-${rank}`;
    // With checkpoints there is a hint how to continue, which must not hide who is gone.
    const saving = { 'save-strategy': 'steps', 'save-steps': '5', 'save-total-limit': '1' } satisfies Options;
    const { code, stderr, seconds } = await whileTraining(output, saving, (processes) =>
      process.kill(processes.get(rank) ?? NaN, 'SIGKILL'),
    );
    t.not(code, 0, `rank ${rank}: ends with a failure`);
    t.ok(seconds < 30, `rank ${rank}: after ${seconds} s`);
    t.match(
      stderr,
      rank === 0
        ? /^bertune: Rank 0, or its launcher, is gone or does not answer/m
        : /^bertune: Rank 1 of 3 gave no sign for 3 seconds: killed/m,
    );
    t.notMatch(stderr, /failed: Ranks? \d/, `rank ${rank}: nobody passes a line on as another's`);
    t.equal(processesOf(output).size, 0, `rank ${rank}: nothing is left`);
  }
});

await t.test('a process that hangs', { timeout: 0 }, async (t) => {
  for (const rank of [2, 0]) {
    const output = `stopped-${rank}`;
    const { code, stderr, seconds } = await whileTraining(output, {}, (processes) =>
      process.kill(processes.get(rank) ?? NaN, 'SIGSTOP'),
    );
    t.not(code, 0);
    t.ok(seconds < 75, `after ${seconds} s`);
    t.match(
      stderr,
      rank === 0
        ? /^bertune: Rank 0, or its launcher, is gone or does not answer/m
        : /^bertune: Rank 2 of 3 gave no sign for 3 seconds/m,
    );
    t.equal(processesOf(output).size, 0, 'nothing is left');
  }
});

await t.test('Ctrl-C saves a checkpoint', { timeout: 0 }, async (t) => {
  const { code, stderr } = await whileTraining('interrupted', { 'save-strategy': 'steps' }, (processes) => {
    for (const id of processes.values()) process.kill(id, 'SIGINT');
  });
  t.equal(code, 130, stderr);
  t.match(stderr, /continue with --resume-from-checkpoint interrupted\/checkpoint-\d+/);
});

await t.test('processes that do not belong together', { timeout: 0 }, async (t) => {
  const start = async (
    rank: number,
    port: number,
    options: Options,
  ): Promise<ReturnType<typeof startBertune>> =>
    startBertune(
      [
        'train',
        ...flags({ ...OPTIONS, 'output-dir': `apart-${port}-${rank}`, 'ddp-timeout': '10', ...options }),
      ],
      {
        cwd: folder,
        env: { RANK: String(rank), WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port) },
      },
    );
  const other = await Promise.all([start(0, 29_611, {}), start(1, 29_611, { 'learning-rate': '1e-3' })]);
  const ends = await Promise.all(other.map((run) => run.outcome));
  t.same(
    ends.map(({ code }) => code),
    [2, 2],
  );
  t.match(ends[0]?.stderr, /^bertune: Rank 1 has another --learning-rate than rank 0: 0.001, not 0.0003/m);
  t.notMatch(ends[1]?.stderr, /bertune:/, 'the other one is silent');

  const alone = await (await start(0, 29_612, {})).outcome;
  t.equal(alone.code, 1);
  t.match(alone.stderr, /^bertune: Rank 0 did not meet all 2 processes at 127\.0\.0\.1:29612 within 10 s/m);

  const server = createServer();
  await new Promise<void>((resolve) => server.listen(29_613, '127.0.0.1', resolve));
  const taken = await (await start(0, 29_613, {})).outcome;
  server.close();
  t.equal(taken.code, 1);
  t.match(
    taken.stderr,
    /^bertune: Rank 0 cannot wait for the others at 127\.0\.0\.1:29613: the port is in use/m,
  );
});
