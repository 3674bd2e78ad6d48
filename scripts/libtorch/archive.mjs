// The PyTorch project's prebuilt archive: downloaded, checked, unpacked beside its final place, then renamed there.
import { SetupError } from '../setup/errors.mjs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { addCudaLibraries } from './cuda.mjs';
import { download } from './download.mjs';
import { Unavailable, inspect } from './inspect.mjs';
import { moveIntoPlace } from './place.mjs';
import { ARCHIVES, ARCHIVE_HOST } from './versions.mjs';

/**
 * @param {import('./resolve.mjs').Context} context `env.BERTUNE_LIBTORCH_URL` names a mirror of the download host
 * @returns {Promise<import('./inspect.mjs').LibTorch>}
 * @throws {Unavailable}
 */
export async function fromArchive({
  env,
  variant,
  directory,
  archives = ARCHIVES,
  patience,
  platform = process,
}) {
  if (platform.platform !== 'linux' || platform.arch !== 'x64') {
    throw new Unavailable(`there is no archive for ${platform.platform} on ${platform.arch}`);
  }
  const { path, size, sha256 } = archives[variant];
  const file = join(directory, 'download', decodeURIComponent(path.slice(path.lastIndexOf('/') + 1)));
  await download({ url: `${mirror(env)}/${path}`, file, size, sha256 }, patience);

  const staging = await mkdtemp(join(directory, 'unpack-'));
  try {
    await unpack(file, staging, { env, variant });
    return await moveIntoPlace(staging, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
    await rm(join(directory, 'download'), { recursive: true, force: true });
  }
}

/**
 * @param {string} file
 * @param {string} staging
 * @param {{ env: NodeJS.ProcessEnv, variant: import('./versions.mjs').Variant }} options
 */
async function unpack(file, staging, options) {
  const { unzip } = await import('./unzip.mjs');
  // Static libraries and programs are half of what is unpacked, and nothing here uses them.
  await unzip(file, staging, (name) => /^libtorch\/(lib|include)\//.test(name) && !name.endsWith('.a'));
  await addCudaLibraries(await inspect(join(staging, 'libtorch')), options);
}

/** @param {NodeJS.ProcessEnv} env */
function mirror(env) {
  const url = env['BERTUNE_LIBTORCH_URL'] || ARCHIVE_HOST;
  if (!URL.canParse(url))
    throw new SetupError(`Expected a URL in BERTUNE_LIBTORCH_URL but received "${url}"`, 2);
  return url.replace(/\/+$/, '');
}
