// The place of an install: `.libtorch/<version>-<cpu|cuda>/libtorch`, there only when it is whole.
import { chmod, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from './inspect.mjs';

/**
 * Puts a finished `staging/libtorch` and what lies beside it at its name under `directory`, in one rename.
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
