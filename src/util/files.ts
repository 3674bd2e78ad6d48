// Writing files and folders so that a reader sees the old content or the new, never a half.

import { lstat, mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RunError, systemCode, writeError } from './errors.js';
import { makeFolder } from './file-system.js';
import { jsonText } from './json.js';

/** What a file is to hold: text (UTF-8), bytes, or a function that writes into the open file. */
export type FileContent = string | Uint8Array | ((file: FileHandle) => Promise<void>);

/** Folders being filled under a temporary name. Nobody reads them yet, so their files are written in place. */
const staged = new Set<string>();

/** Whether a folder is being filled by `fillStaged`: what is written into it needs no staging of its own. */
export function isStaged(folder: string): boolean {
  return staged.has(resolve(folder));
}

/** Fills a folder that has a temporary name, and syncs all its files to disk once it is whole. */
export async function fillStaged(folder: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const name = resolve(folder);
  staged.add(name);
  try {
    await fill(folder);
    await syncTree(folder);
  } finally {
    staged.delete(name);
  }
}

/**
 * Writes a file under a temporary name beside it, syncs it to disk and renames it into place; in a staged folder it is
 * written as it is, since the folder is synced and renamed as a whole. Missing parent folders are made. On failure
 * nothing is left behind and an older file stays as it was.
 *
 * @throws RunError naming the path and the remedy when the disk is full, read-only, or not ours to write to
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const target = resolve(path);
  try {
    if (isStaged(dirname(target))) return await fillFile(await open(target, 'w'), content, { sync: false });
    await makeFolder(dirname(target));
    const [temporary, file] = await claim(target, (name) => open(name, 'wx'));
    try {
      await fillFile(file, content, { sync: true });
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncFolder(dirname(target));
  } catch (error) {
    throw writeError(error, path);
  }
}

/** Writes an open file and closes it. */
async function fillFile(file: FileHandle, content: FileContent, { sync }: { sync: boolean }): Promise<void> {
  try {
    await (typeof content === 'function' ? content(file) : file.writeFile(content));
    if (sync) await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes a value as indented JSON. Errors as {@link writeFileAtomic}. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${jsonText(value)}\n`);
}

/**
 * Fills a new folder under a temporary name beside `directory`, syncs its files to disk and renames it into
 * place. **An older folder of that name is removed with all it holds**, after the new one is complete. On
 * failure nothing is left behind and an older folder stays as it was.
 *
 * @param fill writes the content into the temporary folder that it is given
 * @throws RunError as {@link writeFileAtomic}, and whatever `fill` throws
 */
export async function writeDirectoryAtomic(
  directory: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(directory);
  try {
    await makeFolder(dirname(target));
    const existed = await folderExists(target);
    const [temporary] = await claim(target, (name) => mkdir(name));
    try {
      await fillStaged(temporary, fill);
      await replaceDirectory(temporary, target, existed);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(dirname(target));
  } catch (error) {
    throw writeError(error, directory);
  }
}

/**
 * Removes a folder with all it holds, if there is one. It loses its name first, so that no half of it is left under it.
 */
export async function removeDirectoryAtomic(directory: string): Promise<void> {
  try {
    const [temporary] = await claim(resolve(directory), (name) => mkdir(name));
    await rename(directory, temporary).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
    await rm(temporary, { recursive: true, force: true });
  } catch (error) {
    throw writeError(error, directory);
  }
}

/** Writes all of `data` at a place in the file; one system call may write less than it was given. */
export async function writeAt(file: FileHandle, data: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < data.byteLength;) {
    const { bytesWritten } = await file.write(data, done, data.byteLength - done, position + done);
    done += bytesWritten;
  }
}

/** Makes the first of `<target>.tmp-<process id>-<0, 1, ...>` that does not exist yet. */
export async function claim<T>(
  target: string,
  make: (name: string) => Promise<T>,
): Promise<[name: string, made: T]> {
  for (let n = 0; ; n++) {
    const name = `${target}.tmp-${process.pid}-${n}`;
    try {
      return [name, await make(name)];
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
  }
}

/** A rename cannot replace a folder that holds files, so the old one steps aside until the new one is there. */
async function replaceDirectory(from: string, to: string, existed: boolean): Promise<void> {
  if (!existed) return rename(from, to);
  const old = `${from}.old`;
  await rename(to, old);
  try {
    await rename(from, to);
  } catch (error) {
    await rename(old, to);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

/** Whether the folder exists. Anything else of that name is not ours to remove. */
async function folderExists(path: string): Promise<boolean> {
  const stats = await lstat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  });
  if (stats && !stats.isDirectory())
    throw new RunError(`Could not write ${path}: it exists and is not a folder`);
  return stats !== null;
}

async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path);
  }
  await syncFolder(directory);
}

/** Makes a rename last. Some network file systems refuse to sync a folder; the rename is no less done there. */
export async function syncFolder(directory: string): Promise<void> {
  await syncPath(directory).catch(() => undefined);
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
