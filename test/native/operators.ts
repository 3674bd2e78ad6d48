// The operators with kernels of our own against references from ATen operators in float64. The comparison is C++
// (native/tests/operators_test.cc), built here from the objects that the addon was linked from; this file reads its TAP, for the
// processor as it is and for lesser ones, which the environment makes of it.
import { existsSync, readFileSync } from 'node:fs';
import tap, { type Test } from 'tap';

import { buildDir } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { buildTarget } from '../fixtures/native-build.js';

/** What each environment leaves of a processor with everything: the row kernels, and the types with brgemm. */
const CAPS: readonly { env: Record<string, string>; rows: string; brgemm: string }[] = [
  { env: { ONEDNN_MAX_CPU_ISA: 'AVX512_CORE_BF16' }, rows: 'avx512_bf16', brgemm: 'float32 and bfloat16' },
  { env: { ONEDNN_MAX_CPU_ISA: 'AVX512_CORE' }, rows: 'avx512', brgemm: 'float32' },
  { env: { ONEDNN_MAX_CPU_ISA: 'AVX2', ATEN_CPU_CAPABILITY: 'avx2' }, rows: 'avx2', brgemm: 'float32' },
  // LibTorch has a plain matrix product where oneDNN has no kernel.
  {
    env: { ONEDNN_MAX_CPU_ISA: 'SSE41', ATEN_CPU_CAPABILITY: 'default' },
    rows: 'baseline',
    brgemm: 'float32',
  },
];
const ORDER = {
  rows: ['baseline', 'avx2', 'avx512', 'avx512_bf16'],
  brgemm: ['no type', 'float32', 'float32 and bfloat16'],
};

const built = await buildTarget('operators_test');
if (!tap.equal(built.code, 0, 'the comparison builds')) tap.comment(built.stdout, built.stderr);

/** Runs the comparison, hands its results on, and gives what it says of the processor. */
async function compare(
  t: Test,
  parameters: readonly string[],
  env: Record<string, string>,
): Promise<{ rows: string; brgemm: string }> {
  const { code, stdout, stderr } = await capture(`${buildDir}/operators_test`, parameters, {
    env: { ...process.env, ...env },
  });
  t.equal(code, 0, 'the comparison ends well');
  t.equal(stderr, '');
  const results = [...stdout.matchAll(/^(not )?ok \d+ - (.*)$/gm)];
  for (const [, failed, name = ''] of results) t.ok(failed === undefined, name);
  t.ok(results.length > 0 && stdout.endsWith(`1..${results.length}\n`), 'all comparisons were made');
  const [, rows = '', brgemm = ''] = /^# (.*), brgemm of (.*)$/m.exec(stdout) ?? [];
  return { rows, brgemm };
}

const hasAmx = existsSync('/proc/cpuinfo') && readFileSync('/proc/cpuinfo', 'utf8').includes('amx_tile');
let machine = { rows: '', brgemm: '' };
await tap.test('every kernel equals its float64 reference, within its tensors', async (t) => {
  machine = await compare(t, ['guarded'], {});
});

for (const { env, ...expected } of CAPS) {
  // A cap above the processor changes nothing.
  const has = (part: 'rows' | 'brgemm'): boolean =>
    ORDER[part].indexOf(expected[part]) <= ORDER[part].indexOf(machine[part]);
  const isLesser = process.arch === 'x64' && has('rows') && has('brgemm');
  // The first run was on the processor as it is; AMX is above the caps and counts as bfloat16 here.
  const isSame = !hasAmx && machine.rows === expected.rows && machine.brgemm === expected.brgemm;
  const skip = isLesser ? isSame && 'this processor as it is' : 'not on this processor';
  await tap.test(`the same with ${JSON.stringify(env)}`, { skip }, async (t) => {
    t.same(await compare(t, [], env), expected, 'the cap has its effect');
  });
}

await tap.test('a comparison that throws is one failure, and the others are made', async (t) => {
  const { code, stdout } = await capture(`${buildDir}/operators_test`, ['throwing']);
  t.equal(code, 1);
  t.match(stdout, /^not ok \d+ - a comparison that throws: thrown on purpose$/m);
  t.match(stdout, /^ok \d+ - batch: ids/m, 'one that comes later');
  t.match(stdout, /^1\.\.\d+\n$/m);
});
