// The operators with kernels of our own against compositions of ATen operators in float64. The comparison is C++
// (native/tests/operators_test.cc), built here from the objects that the addon was linked from; this file reads its TAP.
import tap from 'tap';

import { buildDir } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';

await tap.test('every kernel equals its float64 composition, forward and backward', async (t) => {
  const built = await capture('cmake', [
    '--build',
    buildDir,
    '--config',
    'Release',
    '--target',
    'operators_test',
  ]);
  if (!t.equal(built.code, 0, 'the comparison builds')) return t.comment(built.stdout, built.stderr);
  const { code, stdout, stderr } = await capture(`${buildDir}/operators_test`, ['guarded']);
  t.equal(code, 0, 'the comparison ends well: nothing is read or written beyond a tensor');
  t.equal(stderr, '');
  const results = [...stdout.matchAll(/^(not )?ok \d+ - (.*)$/gm)];
  for (const [, failed, name = ''] of results) t.ok(failed === undefined, name);
  t.ok(results.length > 0 && stdout.endsWith(`1..${results.length}\n`), 'all comparisons were made');
});
