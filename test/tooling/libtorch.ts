// Where LibTorch comes from, interrupted downloads, and the message when every source fails. No real one is needed: archives,
// wheels, Pythons and pips are fakes.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';
import { fromArchive } from '../../scripts/libtorch/archive.mjs';
import { addCudaLibraries, missingLibraries } from '../../scripts/libtorch/cuda.mjs';
import { download } from '../../scripts/libtorch/download.mjs';
import { inspect } from '../../scripts/libtorch/install.mjs';
import { resolveLibTorch } from '../../scripts/libtorch/resolve.mjs';
import { ARCHIVES, isSupported, parseVariant, variantFor } from '../../scripts/libtorch/versions.mjs';
import { fromWheel } from '../../scripts/libtorch/wheel.mjs';
import type { SetupError } from '../../scripts/setup/errors.mjs';
import { serveFile, type Faults } from '../fixtures/file-server.js';
import { zip } from '../fixtures/zip.js';

// What set-up prints is tested where a process of its own prints it.
t.capture(process.stderr, 'write');

const patience = { waitMs: 1, stallMs: 300 };
const linux = { platform: 'linux', arch: 'x64' };

function digest(data: Buffer) {
  return createHash('sha256').update(data).digest('hex');
}

/** The files that make a folder a LibTorch, by path below it. */
function libtorchFiles(version: string, cuda = false): Record<string, string> {
  const [major, minor, patch] = version.split('.');
  const lines = { MAJOR: major, MINOR: minor, PATCH: patch };
  return {
    'lib/libtorch_cpu.so': 'library',
    'lib/libc10.so': 'library',
    ...(cuda && { 'lib/libtorch_cuda.so': 'library' }),
    'include/torch/headeronly/version.h': Object.entries(lines)
      .map(([name, value]) => `#define TORCH_VERSION_${name} ${value}\n`)
      .join(''),
  };
}

