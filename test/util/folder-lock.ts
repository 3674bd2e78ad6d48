// One run at a time in an output folder, whatever becomes of the run before.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { whileLocked } from '../../dist/util/folder-lock.js';
import { isSameProcess, judgeOf, ownProcess, type ProcessId } from '../../dist/util/process-id.js';
import { bertune, flags, startBertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const LOCK = '.bertune.lock';
const times = { beatMs: 20, watchMs: 400 };
const own = await ownProcess();

/** Tries to use a folder whose lock names another holder. */
async function attempt(folder: string, holder: Partial<ProcessId> | string): Promise<string[]> {
  const lines: string[] = [];
  mkdirSync(folder, { recursive: true });
  const content = typeof holder === 'string' ? holder : JSON.stringify({ ...own, ...holder });
  writeFileSync(join(folder, LOCK), content);
  await whileLocked(
    folder,
    (line) => lines.push(line),
    () => Promise.resolve(),
    times,
  );
  return lines;
}

await t.test('a second run learns who has the folder; a killed one does not block', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  const options = {
    config: 'model/config.json',
    tokenizer: 'model',
    'train-file': 'train.csv',
    'max-steps': '3000',
    'save-steps': '50',
    'save-total-limit': '2',
    'output-dir': 'out',
    threads: '1',
  };
  const first = startBertune(['train', ...flags(options)], { cwd: folder });
  while (!first.stderr().includes('checkpoint-50')) await sleep(5);
  for (const resume of [undefined, 'auto']) {
    const second = await bertune(['train', ...flags({ ...options, 'resume-from-checkpoint': resume })], {
      cwd: folder,
    });
    t.equal(second.code, 2);
    t.match(
      second.stderr.split('\n').at(-2),
      /^bertune: out is in use by another run \(process \d+ on .+\): wait until it has ended, or choose another --output-dir$/,
    );
  }
  first.kill('SIGKILL');
  t.equal((await first.outcome).signal, 'SIGKILL');
  t.ok(existsSync(join(folder, 'out', LOCK)), 'its lock is left');
  const short = { ...options, 'max-steps': '20' };
  const third = await bertune(['train', ...flags(short)], { cwd: folder });
  t.equal(third.code, 0, third.stderr);
  t.notOk(existsSync(join(folder, 'out', LOCK)), 'and gone after an undisturbed end');
  t.notMatch(third.stderr, 'watching');
});

await t.test('a run that is refused touches nothing of the one that has the folder', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 8, test: 4 });
  const out = join(folder, 'out');
  // Of a process of another container, whose number says nothing here.
  for (const name of ['checkpoint-2.tmp-99999999-0', 'model.tmp-99999999-0', 'checkpoint-1'])
    mkdirSync(join(out, name), { recursive: true });
  writeFileSync(join(out, 'checkpoint-1/bertune_state.json'), '{}');
  const options = {
    config: 'model/config.json',
    tokenizer: 'model',
    'train-file': 'train.csv',
    'output-dir': 'out',
    threads: '1',
    'resume-from-checkpoint': true,
  } as const;
  await whileLocked(
    out,
    () => undefined,
    async () => {
      const before = readdirSync(out);
      const refused = await bertune(['train', ...flags(options)], { cwd: folder });
      t.match(refused.stderr, /out is in use by another run/);
      t.same(readdirSync(out), before);
    },
  );
});

await t.test('what a lock records of its process', async (t) => {
  const folder = join(t.testdir(), 'out');
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  t.same(await attempt(folder, { pid }), [], 'an ended process');
  t.same(await attempt(folder, { pid: process.ppid, start: '1' }), [], 'a number that is in use again');
  const parent = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  const start = parent.slice(parent.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  await t.rejects(attempt(folder, { pid: process.ppid, start }), {
    name: 'UsageError',
    message: new RegExp(`^${folder} is in use by another run \\(process ${process.ppid} on ${own.host}\\)`),
  });
  t.ok(existsSync(join(folder, LOCK)), "another's lock stays");
  t.equal(
    await judgeOf({ ...own, pid: process.ppid, start: '' }, own),
    'alive',
    'without a start its number counts',
  );
  t.equal(await judgeOf({ ...own, pid, start: '' }, own), 'dead');
  t.ok(isSameProcess(own, await ownProcess()));
});

await t.test(
  'a process that was killed but not buried yet',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const folder = join(t.testdir(), 'out');
    // The shell becomes a process that does not wait for its children.
    const script = 'sleep 100 & echo $!; exec sleep 100';
    const { spawn } = await import('node:child_process');
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = Number(
      await new Promise<string>((done) => parent.stdout.once('data', (data) => done(String(data)))),
    );
    await sleep(100);
    const stat = (): string[] => {
      const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return text.slice(text.lastIndexOf(')') + 2).split(' ');
    };
    const start = stat()[19] ?? '';
    await t.rejects(attempt(folder, { pid, start }), { message: /in use/ });
    process.kill(pid, 'SIGKILL');
    while (stat()[0] !== 'Z') await sleep(5);
    t.same(await attempt(folder, { pid, start }), []);
    parent.kill('SIGKILL');
  },
);

