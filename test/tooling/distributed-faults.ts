// Trainings of several processes of which one fails, or does not belong: all end, with one line that says who and why.
import { cpSync, existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { verifyChecksums } from '../../dist/training/checkpoint.js';
import { startBertune, type Options } from '../fixtures/cli.js';
import { mountTmpfs, noTmpfs } from '../fixtures/tmpfs.js';
import { freePort } from '../../dist/distributed/launch.js';
import {
  ENDLESS,
  linesOf,
  processesOf,
  startRank,
  trainArguments,
  type RankOutcome,
} from '../fixtures/together.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

/** --ddp-timeout is 10 s; the rest is for starts on a busy machine, and for those who look who is gone. */
const IN_TIME = 30;

const folder = t.testdir();
makeToy(folder, { train: 333, test: 101 });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20);
}

async function whileTraining(
  output: string,
  options: Options,
  disturb: (processes: Map<number, number>) => void,
  moment = 'step 20/',
): Promise<{ code: number | null; stderr: string; seconds: number }> {
  const run = startBertune(trainArguments(output, 2, { ...ENDLESS, nproc: '3', ...options }), {
    cwd: folder,
  });
  await until(() => run.stderr().includes(moment));
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
    t.ok(seconds < IN_TIME, `rank ${rank}: after ${seconds} s`);
    t.match(
      stderr,
      rank === 0
        ? /^bertune: Rank 0, or its launcher, is gone or does not answer/m
        : /^bertune: Rank 1 of 3 gave no sign for 3 seconds: killed/m,
    );
    t.notMatch(stderr, /c10d|frame #/, `rank ${rank}: nothing of the engine's own`);
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

const saving = { 'save-strategy': 'steps', 'save-steps': '4' } satisfies Options;

await t.test('a disk of rank 0 that is full', { skip: noTmpfs(), timeout: 0 }, async (t) => {
  const disk = mountTmpfs(join(folder, 'disk'));
  try {
    const { code, stderr, seconds } = await whileTraining(
      'disk/out',
      // Seldom enough for the disk to be filled between two of them.
      { ...saving, 'save-steps': '300', 'save-total-limit': '2' },
      () => disk.leave({ pages: 2 }),
      'Saved disk/out/checkpoint-300',
    );
    t.equal(code, 1);
    t.ok(seconds < IN_TIME, `after ${seconds} s`);
    const [line = '', ...more] = linesOf(stderr);
    t.match(
      line,
      /^bertune: Could not write .*disk\/out\/checkpoint-600.*: the disk is full; free some space .*The last checkpoint is whole: continue with --resume-from-checkpoint disk\/out\/checkpoint-\d+$/,
    );
    t.same(more, [], 'said once');
    const [checkpoint = ''] = /disk\/out\/checkpoint-\d+$/.exec(line) ?? [];
    disk.restore();
    await t.resolves(verifyChecksums(join(folder, checkpoint), 'resume'), `${checkpoint} is whole`);
    t.equal(processesOf('disk/out').size, 0, 'nothing is left');
  } finally {
    disk.unmount();
  }
});

/** Fails unless all ranks ended with this line, which only rank 0 shows, and one that failed by itself with its own. */
function requireLine(
  t: Test,
  [first, ...others]: readonly RankOutcome[],
  failed: number,
  reason: RegExp,
): void {
  for (const [i, { code, signal, lines }] of [first, ...others].flatMap((end) => end ?? []).entries()) {
    t.same([code, signal], [1, null], `rank ${i} ends with a failure`);
    if (i === failed) t.match(lines, [reason], `rank ${i} says what is wrong`);
    else if (i === 0) t.match(lines, [new RegExp(`^bertune: Rank ${failed} failed: ${reason.source}`)]);
    else t.same(lines, [], `rank ${i} has nothing to add`);
  }
}

await t.test('a row that only one process cannot read', { timeout: 0 }, async (t) => {
  const port = await freePort();
  const own = join(folder, 'own');
  mkdirSync(own);
  for (const name of ['model', 'train.csv', 'test.csv'])
    cpSync(join(folder, name), join(own, name), { recursive: true });
  const output = join(folder, 'unread');
  const options = { ...saving, 'save-total-limit': '1' } satisfies Options;
  const runs = [0, 1, 2].map((rank) =>
    startRank(output, { rank, size: 3, port, folder: rank === 1 ? own : folder }, options),
  );
  await until(() => runs[0]?.stderr().includes('step 20/') ?? false);
  const disturbed = performance.now();
  truncateSync(join(own, 'train.csv'), 1000);
  const ends = await Promise.all(runs.map(({ outcome }) => outcome));
  const seconds = (performance.now() - disturbed) / 1000;
  t.ok(seconds < IN_TIME, `after ${seconds} s`);
  requireLine(t, ends, 1, /train\.csv.* cannot be read again: the file changed while it was in use/);
});

const withLimits = {
  skip: spawnSync('prlimit', ['--version']).status !== 0 && 'prlimit is needed',
  timeout: 0,
};

await t.test('a process that runs out of memory', withLimits, async (t) => {
  const wide = { hidden_size: 64, num_hidden_layers: 6, intermediate_size: 512 };
  mkdirSync(join(folder, 'wide'));
  cpSync(join(folder, 'model'), join(folder, 'wide'), { recursive: true });
  writeFileSync(join(folder, 'wide/config.json'), JSON.stringify({ ...TOY_CONFIG, ...wide }));
  // The texts get long after checkpoint-4, behind which rank 1 has little memory left.
  const row = (i: number): string =>
    `${'good '.repeat(i < 9 * 320 ? 1 : 30)},${i % 2 === 0 ? 'pos' : 'neg'}\n`;
  const rows = Array.from({ length: 12 * 320 }, (_, i) => row(i));
  writeFileSync(join(folder, 'growing.csv'), `text,label\n${rows.join('')}`);
  writeFileSync(
    join(folder, 'limit.mjs'),
    `import { execFileSync } from 'node:child_process';
     import { existsSync, readFileSync } from 'node:fs';
     const timer = setInterval(() => {
       if (!existsSync(process.argv.at(process.argv.indexOf('--output-dir') + 1) + '/checkpoint-4')) return;
       clearInterval(timer);
       const size = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
       execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (size + (24 << 20)) + ':unlimited']);
     }, 1);`,
  );
  const options = {
    ...saving,
    config: 'wide/config.json',
    'train-file': 'growing.csv',
    'max-steps': '12',
    'per-device-train-batch-size': '160',
    'train-sampling-strategy': 'sequential',
    'dataloader-num-workers': '0',
  } satisfies Options;
  const run = async (output: string, more: Options = {}): Promise<RankOutcome[]> => {
    const port = await freePort();
    const runs = [0, 1].map((rank) =>
      startRank(
        output,
        { rank, size: 2, port, folder },
        { ...options, ...more },
        { wrapper: rank === 1 ? ['env', `NODE_OPTIONS=--import ${join(folder, 'limit.mjs')}`] : [] },
      ),
    );
    return Promise.all(runs.map(({ outcome }) => outcome));
  };
  requireLine(t, await run('without-memory'), 1, /Memory ran out; use smaller batches/);
  await t.resolves(verifyChecksums(join(folder, 'without-memory/checkpoint-8'), 'resume'));
});

await t.test('processes that do not belong together', { timeout: 0 }, async (t) => {
  const port = await freePort();
  const other = [0, 1].map((rank) =>
    startRank(
      `apart-${rank}`,
      { rank, size: 2, port, folder },
      { 'learning-rate': rank === 0 ? '3e-4' : '1e-3' },
    ),
  );
  const ends = await Promise.all(other.map(({ outcome }) => outcome));
  t.same(
    ends.map(({ code }) => code),
    [2, 2],
  );
  t.match(ends[0]?.lines, [/^bertune: Rank 1 has another --learning-rate than rank 0: 0.001, not 0.0003/]);
  t.same(ends[1]?.lines, [], 'the other one is silent');
});

await t.test('processes that do not meet', { timeout: 0 }, async (t) => {
  const start = (rank: number, size: number, port: number, host = '127.0.0.1'): Promise<RankOutcome> =>
    startRank(
      `alone-${port}-${rank}-${size}`,
      { rank, size, port, folder },
      {},
      { env: { MASTER_ADDR: host } },
    ).outcome;
  const ports = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
  const [absent = 0, unequal = 0, nothing = 0, wrong = 0, taken = 0] = ports;
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(taken, '127.0.0.1', resolve));
  const cases: [what: string, runs: Promise<RankOutcome>[], line: RegExp][] = [
    [
      'two of three',
      [start(0, 3, absent), start(1, 3, absent)],
      new RegExp(
        `^bertune: Rank 0 did not meet rank 2 of 3 at 127\\.0\\.0\\.1:${absent} within 10 s: check that`,
      ),
    ],
    [
      'another number of processes',
      [start(0, 2, unequal), start(1, 3, unequal)],
      /^bertune: Rank 1 was started as one of 3 processes and rank 0 as one of 2: start all with the same WORLD_SIZE$/,
    ],
    [
      'a store that is not there',
      [start(1, 2, nothing)],
      new RegExp(
        `^bertune: Rank 1 did not meet rank 0, or the store of its launcher, at 127\\.0\\.0\\.1:${nothing} within 10 s \\(connect ECONNREFUSED`,
      ),
    ],
    [
      'an address that is none',
      [start(1, 2, wrong, 'nowhere.invalid')],
      new RegExp(
        `^bertune: Rank 1 did not meet rank 0, or the store of its launcher, at nowhere\\.invalid:${wrong} within 10 s \\(`,
      ),
    ],
    [
      'a port in use',
      [start(0, 2, taken)],
      new RegExp(
        `^bertune: Rank 0 cannot wait for the others at 127\\.0\\.0\\.1:${taken}: the port is in use`,
      ),
    ],
  ];
  for (const [what, runs, line] of cases)
    for (const { code, lines, seconds } of await Promise.all(runs)) {
      t.equal(code, 1, what);
      t.ok(seconds < IN_TIME, `${what}: after ${seconds} s`);
      t.match(lines, [line], what);
      t.equal(lines.length, 1, `${what}: one line`);
    }
  server.close();
  t.notOk(existsSync(join(folder, `alone-${absent}-0-3`, 'checkpoint-1')));
});
