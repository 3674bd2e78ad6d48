// What goes wrong around a training: full and read-only disks, folders and data that change under it, memory, threads and
// clocks. Each time the person reads one line, and a run resumed from the last checkpoint has the bits of an undisturbed run.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';

import { bertune, flags, startBertune } from '../fixtures/cli.js';
import { fillDisk, requireFault, requireResumes, trainWith } from '../fixtures/faulty-run.js';
import { largestDifference, toyRun } from '../fixtures/run.js';
import { mountTmpfs, noTmpfs, type Tmpfs } from '../fixtures/tmpfs.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const withDisk = { skip: noTmpfs() };

/** Works on a disk of its own. */
async function onDisk(t: Test, work: (disk: Tmpfs) => Promise<void>): Promise<void> {
  const disk = mountTmpfs(join(t.testdir(), 'disk'));
  try {
    await work(disk);
  } finally {
    disk.unmount();
  }
}

await t.test('a disk that is full at any write of a checkpoint', withDisk, async (t) =>
  onDisk(t, async (disk) => {
    const reference = await trainWith(disk.folder, null);
    for (const name of ['checkpoint-4', 'checkpoint-6'])
      rmSync(join(disk.folder, 'out', name), { recursive: true });
    t.ok((await fillDisk(t, disk, 'pages', 6)) > 5);
    t.ok((await fillDisk(t, disk, 'files', 2)) > 4);
    await requireResumes(t, disk.folder, reference, 2);
  }),
);

await t.test('a disk that becomes read-only', withDisk, async (t) =>
  onDisk(t, async (disk) => {
    const reference = await trainWith(disk.folder, null);
    rmSync(join(disk.folder, 'out'), { recursive: true });
    const stopped = await trainWith(disk.folder, { afterStep: 3, happens: () => disk.makeReadOnly() });
    requireFault(
      t,
      stopped,
      /^Could not write .*checkpoint-4.*: the file system is read-only; choose another/,
    );
    disk.restore();
    await requireResumes(t, disk.folder, reference, 2);
  }),
);

await t.test('an output folder that is deleted in the middle is created again', async (t) => {
  const folder = t.testdir();
  const out = join(folder, 'out');
  const reference = await trainWith(folder, null);
  rmSync(out, { recursive: true });
  const settings = {
    reportTo: ['jsonl', 'csv', 'tensorboard'] as ['jsonl', 'csv', 'tensorboard'],
    evalStrategy: 'steps',
    evalSteps: 2,
    learningRate: 1e-9, // so low that no evaluation is better than the first
    metricForBestModel: 'accuracy',
    loadBestModelAtEnd: true,
  } as const;
  const deleting = { afterStep: 3, happens: () => rmSync(out, { recursive: true }) };
  const other = await trainWith(folder, deleting, settings);
  t.equal(other.error, null);
  const said = other.lines.filter((line) => / was deleted, |is gone:/.test(line));
  t.match(said[0], /out was deleted, or its \.bertune\.lock was, while this run used it: making it again$/);
  t.match(said[1], /^The best model, .*checkpoint-2, is gone: keeping the weights of the last step$/);
  t.equal(said.length, 2, 'each said once');
  const logged = readFileSync(join(out, 'log_history.jsonl'), 'utf8').trim().split('\n');
  t.equal(logged.length, other.log.length, 'the log is whole');
  rmSync(out, { recursive: true });

  await trainWith(folder, { afterStep: 3, happens: () => rmSync(out, { recursive: true }) });
  for (const [name, step] of [
    ['checkpoint-6', 4],
    ['checkpoint-4', 0],
  ] as const) {
    rmSync(join(out, name), { recursive: true });
    const resumed = await trainWith(folder, null, { resumeFromCheckpoint: 'auto' });
    t.match(resumed.lines.join('\n'), step === 0 ? 'starting at the beginning' : `at step ${step} of 6`);
    t.equal(largestDifference(reference.weights, resumed.weights), 0, 'the same bits');
    rmSync(join(out, 'checkpoint-6'), { recursive: true });
  }
});

const command = {
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'max-steps': '6',
  'save-steps': '2',
  'output-dir': 'out',
  threads: '1',
};

const weightsIn = (folder: string, name: string): Buffer =>
  readFileSync(join(folder, name, 'model.safetensors'));

/** Code that a command runs beside its work, as soon as there is its first checkpoint. */
function afterCheckpoint(folder: string, first: string, code: string): string[] {
  const hook = join(folder, 'hook.mjs');
  writeFileSync(
    hook,
    `import { execFileSync } from 'node:child_process';
     import { chmodSync, existsSync, readFileSync } from 'node:fs';
     const timer = setInterval(() => {
       if (!existsSync(${JSON.stringify(join('out', first))})) return;
       clearInterval(timer);
       ${code}
     }, 1);`,
  );
  return ['env', `NODE_OPTIONS=--import ${hook}`];
}

