// What an install contains: exact versions, checksums, licences, and no script that runs by itself.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { dependencies, isAllowedExpression } from '../../scripts/check-licences.mjs';
import { ARCHIVES, VARIANTS } from '../../scripts/libtorch/versions.mjs';

interface Manifest {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}
const manifest: Manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const found = dependencies(readFileSync('package-lock.json', 'utf8'));

t.test('exact versions, each with its checksum', (test) => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
    test.match(version, /^(npm:(@[\w-]+\/)?[\w-]+@)?\d+\.\d+\.\d+$/, `${name} ${version}`);
  test.ok(found.length > 100, `${found.length} packages`);
  test.strictSame(
    found.filter(({ integrity }) => !integrity.startsWith('sha512-')),
    [],
  );
  test.end();
});

t.test('licences that may be depended on', (test) => {
  test.strictSame(
    found.filter(({ isAllowed }) => !isAllowed),
    [],
  );
  for (const good of ['MIT', '(GPL-3.0 OR MIT)', 'ISC AND MIT', '(MIT OR CC0-1.0)'])
    test.ok(isAllowedExpression(good), good);
  for (const bad of ['GPL-3.0', 'none named', '', 'MIT AND GPL-3.0', 'UNLICENSED', '(A OR (MIT))'])
    test.notOk(isAllowedExpression(bad), bad);
  test.notOk(isAllowedExpression('LGPL-3.0-or-later'), 'not of what an install brings');
  test.ok(isAllowedExpression('Apache-2.0 AND LGPL-3.0-or-later', true), 'in development');
  test.notOk(isAllowedExpression('GPL-3.0', true));
  test.end();
});

/**
 * Of development alone: onnxruntime-node's script fetches CUDA libraries, which nothing here needs (the one for CPUs is in the
 * package), and that of protobufjs compares version numbers.
 */
const MAY_HAVE_SCRIPT = ['onnxruntime-node', 'protobufjs'];

t.test('no install script, neither of ours nor of a dependency', (test) => {
  const own = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];
  test.strictSame(
    own.filter((name) => name in manifest.scripts),
    [],
  );
  test.strictSame(
    found.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name),
    MAY_HAVE_SCRIPT,
  );
  test.notOk(found.some(({ name, isDevelopment }) => MAY_HAVE_SCRIPT.includes(name) && !isDevelopment));
  test.match(readFileSync('.npmrc', 'utf8'), /^ignore-scripts=true$/m, 'and none would be run');
  test.end();
});

t.test('archives of LibTorch have their SHA-256', (test) => {
  for (const variant of VARIANTS) test.match(ARCHIVES[variant].sha256, /^[0-9a-f]{64}$/);
  test.end();
});
