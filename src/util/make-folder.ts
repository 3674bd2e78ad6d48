// mkdir -p that always returns: Node's own loops for ever where the system answers ENOENT although the parent is
// there, as /proc does.
import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it, as far as they are missing.
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
