// Tells whether data files are still the same, whatever they are called and wherever they lie.
import { createHash } from 'node:crypto';

import { hashFile } from '../util/file-digest.js';
import { readError } from '../util/file-errors.js';
import { versionOf, type DataFile } from './files.js';
import { changedInUse } from './row-store.js';

/**
 * One SHA-256 over the bytes of all files, in their order.
 *
 * @throws UsageError when one cannot be read; RunError when one is no longer what it was when it was found
 */
export async function digestOf(
  files: readonly Pick<DataFile, 'path' | 'bytes' | 'version'>[],
): Promise<string> {
  const hash = createHash('sha256');
  for (const { path, bytes, version } of files) {
    hash.update(`${bytes}\n`); // so that a row that moves from one file to the next is a difference
    try {
      await hashFile(hash, path);
      // The rows were read before, so a change at any time up to here would make it the digest of other rows.
      if ((await versionOf(path)) !== version) throw changedInUse(path);
    } catch (error) {
      throw readError(error, path);
    }
  }
  return `sha256:${hash.digest('hex')}`;
}
