// The PyTorch project's prebuilt archive: downloaded, checked, unpacked beside its final place, then renamed there.
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { SetupError, messageOf } from '../setup/errors.mjs';
import { megabytes, progressLine } from '../setup/terminal.mjs';
import { addCudaLibraries } from './cuda.mjs';
import { download } from './download.mjs';
import { Unavailable, inspect, moveIntoPlace } from './install.mjs';
import { ARCHIVES, ARCHIVE_HOST } from './versions.mjs';

/**
 * @param {import('./resolve.mjs').Context} context `env.BERTUNE_LIBTORCH_URL` names a mirror of the download host
 * @returns {Promise<import('./install.mjs').LibTorch>}
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

/**
 * @param {string} file
 * @param {string} folder receives the entries that `keep` accepts; yauzl refuses names that lead out of it
 * @param {(name: string) => boolean} keep
 * @throws {Unavailable} when the archive is damaged
 */
async function unzip(file, folder, keep) {
  const bar = progressLine('Unpacking LibTorch  ');
  try {
    // Imported here, so that set-up without `npm ci` gets as far as saying so.
    const { default: yauzl } = await import('yauzl');
    const zip = await yauzl.openPromise(file);
    let done = 0;
    for await (const entry of zip.eachEntry()) {
      done += entry.compressedSize;
      if (entry.fileName.endsWith('/') || !keep(entry.fileName)) continue;
      bar.update(done, zip.fileSize, megabytes(done));
      await extract(zip, entry, join(folder, entry.fileName));
    }
    bar.end();
  } catch (error) {
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`${file} cannot be unpacked: ${messageOf(error)}`);
  }
}

/**
 * @param {import('yauzl').ZipFile} zip
 * @param {import('yauzl').Entry} entry
 * @param {string} target
 */
async function extract(zip, entry, target) {
  await mkdir(dirname(target), { recursive: true });
  let sum = 0;
  await pipeline(
    await zip.openReadStreamPromise(entry),
    async function* checksum(source) {
      for await (const chunk of source) {
        sum = crc32(chunk, sum);
        yield chunk;
      }
    },
    createWriteStream(target),
  );
  if (sum !== entry.crc32) throw new Unavailable(`${entry.fileName} in the archive is damaged (CRC-32)`);
}
