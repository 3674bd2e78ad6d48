// A LibTorch on disk: what makes a folder one, and how a new one gets to its final name.
import { existsSync } from 'node:fs';
import { chmod, readFile, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SUPPORTED_TEXT, isSupported } from './versions.mjs';

/**
 * @typedef {{ root: string, version: string, cuda: boolean }} LibTorch
 *   root: the folder that holds lib/ and include/; cuda: a CUDA build (which runs on the CPU as well)
 */

/** Why a source of LibTorch has none to offer: a short clause for the list in the final message. */
export class Unavailable extends Error {}

/**
 * Looks at a folder without loading anything from it.
 *
 * @param {string} folder
 * @returns {Promise<LibTorch>}
 * @throws {Unavailable} naming what is missing
 */
export async function inspect(folder) {
  if (!existsSync(folder)) throw new Unavailable(`${folder} does not exist`);
  for (const part of ['lib/libtorch_cpu.so', 'lib/libc10.so', 'include/torch/headeronly/version.h']) {
    if (!existsSync(join(folder, part))) throw new Unavailable(`${folder} holds no ${part}`);
  }
  const root = await realpath(folder);
  const header = await readFile(join(root, 'include/torch/headeronly/version.h'), 'utf8');
  const part = (/** @type {string} */ name) =>
    new RegExp(`define TORCH_VERSION_${name} (\\d+)`).exec(header)?.[1];
  const version = `${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
  if (!isSupported(version)) {
    throw new Unavailable(`${folder} is version ${version}, and bertune supports ${SUPPORTED_TEXT}`);
  }
  return { root, version, cuda: existsSync(join(root, 'lib/libtorch_cuda.so')) };
}

/** @param {LibTorch} libtorch */
export function describe({ version, cuda }) {
  return `LibTorch ${version} (${cuda ? 'CUDA' : 'CPU'} build)`;
}

/**
 * Moves a complete `staging/libtorch` and what is beside it to `.libtorch/<version>-<cpu|cuda>/`, in one rename.
 *
 * @param {string} staging
 * @param {string} directory
 */
export async function moveIntoPlace(staging, directory) {
  const { version, cuda } = await inspect(join(staging, 'libtorch'));
  const place = join(directory, `${version}-${cuda ? 'cuda' : 'cpu'}`);
  await rm(place, { recursive: true, force: true });
  // mkdtemp makes folders that only their owner can enter.
  await chmod(staging, 0o755);
  await rename(staging, place);
  return await inspect(join(place, 'libtorch'));
}
