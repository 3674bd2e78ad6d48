// The bytes of a file as part of a digest.
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

const CHUNK = 1 << 20;

/** Feeds the whole file to the hash, a chunk at a time. Throws what the file system throws. */
export async function hashFile(hash: Hash, path: string): Promise<void> {
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: CHUNK });
  for await (const chunk of chunks) hash.update(chunk);
}