async function makeLibTorch(folder: string, version = '2.13.0', cuda = false) {
  for (const [name, text] of Object.entries(libtorchFiles(version, cuda))) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** A program on a PATH of its own, written in JavaScript: `args` is what it was called with. */
async function makeProgram(bin: string, name: string, body: string) {
  await mkdir(bin, { recursive: true });
  await writeFile(
    join(bin, name),
    `#!${process.execPath}\nconst args = process.argv.slice(2), fs = require('fs');\n${body}`,
  );
  await chmod(join(bin, name), 0o755);
}

const archiveOf = (files: Record<string, string>, damaged: string[] = []) =>
  zip(Object.fromEntries(Object.entries(files).map(([name, text]) => [`libtorch/${name}`, text])), damaged);

t.test('download', async (t) => {
  const body = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));

  /** Downloads twice at most, each time from the same server, and returns how each call ended. */
  async function attempt(
    t: Test,
    faults: Faults,
    wanted: { size?: number; sha256?: string } = {},
    calls = 1,
  ) {
    const file = join(t.testdir(), 'sub', 'a.zip');
    const sizeOfPart = () =>
      stat(`${file}.part`).then(
        ({ size }) => size,
        () => 0,
      );
    async function arrived(bytes: number) {
      for (let tries = 0; tries < 1000 && (await sizeOfPart()) < bytes; tries++) await sleep(5);
    }
    const server = await serveFile(body, { ...faults, arrived });
    t.teardown(() => server.close());
    const outcomes: string[] = [];
    for (let call = 0; call < calls; call++) {
      const all = { url: `${server.url}/a.zip`, file, size: body.length, sha256: digest(body), ...wanted };
      outcomes.push(
        await download(all, patience).then(
          () => 'done',
          (error: Error) => error.message,
        ),
      );
    }
    return { outcomes, file, ranges: server.ranges };
  }

  t.test('whole', async (t) => {
    const { outcomes, file, ranges } = await attempt(t, {});
    t.strictSame(outcomes, ['done']);
    t.ok(body.equals(await readFile(file)));
    t.strictSame(ranges, ['']);
    t.notOk(existsSync(`${file}.part`));
  });
  t.test('interrupted twice, resumed where it stopped', async (t) => {
    const { outcomes, file, ranges } = await attempt(t, { cutAfter: [30_000, 20_000] });
    t.strictSame(outcomes, ['done']);
    t.ok(body.equals(await readFile(file)));
    t.strictSame(ranges, ['', 'bytes=30000-', 'bytes=50000-']);
  });
  t.test('truncated every time: fails, leaves the partial file, and the next call resumes', async (t) => {
    const { outcomes, file, ranges } = await attempt(t, { cutAfter: [60_000, 0, 0, 0, 0] }, {}, 2);
    t.match(outcomes[0], /after 0\.1 MB of 0\.1 MB; the next try resumes there/);
    t.equal(outcomes[1], 'done');
    t.equal(ranges.at(-1), 'bytes=60000-');
    t.ok(body.equals(await readFile(file)));
  });
  t.test('a server without ranges: starts over', async (t) => {
    const { outcomes, file } = await attempt(t, { cutAfter: [30_000], ignoreRange: true });
    t.strictSame(outcomes, ['done']);
    t.ok(body.equals(await readFile(file)));
  });
  t.test('HTTP 503 is retried', async (t) => {
    const { outcomes } = await attempt(t, { cutAfter: [30_000], status: [undefined, 503] });
    t.strictSame(outcomes, ['done']);
  });
  t.test('wrong checksum: removed, and the next call starts over', async (t) => {
    const { outcomes, file, ranges } = await attempt(t, {}, { sha256: 'ab'.repeat(32) }, 2);
    t.match(outcomes[0], /has SHA-256 [0-9a-f]{12}\.\.\. instead of abababababab/);
    t.strictSame(ranges, ['', '']);
    t.notOk(existsSync(file) || existsSync(`${file}.part`));
  });
  t.test('another size than published: refused before the bytes come', async (t) => {
    const { outcomes } = await attempt(t, {}, { size: body.length + 1 });
    t.match(outcomes[0], /100000 bytes instead of the 100001/);
  });
  t.test('a body without end: refused at the published size, and nothing stays', async (t) => {
    const { outcomes, file } = await attempt(t, { endless: true });
    t.match(outcomes[0], /sent more than the 100000 bytes published; it was removed$/);
    t.notOk(existsSync(file) || existsSync(`${file}.part`));
  });
  t.test('404', async (t) => {
    const { outcomes, ranges } = await attempt(t, { status: [404] });
    t.match(outcomes[0], /^HTTP 404 for http/);
    t.equal(ranges.length, 1, 'is not tried again');
  });
  t.test('a host that sends nothing', async (t) => {
    const { outcomes } = await attempt(t, { stall: true });
    t.match(outcomes[0], /no data for 0\.3 s/);
  });
  t.test('a host that sends single bytes', async (t) => {
    const { outcomes, ranges } = await attempt(t, { trickleMs: 20 });
    t.match(
      outcomes[0],
      /^http\S+: (only \d+ bytes in|no data for) 0\.3 s after 0\.0 MB of 0\.1 MB; the next try resumes there$/,
    );
    t.equal(ranges.length, 5, 'what trickles in is no progress');
  });
  t.test('a host that cannot be reached is reported at once', async (t) => {
    const server = await serveFile(body);
    await server.close();
    const wanted = { url: server.url, file: join(t.testdir(), 'a.zip'), size: 1, sha256: '' };
    await t.rejects(download(wanted, patience), /ECONNREFUSED/);
  });
});