await t.test('a holder on another machine is watched, and left alone while it lives', async (t) => {
  const folder = join(t.testdir(), 'out');
  const elsewhere = { host: 'elsewhere', boot: 'other' };
  const lines = await attempt(folder, elsewhere);
  t.match(lines, [
    /out was in use by another run \(process \d+ on elsewhere\): watching for 1 s whether it still is$/,
  ]);
  for (const content of ['', '{', '{"pid": 1}', '[]', '{"pid": -4, "host": 1}'])
    t.match(
      (await attempt(folder, content)).join(),
      'in use by another run: watching',
      `says nothing: ${content}`,
    );

  // It gives signs of life, by a clock that runs backwards.
  let seconds = 2e9;
  mkdirSync(folder, { recursive: true });
  const beat = setInterval(() => {
    seconds -= 1000;
    if (existsSync(join(folder, LOCK))) utimesSync(join(folder, LOCK), seconds, seconds);
  }, 50);
  await t.rejects(attempt(folder, elsewhere), { name: 'UsageError', message: /in use by .* on elsewhere\)/ });
  clearInterval(beat);

  // It ends while it is watched.
  setTimeout(() => rmSync(join(folder, LOCK)), 100);
  t.match((await attempt(folder, elsewhere)).length, 1);
});

await t.test('while it is held', async (t) => {
  const folder = join(t.testdir(), 'a/b/out');
  const path = join(folder, LOCK);
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const modified = async (): Promise<string> => {
    const { mtimeMs } = await import('node:fs/promises').then(({ stat }) => stat(path));
    return String(mtimeMs);
  };
  await whileLocked(
    folder,
    say,
    async (lock) => {
      await lock.confirm();
      const before = await modified();
      await sleep(200);
      t.not(await modified(), before, 'it gives signs of life');
      await whileLocked(folder, say, (inner) => inner.confirm(), times);
      t.ok(existsSync(path), 'a lock within a lock leaves it');
      rmSync(join(t.testdirName, 'a'), { recursive: true });
      await lock.confirm();
      t.match(lines, [/out was deleted, or its \.bertune\.lock was, .*: making it again$/]);
      t.same(readdirSync(folder), [LOCK]);
      const other = JSON.stringify({ ...own, host: 'elsewhere' });
      writeFileSync(path, other);
      await t.rejects(lock.confirm(), {
        name: 'RunError',
        message:
          /out has been taken over by another run \(process \d+ on elsewhere\) .*; it writes nothing more$/,
      });
    },
    times,
  );
  t.same(readdirSync(folder), [LOCK], "another's lock stays");
  rmSync(join(t.testdirName, 'a'), { recursive: true });
  await t.rejects(
    whileLocked(folder, say, () => Promise.reject(new Error('in the work')), times),
    { message: 'in the work' },
  );
  t.notOk(existsSync(join(t.testdirName, 'a')), 'an empty folder that it made is gone again');
});

await t.test('where no lock can be written', async (t) => {
  const folder = t.testdir({ file: '' });
  await t.rejects(
    whileLocked(
      join(folder, 'file'),
      () => undefined,
      () => Promise.resolve(),
    ),
    { name: 'RunError', message: /^Could not write .*file\/\.bertune\.lock: .*; choose another path/ },
  );
});

await t.test('a link to nothing at the name of the lock is refused, not waited for', async (t) => {
  const folder = t.testdir();
  const path = join(folder, LOCK);
  symlinkSync('nowhere', path);
  const work = (): Promise<never> => Promise.reject(new Error('it was taken for a lock of ours'));
  await t.rejects(
    whileLocked(folder, () => undefined, work, times),
    { name: 'RunError', message: `${path} is a symbolic link that leads nowhere; remove it` },
  );
  t.ok(lstatSync(path).isSymbolicLink(), 'it is left for its owner to remove');
});

await t.test("a lock that cannot be opened is another run's and stays", async (t) => {
  const folder = t.testdir();
  const path = join(folder, LOCK);
  writeFileSync(path, JSON.stringify({ ...own, host: 'elsewhere' }));
  // Out of file descriptors: the lock can be neither made nor read.
  const script = `
    const { whileLocked } = await import(${JSON.stringify(new URL('../../dist/util/folder-lock.js', import.meta.url).href)});
    const { closeSync, openSync } = await import('node:fs');
    const all = [];
    try { for (;;) all.push(openSync('/dev/null')); } catch {}
    const message = await whileLocked('.', () => {}, async () => {}).then(() => 'taken', (error) => error.message);
    all.forEach((file) => closeSync(file));
    process.stdout.write(message);`;
  const node = [process.execPath, '--input-type=module', '-e', script];
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -n 512; exec "$@"', 'sh', ...node], {
    cwd: folder,
    encoding: 'utf8',
  });
  t.match(stdout, /^Could not write .*\.bertune\.lock: .*EMFILE/);
  t.ok(existsSync(path));
});
