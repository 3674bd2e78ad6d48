// The torch wheel, installed by pip into a folder of ours: it holds a whole LibTorch.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '../setup/terminal.mjs';
import { addCudaLibraries } from './cuda.mjs';
import { Unavailable, inspect, moveIntoPlace } from './install.mjs';
import { findPip, isMissingWheel, lastError, pipInstall } from './pip.mjs';
import { PINNED } from './versions.mjs';

// The library inside is the same whichever Python a wheel is made for, and Python itself is never run.
const OTHER_PYTHONS = ['3.11', '3.12', '3.13', '3.14', '3.10'];

/**
 * @param {import('./resolve.mjs').Context} context
 * @returns {Promise<import('./install.mjs').LibTorch>}
 * @throws {Unavailable}
 */
export async function fromWheel({ env, variant, directory }) {
  const pip = await findPip(env);
  await mkdir(directory, { recursive: true });
  const staging = await mkdtemp(join(directory, 'pip-'));
  try {
    await installWheel(pip, env, variant, join(staging, 'wheel'));
    await inspect(join(staging, 'wheel', 'torch'));
    // Beside each other as in a wheel's site-packages: libtorch finds ../torch.libs and ../nvidia by relative paths.
    for (const part of ['lib', 'include']) {
      await mkdir(join(staging, 'libtorch'), { recursive: true });
      await rename(join(staging, 'wheel', 'torch', part), join(staging, 'libtorch', part));
    }
    if (existsSync(join(staging, 'wheel', 'torch.libs'))) {
      await rename(join(staging, 'wheel', 'torch.libs'), join(staging, 'torch.libs'));
    }
    await rm(join(staging, 'wheel'), { recursive: true });
    await addCudaLibraries(await inspect(join(staging, 'libtorch')), { env, variant });
    return await moveIntoPlace(staging, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/**
 * @param {import('./pip.mjs').Pip} pip
 * @param {NodeJS.ProcessEnv} env
 * @param {import('./versions.mjs').Variant} variant
 * @param {string} target
 */
async function installWheel(pip, env, variant, target) {
  log(`Installing torch ${PINNED} with pip (its libraries only, nothing outside this folder) ...`);
  // An index may carry the wanted build under its own label; the plain version is what PyPI calls its only build.
  const requirements = [`torch===${PINNED}+${variant}`, `torch===${PINNED}`];
  const pythons = [[], ...OTHER_PYTHONS.map((python) => ['--only-binary=:all:', '--python-version', python])];
  let failure = '';
  for (const args of requirements.flatMap((requirement) =>
    pythons.map((python) => python.concat(requirement)),
  )) {
    const { code, stderr } = await pipInstall(pip, env, target, ['--no-deps', ...args]);
    if (code === 0) return;
    failure = stderr;
    // Only a missing wheel is a reason to try another one; any other failure would only repeat.
    if (!isMissingWheel(stderr)) break;
  }
  throw new Unavailable(`${[pip.command, ...pip.args].join(' ')}: ${lastError(failure)}`);
}
