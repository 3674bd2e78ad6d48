// npm run pack: the tarball installs and trains in another project on a machine without a compiler, and where its prebuilt
// addon does not fit, one line gives the reason.
import { mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import t from 'tap';
import { PINNED } from '../../scripts/libtorch/versions.mjs';
import { buildDir, projectRoot } from '../../scripts/setup/paths.mjs';
import { glibcProblem, loaderProblem, newestSymbolVersion } from '../../scripts/setup/prebuilt.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { readStamp } from '../../scripts/setup/stamp.mjs';
import { flags } from '../fixtures/cli.js';
import { EMPTY_MODULE } from '../fixtures/empty-module.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
const app = join(folder, 'app');
const installed = join(app, 'node_modules', 'bertune');

/** Without the loaders that tap gives to each process. */
function run(command: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }) {
  return capture('/bin/sh', ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', command, ...args], options);
}

/** A PATH with Node.js and no compiler, CMake or Python. */
const bin = join(folder, 'bin');

/** `npx bertune` in the project. */
async function bertune(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { libtorch } = (await readStamp(join(buildDir, 'addon.stamp.json'))) ?? {};
  return run(join(app, 'node_modules', '.bin', 'bertune'), args, {
    cwd: app,
    env: { PATH: bin, HOME: folder, LIBTORCH: libtorch, CUDA_VISIBLE_DEVICES: '', ...env },
  });
}

/** Builds that module as CMakeLists.txt builds the addon. */
const EMPTY_RECIPE = `cmake_minimum_required(VERSION 3.18)
project(bertune LANGUAGES CXX)
add_library(bertune SHARED native/binding/addon.cc \${CMAKE_JS_SRC})
target_include_directories(bertune PRIVATE \${CMAKE_JS_INC})
set_target_properties(bertune PROPERTIES PREFIX "" SUFFIX ".node")
`;

const VERSION_HEADER = 'include/torch/headeronly/version.h';

/** Links everything in `from` into `to`, but for these paths. */
async function linkTree(from: string, to: string, except: readonly string[]) {
  await mkdir(to);
  for (const name of await readdir(from)) {
    const below = except
      .filter((path) => path.startsWith(`${name}/`))
      .map((path) => path.slice(name.length + 1));
    if (below.length > 0) await linkTree(join(from, name), join(to, name), below);
    else if (!except.includes(name)) await symlink(join(from, name), join(to, name));
  }
}

t.before(async () => {
  await mkdir(bin);
  await mkdir(app);
  await writeFile(join(app, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
  await symlink(process.execPath, join(bin, 'node'));
  for (const tool of ['sh', 'env']) await symlink(join('/usr/bin', tool), join(bin, tool));
  const packed = await run(
    process.execPath,
    [join(projectRoot, 'scripts/pack.mjs'), '--silent', '--pack-destination', folder],
    {},
  );
  if (packed.code !== 0) throw new Error(packed.stderr);
  const tarball = join(folder, packed.stdout.trim());
  const npm = { cwd: app, env: { ...process.env, PATH: [dirname(process.execPath), bin].join(delimiter) } };
  const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball];
  const install = await run('npm', args, npm);
  if (install.code !== 0) throw new Error(install.stderr);
});

t.test('trains, predicts and is imported without a compiler', async (t) => {
  t.match(
    JSON.parse(
      await readFile(join(installed, `prebuilds/${process.platform}-${process.arch}/manifest.json`), 'utf8'),
    ),
    {
      libtorch: PINNED,
      glibc: /^2\.\d+$/,
      libstdcxx: /^3\.4\.\d+$/,
    },
  );
  await writeFile(
    join(app, 'device.js'),
    "import { deviceInfo } from 'bertune';\nconsole.log(deviceInfo().libtorch);\n",
  );
  const early = await run(process.execPath, ['device.js'], { cwd: app });
  t.match(early.stderr, /RunError: The native addon is not set up yet: run `npx bertune setup`/);

  makeToy(app, { train: 24, test: 8 });
  const own = {
    config: 'model/config.json',
    tokenizer: 'model',
    'train-file': 'train.csv',
    'max-steps': '2',
    'output-dir': 'out',
  };
  const train = await bertune(['train', ...flags(own)]);
  t.equal(train.code, 0, train.stderr);
  t.notMatch(train.stderr, /Building|missing/);
  t.match(train.stderr, /^ {2}npx bertune predict --model out --test-file/m);
  const { libtorch = '' } = (await readStamp(join(buildDir, 'addon.stamp.json'))) ?? {};
  t.equal(await readlink(join(installed, 'build/Release/lib')), join(libtorch, 'lib'));

  const again = await bertune(['predict', ...flags({ model: 'out', 'test-file': 'test.csv' })]);
  t.equal(again.code, 0, again.stderr);
  t.notMatch(again.stderr, /LibTorch/, 'set-up ran once');
  const imported = await run(process.execPath, ['device.js'], { cwd: app });
  t.match(imported, { code: 0, stdout: PINNED }, imported.stderr);
  t.notMatch(imported.stderr, /Warning/);
});

t.test('commands that a package cannot run are refused in one line', async (t) => {
  t.match(await bertune(['train']), {
    code: 2,
    stderr: /checkout of bertune only.*\n {2}npx bertune train --model/,
  });
  t.match(await bertune(['bench']), { code: 2, stderr: /unknown command 'bench'/ });
  t.match(await bertune([]), { stdout: /Usage: bertune / });
  t.match(await bertune(['setup', '--help']), { code: 0, stdout: /^npx bertune setup \[options\]/ });
});

t.test('a prebuilt addon that does not fit: the reason in one line, with what a build needs', async (t) => {
  const missing =
    /The addon has to be built on this machine, and these tools are missing: cmake, g\+\+, make\./;
  const manifest = join(installed, `prebuilds/${process.platform}-${process.arch}/manifest.json`);
  const original = await readFile(manifest, 'utf8');
  await rm(join(installed, 'build'), { recursive: true });
  await writeFile(manifest, original.replace(/"glibc": "[\d.]+"/, '"glibc": "2.999"'));
  const old = await bertune(['setup']);
  t.match(old, { code: 1, stderr: missing });
  t.match(
    old.stderr,
    /^The prebuilt addon does not fit: it needs glibc 2\.999, and this system has 2\.\d+\./m,
  );
  await writeFile(manifest, original);

  const other = join(folder, 'libtorch');
  const { libtorch = '' } = (await readStamp(join(buildDir, 'addon.stamp.json'))) ?? {};
  await linkTree(libtorch, other, ['lib', VERSION_HEADER]);
  const header = await readFile(join(libtorch, VERSION_HEADER), 'utf8');
  await writeFile(join(other, VERSION_HEADER), header.replace(/(VERSION_MINOR) \d+/, '$1 12'));
  await symlink(join(libtorch, 'lib'), join(other, 'lib'));
  const version = await bertune(['setup'], { LIBTORCH: other });
  t.match(version, { code: 1, stderr: missing });
  t.match(version.stderr, /it is for LibTorch 2\.13\.0, and \S+ is 2\.12\.\d\./);

  // Compiling the real sources takes minutes: an empty module replaces them.
  await writeFile(join(installed, 'native/binding/addon.cc'), EMPTY_MODULE);
  await writeFile(join(installed, 'CMakeLists.txt'), EMPTY_RECIPE);
  const built = await bertune(['setup'], { ...process.env, NODE_OPTIONS: '', LIBTORCH: other });
  t.match(built, { code: 0 }, built.stderr);
  t.match(built.stderr, /is 2\.12\.\d\. It is built on this machine instead\.\nBuilding/);

  const back = await bertune(['setup']);
  t.match(back, { code: 0, stderr: /Set-up is complete/ }, 'the prebuilt one again');
  t.notMatch(back.stderr, /Building/);
});

t.test('a package without dist/ names the command that makes it', async (t) => {
  await rm(join(installed, 'dist'), { recursive: true });
  t.match(await bertune(['train', '--help']), {
    code: 1,
    stderr: /has no dist\/: make it with `npm run pack`/,
  });
});

t.test('versions of the C and C++ libraries', async (t) => {
  const manifest = { libtorch: PINNED, glibc: '2.34', libstdcxx: '3.4.30' };
  t.equal(glibcProblem(manifest, '2.34'), null);
  t.equal(glibcProblem(manifest, '3.0'), null);
  t.equal(glibcProblem(manifest, '2.4'), 'it needs glibc 2.34, and this system has 2.4');
  t.equal(glibcProblem(manifest, null), 'it needs glibc 2.34, and this system has another C library');
  t.equal(
    loaderProblem(
      "/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /app/bertune.node)",
      manifest,
    ),
    'it needs a libstdc++ with GLIBCXX_3.4.30, and this system has an older one',
  );
  t.equal(loaderProblem('libc10.so: cannot open', manifest), 'libc10.so: cannot open');
  // The form of binutils 2.40.
  const references = ` required from libc.so.6:
    0x069691b4 0x00 17 GLIBC_2.34
    0x06969189 0x00 12 GLIBC_2.9
  required from libstdc++.so.6:
    0x0297f870 0x00 11 GLIBCXX_3.4.30
    0x02297f89 0x00 05 GLIBCXX_3.4.9`;
  t.equal(newestSymbolVersion(references, 'GLIBC'), '2.34');
  t.equal(newestSymbolVersion(references, 'GLIBCXX'), '3.4.30');
});
