// node scripts/check-sanitizers.mjs [address] [thread] [guarded] [valgrind]: the C++ under tools that find what
// tests do not. Each builds native/tests/operators_test.cc in a folder of its own under build/sanitizers/ (valgrind takes the
// addon as it is) and prints one line. Debian: apt-get install -y libomp5-14 libomp-14-dev valgrind
//
// - address: AddressSanitizer and UndefinedBehaviorSanitizer.
// - thread: ThreadSanitizer. LibTorch's OpenMP runtime (libgomp) hands work over in ways that it cannot see, so LLVM's
//   takes its place for this run, with Archer, which reports to ThreadSanitizer each fork, join and barrier.
// - guarded: memory that ends the process when something goes beyond a tensor. It finds what oneDNN's products, which
//   are compiled at run time, read: no sanitizer sees them.
// - valgrind: a short training in Node.js. It knows no AVX-512, so all kernels are capped by the environment.
//
// Neither LibTorch nor oneDNN is compiled with the sanitizers: what goes wrong within them alone is not seen.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SetupError } from './setup/errors.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { buildDir, projectRoot } from './setup/paths.mjs';
import { capture } from './setup/process.mjs';
import { runMain, log } from './setup/terminal.mjs';

const LLVM = '/usr/lib/llvm-14/lib';
const SUPPRESSIONS = join(projectRoot, 'scripts', 'sanitizers');

/** @type {Record<string, () => Promise<string>>} each gives a line about what it has found to be right, or throws */
const CHECKS = { address, thread, guarded, valgrind };

await runMain(async () => {
  const requested = process.argv.slice(2);
  await ensureReady();
  for (const name of requested.length > 0 ? requested : Object.keys(CHECKS)) {
    const check = CHECKS[name];
    if (!check)
      throw new SetupError(`Expected ${Object.keys(CHECKS).join(', ')} but received ${JSON.stringify(name)}`);
    log(`${name}: ${await check()}`);
  }
});

async function address() {
  const program = await build(
    'address',
    '-fsanitize=address,undefined -fno-sanitize=vptr -fno-omit-frame-pointer',
  );
  return operators(program, {
    ASAN_OPTIONS: 'detect_leaks=0', // LibTorch's statics are never freed
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  });
}

async function thread() {
  const omp = join(LLVM, 'libomp.so.5');
  const archer = join(LLVM, 'libarcher.so');
  for (const file of [omp, archer])
    if (!existsSync(file))
      throw new SetupError(`${file} is missing: apt-get install -y libomp5-14 libomp-14-dev`);
  const program = await build('thread', '-fsanitize=thread');
  const suppressions = join(SUPPRESSIONS, 'thread.txt');
  return operators(
    program,
    {
      LD_PRELOAD: omp,
      OMP_TOOL_LIBRARIES: archer,
      TSAN_OPTIONS: `ignore_noninstrumented_modules=1:halt_on_error=0:exitcode=66:suppressions=${suppressions}`,
    },
    ['caching'],
  );
}

async function guarded() {
  return operators(await build('plain', ''), {}, ['guarded']);
}

async function valgrind() {
  const training = join(projectRoot, 'test', 'fuzz', 'native', 'short-training.mjs');
  const options = [
    '--smc-check=all-non-file',
    '--error-exitcode=9',
    `--suppressions=${join(SUPPRESSIONS, 'valgrind.txt')}`,
  ];
  const { code, stdout, stderr, missing } = await capture(
    'valgrind',
    [...options, process.execPath, '--jitless', training],
    {
      env: {
        ...process.env,
        ATEN_CPU_CAPABILITY: 'default',
        ONEDNN_MAX_CPU_ISA: 'AVX2',
        OMP_NUM_THREADS: '2',
      },
    },
  );
  if (missing) throw new SetupError('valgrind is missing: apt-get install -y valgrind');
  if (code !== 0 || !stdout.endsWith('trained\n')) throw new SetupError(stderr);
  return (
    stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^==\d+== /, '') ?? ''
  );
}

/**
 * @param {string} name of the folder
 * @param {string} flags for the compiler, and through it the linker
 * @returns {Promise<string>} the program
 */
async function build(name, flags) {
  const folder = join(buildDir, 'sanitizers', name);
  const { libtorch } = JSON.parse(await readFile(join(buildDir, 'addon.stamp.json'), 'utf8'));
  await step('cmake', [
    '-S',
    projectRoot,
    '-B',
    folder,
    '-DCMAKE_BUILD_TYPE=None',
    `-DLIBTORCH=${libtorch}`,
    `-DCMAKE_CXX_FLAGS=-O1 -g1 -DNDEBUG ${flags}`,
  ]);
  await step('cmake', ['--build', folder, '--target', 'operators_test', '--parallel', '2']);
  return join(folder, 'operators_test');
}

/**
 * @param {string} command
 * @param {readonly string[]} parameters
 */
async function step(command, parameters) {
  const { code, stdout, stderr } = await capture(command, parameters);
  if (code !== 0) throw new SetupError(`${command} failed:\n${stdout.slice(-4000)}${stderr.slice(-4000)}`);
}

/**
 * @param {string} program
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} [parameters]
 */
async function operators(program, env, parameters = []) {
  const { code, stdout, stderr } = await capture(program, parameters, { env: { ...process.env, ...env } });
  const done = [...stdout.matchAll(/^ok \d+/gm)].length;
  if (code !== 0 || stderr !== '' || !stdout.endsWith(`1..${done}\n`))
    throw new SetupError(
      `${program} ended with exit code ${code} after ${done} comparisons:\n${stderr.slice(0, 8000)}`,
    );
  return `${done} comparisons, nothing found`;
}