t.test('archive', async (t) => {
  async function install(t: Test, archive: Buffer, directory = t.testdir()) {
    const server = await serveFile(archive);
    t.teardown(() => server.close());
    const description = { path: 'cpu/tiny%2Bcpu.zip', size: archive.length, sha256: digest(archive) };
    const context = {
      env: { BERTUNE_LIBTORCH_URL: `${server.url}/` },
      variant: 'cpu' as const,
      directory,
      archives: { cpu: description, cu130: description },
      patience,
      platform: linux,
    };
    return { directory, result: fromArchive(context) };
  }

  t.test('is unpacked under its version; what no build needs is left out', async (t) => {
    const extra = { 'lib/libprotobuf.a': 'static', 'bin/protoc': 'program' };
    const { directory, result } = await install(t, archiveOf({ ...libtorchFiles('2.13.0'), ...extra }));
    const { root, version, cuda } = await result;
    t.match({ version, cuda }, { version: '2.13.0', cuda: false });
    t.match(root, /\/2\.13\.0-cpu\/libtorch$/);
    t.strictSame(
      (await readdir(root, { recursive: true })).filter((name) => name.startsWith('lib')).toSorted(),
      ['lib', 'lib/libc10.so', 'lib/libtorch_cpu.so'],
    );
    t.strictSame(await readdir(directory), ['2.13.0-cpu'], 'the archive and the staging folder are gone');
    t.equal((await stat(dirname(root))).mode & 0o755, 0o755, 'another user can read it');
  });
  const broken: [string, Buffer, RegExp][] = [
    [
      'a damaged entry',
      archiveOf(libtorchFiles('2.13.0'), ['libtorch/lib/libc10.so']),
      /libc10\.so .*CRC-32/,
    ],
    ['no zip at all', Buffer.from('<html>Not here</html>'.repeat(10)), /cannot be unpacked/],
    [
      'names that lead out of the folder',
      zip({ '../../evil': 'x' }),
      /cannot be unpacked: .*(relative|invalid)/i,
    ],
    ['no LibTorch inside', zip({ 'libtorch/include/a.h': 'x' }), /holds no lib\/libtorch_cpu\.so/],
    [
      'another version',
      archiveOf(libtorchFiles('1.13.0')),
      /is version 1\.13\.0, and bertune supports 2\.11 to 2\.14/,
    ],
  ];
  for (const [name, archive, message] of broken) {
    t.test(name, async (t) => {
      const directory = t.testdir();
      await makeLibTorch(join(directory, '2.12.0-cpu', 'libtorch'), '2.12.0');
      const { result } = await install(t, archive, directory);
      await t.rejects(result, message);
      t.strictSame(
        await readdir(directory),
        ['2.12.0-cpu'],
        'nothing half-made stays, an earlier install does',
      );
    });
  }
  t.test('is published for Linux on x64 only', async (t) => {
    const context = {
      env: {},
      variant: 'cpu' as const,
      directory: t.testdir(),
      platform: { platform: 'linux', arch: 'arm64' },
    };
    await t.rejects(fromArchive(context), /no archive for linux on arm64/);
  });
  t.test('what is published is described completely', async (t) => {
    for (const [variant, { path, size, sha256 }] of Object.entries(ARCHIVES)) {
      t.match(path, `${variant}/libtorch-shared-with-deps-2.13.0%2B${variant}.zip`);
      t.ok(size > 1e8 && /^[0-9a-f]{64}$/.test(sha256));
    }
  });
});

