// bindings.gyp: a project built with node-gyp that depends on it gets bertune's addon, built by CMakeLists.txt.
// Compiling the real sources takes minutes, so a copy of the package with empty sources replaces it.
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import t from 'tap';
import { buildDir, projectRoot } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { readStamp } from '../../scripts/setup/stamp.mjs';
import { EMPTY_MODULE } from '../fixtures/empty-module.js';

const require = createRequire(import.meta.url);
const nodeDir = [dirname(dirname(process.execPath)), '/usr', '/usr/local'].find((dir) =>
  existsSync(join(dir, 'include', 'node', 'node_api.h')),
);

/** Everything of this package that a build reads, with nothing in the sources but an empty module. */
async function copyPackage(folder: string) {
  for (const name of ['package.json', 'CMakeLists.txt', 'bindings.gyp', 'scripts']) {
    await cp(join(projectRoot, name), join(folder, name), { recursive: true });
  }
  for (const name of await readdir(join(projectRoot, 'native'), { recursive: true })) {
    const target = join(folder, 'native', name);
    await mkdir(dirname(target), { recursive: true });
    if (/\.(cc|h|cu)$/.test(name))
      await writeFile(target, name === join('binding', 'addon.cc') ? EMPTY_MODULE : '');
  }
  await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
}

t.test('a node-gyp project', { skip: nodeDir ? false : 'no Node headers here' }, async (test) => {
  const folder = test.testdir({
    app: {
      'binding.gyp': `{ 'targets': [{
        'target_name': 'app', 'sources': ['app.cc'], 'dependencies': ['../bertune/bindings.gyp:native'] }] }`,
      'app.cc': EMPTY_MODULE,
      'package.json': '{ "name": "app", "version": "1.0.0" }',
    },
  });
  await copyPackage(join(folder, 'bertune'));
  const { libtorch } = (await readStamp(join(buildDir, 'addon.stamp.json'))) ?? {};
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
  const build = () =>
    capture(process.execPath, [nodeGyp, 'configure', 'build', `--nodedir=${nodeDir}`], {
      cwd: join(folder, 'app'),
      env: { ...process.env, LIBTORCH: libtorch },
    });

  const first = await build();
  test.equal(first.code, 0, 'builds');
  if (first.code !== 0) test.comment(first.stdout + first.stderr);
  const addon = join(folder, 'bertune', 'build', 'Release', 'bertune.node');
  for (const file of [addon, join(folder, 'app', 'build', 'Release', 'app.node')]) {
    test.same(require(file), {}, 'the addon was produced and loads');
  }

  const { mtimeMs } = await stat(addon);
  test.equal((await build()).code, 0, 'builds again');
  test.equal((await stat(addon)).mtimeMs, mtimeMs, 'and leaves an addon that is up to date alone');
});
