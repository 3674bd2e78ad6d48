// Tells whether data files are still the same, whatever they are called and wherever they lie.
import { createHash } from 'node:crypto';

import { hashFile } from '../file-digest.js';
import { readError } from '../file-errors.js';

/** One SHA-256 over the bytes of all files, in their order. @throws UsageError when one cannot be read */
export async function digestOf(files: readonly { path: string; bytes: number }[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { path, bytes } of files) {
    hash.update(`${bytes}\n`); // so that a row that moves from one file to the next is a difference
    await hashFile(hash, path).catch((error: unknown) => {
      throw readError(error, path);
    });
  }
  return `sha256:${hash.digest('hex')}`;
}
