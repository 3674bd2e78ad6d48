// What node:fs leaves open: mkdir -p that always returns, whether a file or folder is there, hashing a file, opening files that
// another process may be replacing, and telling a file from the pointer that Git LFS puts in its place.
import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode, UsageError } from './errors.js';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/**
 * Makes a folder and those above it, as far as they are missing. Node's own recursive mkdir loops for ever where the system
 * answers ENOENT although the parent is there, as /proc does.
 *
 * @returns the topmost folder that was made; undefined when all of them were there
 * @throws the system's error, e.g. EEXIST where a file is in the way
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  if (await isFolder(path)) return undefined;
  const parent = dirname(path);
  const topmost = parent === path ? undefined : await makeFolder(parent);
  try {
    await mkdir(path);
  } catch (error) {
    if (!(await isFolder(path))) throw error; // otherwise another process was faster
  }
  return topmost ?? path;
}

/** Removes `folder` and the folders above it up to `first`, as far as they are empty. */
export async function removeEmptyFolders(folder: string, first: string): Promise<void> {
  const removed = await rmdir(folder).then(
    () => true,
    () => false,
  );
  if (removed && folder !== first) await removeEmptyFolders(dirname(folder), first);
}

/** Whether two paths lead to one folder, by whatever links. */
export async function isSameFolder(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all(
    [a, b].map((path) => stat(path, { bigint: true }).catch(() => null)),
  );
  return one?.ino !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** Whether there is a folder of this name. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}

/** Only a missing file counts as absent; one that cannot be looked at gets its error when it is opened. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => systemCode(error) !== 'ENOENT',
  );
}

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

const TRIES = 5;

/**
 * Opens files that belong together, and opens them again if they were replaced meanwhile.
 *
 * @param key the file that goes first and comes last when they are replaced
 * @throws UsageError when they never stay for as long as it takes, and whatever `open` throws
 */
export async function openUnchanged<T extends { close: () => Promise<void> }>(
  key: string,
  open: () => Promise<T>,
): Promise<T> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await versionOf(key);
    const opened = await open();
    if ((await versionOf(key)) === before) return opened;
    await opened.close();
  }
  throw new UsageError(
    `${key} was replaced each time that its model was opened; is something writing there?`,
  );
}

/** A missing file has a version as well: `open` reports it. */
async function versionOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? '' : [found.dev, found.ino, found.mtimeNs].join(' ');
}

/** The longest pointer of Git LFS, by its specification. */
export const MOST_POINTER_BYTES = 1024;

/**
 * Throws where a file is a pointer of Git LFS: a clone without LFS, and many downloads, have it in place of the content.
 *
 * @param head the whole file or its first bytes
 * @throws UsageError that says what to do
 */
export function requireNoPointer(head: Uint8Array, path: string): void {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, MOST_POINTER_BYTES)).toString(
    'latin1',
  );
  if (!text.startsWith('version https://git-lfs.github.com/spec/')) return;
  const size = /^size (\d+)$/m.exec(text)?.[1];
  const bytes = size === undefined ? '' : ` of ${size} bytes`;
  throw new UsageError(
    `${path} is a pointer of Git LFS, not the file${bytes} itself; run "git lfs pull" in its repository, or download the file`,
  );
}