// Root may write anywhere: it becomes nobody, for whom modes count.
const nobody =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];

/** Why nobody cannot run here; false where it can. */
function withoutNobody(): string | false {
  const parent = join(import.meta.dirname, '../../.tap');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'nobody-'));
  chmodSync(folder, 0o777);
  const [program, ...rest] = [...nobody, process.execPath];
  const attempt = `require('fs').accessSync(${JSON.stringify(folder)}, 2)`;
  const { status } = spawnSync(program ?? '', [...rest, '-e', attempt]);
  rmdirSync(folder);
  return status === 0 ? false : 'root cannot become nobody here, or nobody cannot reach this folder';
}

const withNobody = { skip: withoutNobody() };

await t.test('an output folder that loses its permissions', withNobody, async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  chmodSync(folder, 0o777);
  const slow = { ...command, 'max-steps': '12' };
  const around = {
    cwd: folder,
    wrapper: [...nobody, ...afterCheckpoint(folder, 'checkpoint-2', "chmodSync('out', 0o555);")],
  };
  const stopped = await bertune(['train', ...flags(slow)], around);
  t.equal(stopped.code, 1);
  t.match(
    stopped.stderr.split('\n').at(-2),
    /^bertune: Could not write .*: no permission; choose a folder that you may write to\. The last checkpoint is whole: continue with --resume-from-checkpoint out\/checkpoint-\d+$/,
  );
  chmodSync(join(folder, 'out'), 0o755);
  const resumed = await bertune(['train', ...flags({ ...slow, 'resume-from-checkpoint': 'auto' })], {
    cwd: folder,
    wrapper: nobody,
  });
  t.equal(resumed.code, 0, resumed.stderr);
  const whole = await bertune(['train', ...flags({ ...slow, 'output-dir': 'whole' })], {
    cwd: folder,
    wrapper: nobody,
  });
  t.equal(whole.code, 0, whole.stderr);
  t.ok(weightsIn(folder, 'out').equals(weightsIn(folder, 'whole')), 'the same bits');
});

await t.test('data that change during the run stop it before a checkpoint is made of them', async (t) => {
  const folder = t.testdir();
  const sizes = { train: 400, test: 20 };
  const parts = { sizes };
  const reference = await trainWith(folder, null, {}, parts);
  const path = join(folder, 'train.csv');
  const content = readFileSync(path, 'utf8');
  const faults: [what: string, happens: () => void][] = [
    // In place, with the same number of bytes: only the words differ.
    ['another text', () => writeFileSync(path, content.replaceAll('film', 'plot'))],
    ['other rows', () => writeFileSync(path, content.replace(/\n.*?\n/, '\n'))],
    ['truncated', () => truncateSync(path, 100)],
    ['empty', () => truncateSync(path, 0)],
  ];
  for (const [what, happens] of faults) {
    rmSync(join(folder, 'out'), { recursive: true });
    const stopped = await trainWith(folder, { afterStep: 3, happens }, { maxSteps: 50 }, parts);
    requireFault(
      t,
      stopped,
      /train\.csv line \d+ cannot be read again: the file changed while it was in use; give it back its content, or start a new run$/,
    );
    t.ok(existsSync(join(folder, 'out/checkpoint-2')), what);
    writeFileSync(path, content);
  }
  // Another file under the same name is no fault: the run has the old one open.
  const replaced = await trainWith(
    folder,
    {
      afterStep: 3,
      happens: () => {
        rmSync(path);
        writeFileSync(path, 'text,label\nother,pos\n');
      },
    },
    {},
    parts,
  );
  t.equal(replaced.error, null);
  t.equal(largestDifference(reference.weights, replaced.weights), 0);
});

await t.test(
  'data that change between their reading and the first step are not taken for what was read',
  async (t) => {
    const path = join(t.testdir(), 'train.csv');
    const other = (): string => readFileSync(path, 'utf8').replaceAll('film', 'plot');
    const faults: [what: string, happens: () => void][] = [
      ['written to', () => writeFileSync(path, other())],
      [
        'replaced by a file of the same size and time',
        () => {
          const { atime, mtime } = statSync(path);
          writeFileSync(`${path}.new`, other());
          utimesSync(`${path}.new`, atime, mtime);
          renameSync(`${path}.new`, path);
        },
      ],
    ];
    for (const [what, happens] of faults) {
      const run = await toyRun(t.testdirName, { maxSteps: 1 });
      happens();
      await t.rejects(
        run.trainer.train(),
        {
          name: 'RunError',
          message:
            /train\.csv cannot be read again: the file changed while it was in use; .* or start a new run$/,
        },
        what,
      );
      await run.close();
    }
  },
);

