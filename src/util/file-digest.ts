// The bytes of a file as part of a digest.
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

import { UsageError } from './errors.js';

const CHUNK = 1 << 20;

/**
 * Feeds the whole file to the hash, a chunk at a time. Throws what the file system throws.
 *
 * @throws UsageError for a pipe or a device, which may have no end
 */
export async function hashFile(hash: Hash, path: string): Promise<void> {
  const found = await stat(path);
  // The file system reports what is a folder.
  if (!found.isFile() && !found.isDirectory()) throw new UsageError(`${path} is not a regular file`);
  // A stream takes so much memory at once, however little there is to read.
  const highWaterMark = Math.max(1, Math.min(CHUNK, found.size));
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark });
  for await (const chunk of chunks) hash.update(chunk);
}
