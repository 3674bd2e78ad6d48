// NVIDIA's run-time libraries for a CUDA build of LibTorch. Neither its archive nor its wheel contains them, and even
// on the CPU it does not load without two of them.
import { mkdir, readdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { capture } from '../setup/process.mjs';
import { log } from '../setup/terminal.mjs';
import { Unavailable } from './install.mjs';
import { findPip, lastError, pipInstall } from './pip.mjs';
import { NVIDIA_PACKAGES } from './versions.mjs';

/**
 * Puts what is missing into `nvidia/` beside the LibTorch folder, where a wheel's libraries look for it.
 *
 * @param {import('./install.mjs').LibTorch} libtorch
 * @param {{ env: NodeJS.ProcessEnv, variant: import('./versions.mjs').Variant }} options
 *   variant `cpu`: only what it takes to load; `cu130`: what it takes to use a GPU
 * @throws {Unavailable} naming the libraries
 */
export async function addCudaLibraries(libtorch, { env, variant }) {
  const needed = variant === 'cpu' ? 'lib/libtorch_cpu.so' : 'lib/libtorch_cuda.so';
  if (!libtorch.cuda || (await missingLibraries(join(libtorch.root, needed), env)).length === 0) return;

  const beside = dirname(libtorch.root);
  const packages = variant === 'cpu' ? NVIDIA_PACKAGES.load : NVIDIA_PACKAGES.all;
  log(`Installing NVIDIA's run-time libraries with pip (${variant === 'cpu' ? '15 MB' : 'about 2 GB'}) ...`);
  const { code, stderr } = await pipInstall(await findPip(env), env, beside, [...packages]);
  if (code !== 0) throw new Unavailable(`NVIDIA's run-time libraries: ${lastError(stderr)}`);

  if ((await missingLibraries(join(libtorch.root, needed), env)).length > 0)
    await linkIntoLib(libtorch.root, beside);
  const missing = await missingLibraries(join(libtorch.root, needed), env);
  if (missing.length > 0) throw new Unavailable(`it is a CUDA build and lacks ${missing.join(', ')}`);
}

/**
 * The libraries that a shared library needs and the loader does not find.
 *
 * @param {string} file
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<string[]>}
 */
export async function missingLibraries(file, env = process.env) {
  const { stdout } = await capture('ldd', [file], { env });
  const lines = stdout.split('\n').filter((line) => line.endsWith('=> not found'));
  return [...new Set(lines.map((line) => line.replace('=> not found', '').trim()))];
}

/**
 * For a LibTorch that only looks into its own folder.
 *
 * @param {string} root
 * @param {string} beside
 */
async function linkIntoLib(root, beside) {
  await mkdir(join(root, 'lib'), { recursive: true });
  for (const file of await readdir(join(beside, 'nvidia'), { recursive: true })) {
    if (!/(^|\/)lib\/[^/]+\.so[.\d]*$/.test(file)) continue;
    const name = String(file.split('/').at(-1));
    await symlink(join('..', '..', 'nvidia', file), join(root, 'lib', name)).catch(() => {});
  }
}
