// Set-up beside LibTorch: stamps and fingerprints, one set-up at a time, the command, and how npm and tap are used.
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { withLock } from '../../scripts/setup/ensure.mjs';
import { projectRoot } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { fingerprint, readStamp, writeStamp } from '../../scripts/setup/stamp.mjs';
import { tapReader } from '../../scripts/test/tap.mjs';

// What set-up prints is tested where a process of its own prints it.
t.capture(process.stderr, 'write');

t.test('stamps and fingerprints', async (t) => {
  const folder = t.testdir({ native: { 'a.cc': 'a', 'b.cc': 'b' }, 'CMakeLists.txt': 'c' });
  const paths = ['native', 'CMakeLists.txt', 'missing'];
  const before = await fingerprint(folder, paths);
  t.equal(await fingerprint(folder, paths), before);
  const changes: [string, string | null][] = [
    ['native/a.cc', 'A'],
    ['native/c.h', ''],
    ['CMakeLists.txt', 'C'],
    ['native/b.cc', null],
  ];
  const seen = new Set([before]);
  for (const [name, text] of changes) {
    await (text === null ? rm(join(folder, name)) : writeFile(join(folder, name), text));
    seen.add(await fingerprint(folder, paths));
  }
  t.equal(seen.size, 5, 'a changed, new or removed file changes the fingerprint');

  const stamp = join(folder, 'sub', 'stamp.json');
  t.equal(await readStamp(stamp), null);
  await writeStamp(stamp, { a: '1' });
  t.strictSame(await readStamp(stamp), { a: '1' });
  await writeFile(stamp, '{"a": ');
  t.equal(await readStamp(stamp), null, 'a cut stamp counts as none');
});

t.test('lock', async (t) => {
  const path = join(t.testdir(), 'sub', 'lock');
  const order: string[] = [];
  const slow = withLock(path, async () => {
    order.push('first begins');
    await sleep(50);
    order.push('first ends');
  });
  await sleep(10);
  await withLock(path, async () => order.push('second'), { pollMs: 5 });
  await slow;
  t.strictSame(order, ['first begins', 'first ends', 'second']);

  await mkdir(path, { recursive: true });
  const dead = await new Promise<number>((resolve) => {
    const child = execFile(process.execPath, ['--eval', ''], () => resolve(child.pid ?? 0));
  });
  await writeFile(join(path, 'pid'), String(dead));
  t.equal(await withLock(path, async () => 'taken over', { pollMs: 5 }), 'taken over');
  await t.rejects(
    withLock(path, async () => Promise.reject(new Error('work failed'))),
    /work failed/,
  );
  t.notOk(existsSync(path), 'freed after a failure');
});

t.test('npm run setup', async (t) => {
  const setup = (...args: string[]) =>
    capture(process.execPath, [join(projectRoot, 'scripts', 'setup.mjs'), ...args]);
  const help = await setup('--help');
  t.match(help, { code: 0, stdout: /--variant cpu\|cu130/ });
  t.match(await setup('--variant', 'gpu'), {
    code: 2,
    stderr: /Expected cpu or cu130 for --variant but received "gpu"/,
  });
  const unknown = await setup('--varient', 'cpu');
  t.match(unknown, { code: 2, stderr: /Unknown option '--varient'[^]*--variant cpu\|cu130/ });
  t.notMatch(unknown.stderr, /at .*\.mjs:\d+/);
});

t.test('npm test counts assertions, not tests', async (t) => {
  const output = `TAP version 14
1..3
# Subtest: test/a.ts
    # Subtest: works
        ok 1 - one
          ---
          note: |
            not ok 7 - a line of a diagnosis
          ...
        ok 2 - later # SKIP
        1..2
    ok 1 - works # time=1ms

    # Subtest: fails
        ok 1 - one
        not ok 2 - two
          ---
          diff: "x"
          ...
        not ok 3 - planned # TODO
        1..3
    not ok 2 - fails # time=1ms

    # Subtest: empty
        1..0
    ok 3 - empty # time=1ms

    1..3
not ok 1 - test/a.ts # time=1500ms

# Subtest: test/crash.ts
    ok 1 - before the crash
    # test count(1) != plan(null)
not ok 2 - test/crash.ts # time=20ms
  ---
  signal: SIGSEGV
  ...

# Subtest: test/nothing.ts
    1..0 # no tests found
not ok 3 - test/nothing.ts # time=20ms

`;
  const files: unknown[] = [];
  const { parser, total } = tapReader(({ name, counts, failures }) =>
    files.push([name, counts, failures.map((f) => f.path)]),
  );
  parser.end(output);
  t.strictSame(files, [
    ['test/a.ts', { passed: 2, failed: 1, skipped: 2 }, ['fails > two']],
    ['test/crash.ts', { passed: 1, failed: 1, skipped: 0 }, ['test/crash.ts']],
    ['test/nothing.ts', { passed: 0, failed: 1, skipped: 0 }, ['test/nothing.ts']],
  ]);
  t.strictSame(total, { passed: 3, failed: 3, skipped: 2 });
});

t.test('npm does not build bindings.gyp by itself', async (t) => {
  // Without this line npm publish adds "install": "node-gyp rebuild" to the manifest for any *.gyp in the package.
  const manifest = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'));
  t.equal(manifest.gypfile, false);
  t.equal(manifest.scripts.install, undefined);
});

t.test('without npm ci the message names it', async (t) => {
  const folder = t.testdir({ 'tsconfig.json': '{}', 'package.json': '{"type":"module"}', src: {} });
  await cp(join(projectRoot, 'scripts/setup'), join(folder, 'scripts/setup'), { recursive: true });
  const { ensureDist }: typeof import('../../scripts/setup/dist.mjs') = await import(
    pathToFileURL(join(folder, 'scripts/setup/dist.mjs')).href
  );
  await t.rejects(ensureDist(), { message: /run npm ci first$/ });
});

t.test('TypeScript compiles under the loaders of a test runner too, which reach each process', async (t) => {
  const folder = t.testdir({
    'tsconfig.json': JSON.stringify({
      compilerOptions: { rootDir: 'src', outDir: 'dist', module: 'nodenext', types: [] },
      include: ['src'],
    }),
    'package.json': '{"type":"module"}',
    src: { 'cli.ts': 'export const one: number = 1;\n' },
    node_modules: t.fixture('symlink', join(projectRoot, 'node_modules')),
  });
  await cp(join(projectRoot, 'scripts/setup'), join(folder, 'scripts/setup'), { recursive: true });
  const { ensureDist }: typeof import('../../scripts/setup/dist.mjs') = await import(
    pathToFileURL(join(folder, 'scripts/setup/dist.mjs')).href
  );
  await ensureDist();
  t.match(await readFile(join(folder, 'dist/cli.js'), 'utf8'), 'export const one = 1;');
});