t.test('pip', async (t) => {
  /** A python3 whose pip has wheels for some requirements and Python versions, and records how it is called. */
  async function withPip(
    t: Test,
    wheels: string,
    failure = 'ERROR: No matching distribution found for torch',
  ) {
    const folder = t.testdir();
    const files = JSON.stringify(libtorchFiles('2.13.0'));
    await makeProgram(
      join(folder, 'bin'),
      'python3',
      `if (args[0] === '-c') { console.log(''); process.exit(0); }
       if (args[2] === '--version') process.exit(0);
       const value = (name) => args[args.indexOf(name) + 1];
       const asked = args.at(-1) + ' ' + (args.includes('--python-version') ? value('--python-version') : 'local');
       fs.appendFileSync(${JSON.stringify(join(folder, 'calls'))}, asked + '\\n');
       if (!${wheels}.test(asked)) { console.error(${JSON.stringify(failure)}); process.exit(1); }
       for (const [name, text] of Object.entries(${files})) {
         const file = value('--target') + '/torch/' + name;
         fs.mkdirSync(require('path').dirname(file), { recursive: true });
         fs.writeFileSync(file, text);
       }`,
    );
    const context = {
      env: { PATH: join(folder, 'bin') },
      variant: 'cpu' as const,
      directory: join(folder, 'libtorch'),
    };
    const calls = async () => (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n');
    return { context, calls };
  }

  t.test('a wheel for the local Python', async (t) => {
    const { context, calls } = await withPip(t, '/cpu local/');
    const { root, version } = await fromWheel(context);
    t.equal(version, '2.13.0');
    t.match(root, /2\.13\.0-cpu\/libtorch$/);
    t.strictSame(await readdir(context.directory), ['2.13.0-cpu']);
    t.strictSame(await calls(), ['torch===2.13.0+cpu local']);
  });
  t.test('else one for another Python, and else the build without a label', async (t) => {
    const { context, calls } = await withPip(t, '/0 3.12/');
    t.equal((await fromWheel(context)).version, '2.13.0');
    t.strictSame((await calls()).slice(-3), [
      'torch===2.13.0 local',
      'torch===2.13.0 3.11',
      'torch===2.13.0 3.12',
    ]);
  });
  t.test("a constraints file makes pip's message another one", async (t) => {
    const { context, calls } = await withPip(
      t,
      '/cpu 3.11/',
      'ERROR: ResolutionImpossible: for help visit ...',
    );
    t.equal((await fromWheel(context)).version, '2.13.0');
    t.equal((await calls()).length, 2);
  });
  t.test('an unreachable index is tried once', async (t) => {
    const { context, calls } = await withPip(
      t,
      '/never/',
      'WARNING: Retrying (Retry(total=0)) after connection broken\nERROR: No matching distribution found for torch',
    );
    await t.rejects(fromWheel(context), /python3 -m pip: the package index cannot be reached/);
    t.equal((await calls()).length, 1);
    t.strictSame(await readdir(context.directory), []);
  });
  t.test("pip's own words when it fails otherwise", async (t) => {
    const { context } = await withPip(
      t,
      '/never/',
      'ERROR: Could not install packages: No space left on device',
    );
    await t.rejects(fromWheel(context), /python3 -m pip: .*No space left on device/);
    const none = await withPip(t, '/never/');
    await t.rejects(fromWheel(none.context), /python3 -m pip: no such wheel in the package index/);
  });
  t.test('no pip at all', async (t) => {
    const context = { env: { PATH: t.testdir() }, variant: 'cpu' as const, directory: t.testdir() };
    await t.rejects(fromWheel(context), /no pip found .*python3-pip/);
  });
});

t.test('CUDA libraries', async (t) => {
  const folder = t.testdir();
  const libtorch = await inspect(await makeLibTorch(join(folder, 'place', 'libtorch'), '2.13.0', true));
  const bin = join(folder, 'bin');
  const env = { PATH: bin };
  const found = join(folder, 'place', 'libtorch', 'lib', 'libcudart.so.13');
  await makeProgram(
    bin,
    'ldd',
    `console.log('\\tlibcudart.so.13 => ' + (fs.existsSync(${JSON.stringify(found)}) ? '/x' : 'not found'));`,
  );

  t.strictSame(await missingLibraries(join(libtorch.root, 'lib/libtorch_cpu.so'), env), ['libcudart.so.13']);
  await t.rejects(addCudaLibraries(libtorch, { env, variant: 'cpu' }), /no pip found/);
  await makeProgram(
    bin,
    'python3',
    `if (args[2] === '--version') process.exit(0);
     const lib = args[args.indexOf('--target') + 1] + '/nvidia/cu13/lib';
     fs.mkdirSync(lib, { recursive: true });
     fs.writeFileSync(lib + '/libcudart.so.13', args.filter((a) => a.includes('==')).join());`,
  );
  await addCudaLibraries(libtorch, { env, variant: 'cpu' });
  t.equal(
    await readFile(found, 'utf8'),
    'cuda-toolkit[cudart,cupti]==13.0.3',
    'linked to where LibTorch looks',
  );
  await rm(found);
  await addCudaLibraries(libtorch, { env, variant: 'cu130' });
  t.match(await readFile(found, 'utf8'), /cublas.*nvidia-cudnn-cu13==.*nvidia-nccl-cu13==/);
  const cpuBuild = { ...libtorch, cuda: false };
  await rm(found);
  await addCudaLibraries(cpuBuild, { env: { PATH: '' }, variant: 'cpu' });
  t.notOk(existsSync(found), 'a CPU build needs none');
});

t.test('the order of the sources, and the choice is printed', async (t) => {
  const folder = t.testdir();
  const archive = archiveOf(libtorchFiles('2.13.0'));
  const server = await serveFile(archive);
  t.teardown(() => server.close());
  const description = { path: 'tiny.zip', size: archive.length, sha256: digest(archive) };
  const python = await makeLibTorch(join(folder, 'site-packages', 'torch'), '2.14.1', true);
  const named = await makeLibTorch(join(folder, 'named'), '2.11.0');
  const earlier = await makeLibTorch(join(folder, 'libtorch', '2.12.1-cpu', 'libtorch'), '2.12.1');
  await makeProgram(
    join(folder, 'bin'),
    'python',
    `if (args[0] !== '-c') process.exit(1);\nconsole.log(${JSON.stringify(python)});`,
  );

  /** The outcome, a LibTorch or a failure, and what was printed. */
  async function resolve(settings: Record<string, string>, variant?: 'cpu' | 'cu130', version?: string) {
    const printed = t.capture(process.stderr, 'write');
    const env = { PATH: join(folder, 'bin'), BERTUNE_LIBTORCH_URL: server.url, ...settings };
    const archives = { cpu: description, cu130: description };
    const directory = join(folder, 'libtorch');
    const outcome = await resolveLibTorch({
      env,
      variant,
      version,
      directory,
      archives,
      patience,
      platform: linux,
    }).then(
      (found) => ({ found, failure: null }),
      (error: SetupError) => ({ found: null, failure: error }),
    );
    const lines = printed().map(({ args }) => String(args[0]));
    printed.restore();
    return { ...outcome, lines };
  }

  const first = await resolve({ LIBTORCH: named });
  t.match(first.found, { root: named, version: '2.11.0', from: 'LIBTORCH' });
  t.strictSame(first.lines, [`Using LibTorch 2.11.0 (CPU build) from LIBTORCH: ${named}\n`]);

  t.match((await resolve({})).found, { root: earlier, version: '2.12.1', cuda: false });

  const unreachable = { BERTUNE_LIBTORCH_URL: 'http://127.0.0.1:1' };
  const other = await resolve(unreachable, undefined, '2.13.0');
  t.match(other.found, { root: earlier, version: '2.12.1' }, 'where the preferred version cannot be fetched');
  const preferred = await resolve({}, undefined, '2.13.0');
  t.match(preferred.found, { version: '2.13.0', from: "the PyTorch project's archive" });
  t.match((await resolve(unreachable, undefined, '2.13.0')).found, { from: 'an earlier install' });
  t.match((await resolve(unreachable, undefined, '2.12.1')).found, { root: earlier });
  await rm(dirname(preferred.found?.root ?? ''), { recursive: true });

  const ofOtherKind = await resolve({}, 'cu130');
  t.match(ofOtherKind.found, { root: python, version: '2.14.1', cuda: true, from: "Python's torch" });
  t.strictSame(ofOtherKind.lines, [`Using LibTorch 2.14.1 (CUDA build) from Python's torch: ${python}\n`]);

  await rm(join(folder, 'libtorch'), { recursive: true });
  t.match((await resolve({})).found, { root: python });

  await makeLibTorch(python, '2.15.0');
  const fetched = await resolve({});
  t.match(fetched.found, { version: '2.13.0', from: "the PyTorch project's archive" });
  t.match(
    fetched.lines[0],
    /Fetching LibTorch 2\.13\.0, \w+ \(.+\), from the PyTorch project's archive \.\.\./,
  );
  const nextTime = await resolve({ BERTUNE_LIBTORCH_URL: 'http://127.0.0.1:1' });
  t.match(nextTime.found, { root: fetched.found?.root, from: 'an earlier install' });

  await rm(join(folder, 'libtorch'), { recursive: true });
  const failed = await resolve({ BERTUNE_LIBTORCH_URL: 'http://127.0.0.1:1' });
  t.equal(failed.failure?.exitCode, 1);
  const message = failed.failure?.message ?? '';
  t.equal(message.match(/^ {2}\d\. .*$/gm)?.length, 5, 'lists the five sources');
  t.match(message, '  1. LIBTORCH: not set\n  2. an earlier install: none\n');
  t.match(
    message,
    /3\. Python's torch: there is no python3; .*is version 2\.15\.0, and bertune supports 2\.11 to 2\.14/,
  );
  t.match(
    message,
    /4\. the PyTorch project's archive: http:\/\/127\.0\.0\.1:1\/tiny\.zip: .*(ECONNREFUSED|bad port)/,
  );
  t.match(message, /5\. pip: no pip found/);
  t.equal(message.match(/^ {2}- /gm)?.length, 3, 'and three things to do');

  const wrong: [Record<string, string>, RegExp][] = [
    [{ LIBTORCH: '/nowhere' }, /LIBTORCH cannot be used: \/nowhere does not exist/],
    [
      { LIBTORCH: folder },
      /holds no lib\/libtorch_cpu\.so\.\nPoint it at the folder that holds lib\/ and include\//,
    ],
    [{ LIBTORCH: python }, /is version 2\.15\.0/],
    [{ BERTUNE_LIBTORCH_URL: 'mirror' }, /Expected a URL in BERTUNE_LIBTORCH_URL but received "mirror"/],
  ];
  for (const [settings, pattern] of wrong) {
    const { failure } = await resolve(settings);
    t.equal(failure?.exitCode, 2);
    t.match(failure?.message, pattern);
  }
});

t.test('versions and variants', async (t) => {
  t.strictSame(['2.10.9', '2.11.0', '2.14.1+cu130', '2.15.0', '1.13.0', '3.12.0', 'x'].map(isSupported), [
    false,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
  t.equal(parseVariant('cu130'), 'cu130');
  t.throws(() => parseVariant('gpu'), {
    message: 'Expected cpu or cu130 for --variant but received "gpu"',
    exitCode: 2,
  });
  const driver = (major: number) =>
    `NVRM version: NVIDIA UNIX x86_64 Kernel Module  ${major}.65.06  Sun Jul 27\nGCC version: gcc 12.2.0`;
  const folder = t.testdir({ new: driver(580), old: driver(535), odd: 'no version here' });
  const choose = (file: string) => variantFor({ driverFile: join(folder, file) });
  t.match(choose('new'), { variant: 'cu130', reason: 'NVIDIA driver 580 found' });
  t.match(choose('old'), { variant: 'cpu', reason: /driver 535 is older than 580/ });
  t.match(choose('odd'), { variant: 'cpu' });
  t.match(choose('none'), { variant: 'cpu', reason: 'no NVIDIA driver on this machine' });
});
