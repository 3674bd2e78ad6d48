// The fused kernels for GPUs (native/ops/cuda) run on the CPU, thread by thread; and compiled by NVIDIA's own run-time compiler,
// which needs no GPU: for each architecture, the registers of every kernel, and no spills. NVRTC comes from the package index, or
// BERTUNE_NVRTC is its libnvrtc.so.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { buildDir } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { buildTarget } from '../fixtures/native-build.js';

/** What LibTorch 2.11 to 2.14 for CUDA 13.0 bring. */
const NVRTC = 'nvidia-cuda-nvrtc==13.0.88';
const ARCHITECTURES = ['80', '90', '100', '120'];

/** The library, or why there is none. */
async function nvrtc(folder: string): Promise<{ file: string } | { reason: string }> {
  const given = process.env['BERTUNE_NVRTC'];
  if (given !== undefined && given !== '') return { file: given };
  const python = process.env['BERTUNE_PYTHON'] || 'python3';
  const { code, stderr, missing } = await capture(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--target',
    folder,
    NVRTC,
  ]);
  if (missing) return { reason: `there is no ${python}` };
  if (code !== 0) return { reason: `${NVRTC} cannot be installed: ${stderr.trim().split('\n').at(-1)}` };
  const files = await readdir(folder, { recursive: true });
  const library = files.find((name) => /(^|\/)libnvrtc\.so\.\d+$/.test(name));
  return library === undefined ? { reason: `${NVRTC} has no libnvrtc.so` } : { file: join(folder, library) };
}

interface Kernel {
  name: string;
  registers: number;
  /** Bytes of registers that went to memory and came back. */
  spills: number;
}

/** ptxas's lines about each kernel. */
function kernelsIn(log: string): Kernel[] {
  return log
    .split(/^(?=ptxas info {4}: Compiling entry function)/m)
    .slice(1)
    .map((part) => {
      const number = (pattern: RegExp): number => Number(pattern.exec(part)?.[1] ?? NaN);
      return {
        name: /function '(\w+)'/.exec(part)?.[1] ?? '',
        registers: number(/Used (\d+) registers/),
        spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
      };
    });
}

const program = `${buildDir}/operators_test`;
const built = await buildTarget('operators_test');
if (!t.equal(built.code, 0, 'the program builds')) t.comment(built.stdout, built.stderr);

await t.test('all comparisons, and the check at first use finds every kernel that is wrong', async (test) => {
  const { code, stdout, stderr } = await capture(program, ['kernels']);
  test.equal(code, 0, 'the program ends well');
  test.same(stdout.match(/^not ok .*$/gm), null, stderr);
  const wrong = stdout.match(/^ok \d+ - check of a kernel that does nothing: /gm);
  test.ok(wrong !== null && wrong.length > 20, 'every kernel');
});

const found = await nvrtc(t.testdir());
const library = 'file' in found ? found.file : '';
const skip = 'reason' in found && found.reason;
await t.test('every kernel compiles for every architecture, without spills', { skip }, async (test) => {
  const compiled = await capture(program, ['compile', library, ...ARCHITECTURES]);
  if (!test.equal(compiled.code, 0, 'the kernels compile'))
    return test.comment(compiled.stdout, compiled.stderr);
  const logs = compiled.stdout.split(/^# /m).slice(1);
  test.same(
    logs.map((log) => /^sm_(\d+): [1-9]\d* bytes/.exec(log)?.[1]),
    ARCHITECTURES,
  );
  const all = logs.map(kernelsIn);
  const names = all[0]?.map(({ name }) => name).toSorted();
  test.ok(names !== undefined && names.length > 20, 'all of them');
  for (const [index, kernels] of all.entries()) {
    const sorted = kernels.toSorted((a, b) => b.registers - a.registers);
    test.comment(
      `sm_${ARCHITECTURES[index]}: registers ${sorted.map(({ name, registers }) => `${name} ${registers}`).join(', ')}`,
    );
    test.same(kernels.map(({ name }) => name).toSorted(), names, 'the same kernels');
    for (const { name, registers, spills } of kernels) {
      test.equal(spills, 0, `${name} on sm_${ARCHITECTURES[index]}: bytes of spills`);
      test.ok(
        registers > 0 && registers <= 128,
        `${name}: registers, so that a block of 512 threads can start`,
      );
    }
  }
  return;
});