await t.test('a tokenizer thread that ends', async (t) => {
  const folder = t.testdir();
  const threaded = { dataloaderNumWorkers: 1 };
  const reference = await trainWith(folder, null, threaded);
  rmSync(join(folder, 'out'), { recursive: true });
  const workers: Worker[] = [];
  const note = (worker: Worker): void => void workers.push(worker);
  process.on('worker', note);
  const stopped = await trainWith(
    folder,
    { afterStep: 3, happens: async () => void (await workers.at(-1)?.terminate()) },
    { ...threaded, maxSteps: 50 },
  );
  process.off('worker', note);
  requireFault(
    t,
    stopped,
    /^A tokenizer thread ended \(exit code 1\); start again, or tokenize without threads: dataloaderNumWorkers 0$/,
  );
  rmSync(join(folder, 'out'), { recursive: true });
  const cut = await trainWith(
    folder,
    {
      afterStep: 3,
      happens: () => {
        throw new Error('stop');
      },
    },
    threaded,
  );
  t.match(cut.error, { message: 'stop' });
  await requireResumes(t, folder, reference, 2, { dataloaderNumWorkers: 0 });
});

const withLimits = { skip: spawnSync('prlimit', ['--version']).status !== 0 && 'prlimit is needed' };

await t.test('memory that runs out in a native step', withLimits, async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  const wide = { hidden_size: 64, num_hidden_layers: 6, intermediate_size: 512 };
  writeFileSync(join(folder, 'model/config.json'), JSON.stringify({ ...TOY_CONFIG, ...wide }));
  // Twelve steps of 160 rows; the tenth is the first with long texts.
  const row = (i: number): string =>
    `${'good '.repeat(i < 9 * 160 ? 1 : 30)},${i % 2 === 0 ? 'pos' : 'neg'}\n`;
  writeFileSync(
    join(folder, 'train.csv'),
    `text,label\n${Array.from({ length: 12 * 160 }, (_, i) => row(i)).join('')}`,
  );
  const options = {
    ...command,
    'max-steps': '12',
    'save-steps': '4',
    'per-device-train-batch-size': '160',
    'train-sampling-strategy': 'sequential',
    'dataloader-num-workers': '0',
  };
  const wrapper = afterCheckpoint(
    folder,
    'checkpoint-4',
    `const size = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
     execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (size + (24 << 20)) + ':unlimited']);`,
  );
  const stopped = await bertune(['train', ...flags(options)], { cwd: folder, wrapper });
  t.equal(stopped.code, 1, stopped.stderr);
  t.match(
    stopped.stderr.split('\n').at(-2),
    /^bertune: Memory ran out; use smaller batches, .*--auto-find-batch-size.*\. The last checkpoint is whole: continue with --resume-from-checkpoint out\/checkpoint-8$/,
  );
  for (const more of [{ 'resume-from-checkpoint': 'auto' }, { 'output-dir': 'whole' }]) {
    const ended = await bertune(['train', ...flags({ ...options, ...more })], { cwd: folder });
    t.equal(ended.code, 0, ended.stderr);
  }
  t.ok(weightsIn(folder, 'out').equals(weightsIn(folder, 'whole')), 'the same bits');
});

await t.test('clocks that jump, and a process that is stopped and continued', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  const long = {
    ...command,
    'max-steps': '100',
    'save-steps': '20',
    'save-total-limit': '2',
    'report-to': 'tensorboard',
  };
  const whole = await bertune(['train', ...flags({ ...long, 'output-dir': 'whole' })], { cwd: folder });
  t.equal(whole.code, 0, whole.stderr);
  writeFileSync(
    join(folder, 'clock.mjs'),
    `const now = Date.now;
     let calls = 0;
     const jump = () => ((calls++ * 7919) % 3 - 1) * 86400e3 * 400; // 400 days back, none, or ahead
     Date.now = () => now() + jump();
     globalThis.Date = class extends Date { constructor(...args) { super(...(args.length > 0 ? args : [Date.now()])); } };`,
  );
  const jumping = await bertune(['train', ...flags({ ...long, 'output-dir': 'jumping' })], {
    cwd: folder,
    wrapper: ['env', `NODE_OPTIONS=--import ${join(folder, 'clock.mjs')}`],
  });
  t.equal(jumping.code, 0, jumping.stderr);
  const seconds = (JSON.parse(jumping.stdout) as { train_runtime: number }).train_runtime;
  t.ok(seconds > 0 && seconds < 120, `${seconds} s`);
  t.ok(weightsIn(folder, 'jumping').equals(weightsIn(folder, 'whole')), 'the same bits');

  const paused = startBertune(['train', ...flags({ ...long, 'output-dir': 'paused' })], { cwd: folder });
  for (const text of ['Training on', 'checkpoint-20', 'checkpoint-40', 'checkpoint-80']) {
    while (!paused.stderr().includes(text)) await sleep(1);
    paused.kill('SIGSTOP');
    await sleep(150);
    paused.kill('SIGCONT');
  }
  t.match(await paused.outcome, { code: 0, signal: null });
  t.ok(weightsIn(folder, 'paused').equals(weightsIn(folder, 'whole')), 'the same bits');
});
