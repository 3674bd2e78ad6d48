// What a folder has to hold to be a LibTorch that the addon can be built against.
import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { SUPPORTED_TEXT, isSupported } from './versions.mjs';

/**
 * @typedef {{ root: string, version: string, cuda: boolean }} LibTorch
 *   root: the folder that holds lib/ and include/; cuda: a CUDA build (which runs on the CPU as well)
 */

/** Why a way of getting LibTorch did not lead to one: a short clause for the list a person reads. */
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
