// One run at a time in an output folder: a file in it names the process that has it.
import { lstat, open, rm, utimes, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

import { errorCode, RunError, UsageError, writeError } from './errors.js';
import { makeFolder, removeEmptyFolders } from './file-system.js';
import { isSameProcess, judgeOf, ownProcess, processId, type ProcessId } from './process-id.js';

const NAME = '.bertune.lock';

/** How long to wait for signs of life of a holder that cannot be asked, and how often one gives them. */
interface LockTimes {
  beatMs: number;
  watchMs: number;
}

const TIMES: LockTimes = { beatMs: 5_000, watchMs: 20_000 };

/** An output folder that is ours alone. */
export interface FolderLock {
  /**
   * To be called before something is written: makes sure that the folder is still ours. Where the lock is gone, as when
   * the folder was deleted, it is taken again.
   *
   * @throws RunError when another run has taken the folder over
   */
  confirm(): Promise<void>;
}

/**
 * Does some work while no other process may use the folder. Within one process locks of one folder may be nested.
 *
 * A killed process leaves its lock behind, which does not block: the kernel knows whether a process of this machine still
 * runs. One of another machine or container is watched for a while; it shows that it lives by renewing the file's time,
 * which is compared with itself only, so that clocks do not matter.
 *
 * @throws UsageError when a living run has the folder; RunError when the lock cannot be written
 */
export async function whileLocked<T>(
  folder: string,
  log: (line: string) => void,
  work: (lock: FolderLock) => Promise<T>,
  times: LockTimes = TIMES,
): Promise<T> {
  const path = join(folder, NAME);
  const own = await ownProcess();
  let firstMade: string | undefined;
  let isOutermost: boolean;
  try {
    firstMade = await makeFolder(resolve(folder));
    isOutermost = await take(path, own, { folder, log, watchMs: times.watchMs });
  } catch (error) {
    throw writeError(error, path);
  }
  const beat = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => undefined),
    times.beatMs,
  );
  beat.unref();
  try {
    return await work({ confirm: () => confirm(path, own, { folder, log }) });
  } finally {
    clearInterval(beat);
    if (isOutermost) await release(path, own);
    if (firstMade !== undefined) await removeEmptyFolders(resolve(folder), firstMade);
  }
}

/** @returns whether it was taken; otherwise this process has it already */
async function take(
  path: string,
  own: ProcessId,
  { folder, log, watchMs }: { folder: string; log: (line: string) => void; watchMs: number },
): Promise<boolean> {
  for (;;) {
    if (await create(path, own)) return true;
    const found = await look(path);
    if (found === null) continue; // let go of in this moment
    const { holder } = found;
    if (holder !== null && isSameProcess(holder, own)) return false;
    const verdict = holder === null ? 'unknown' : await judgeOf(holder, own);
    if (verdict === 'alive') throw inUse(folder, holder);
    if (verdict === 'unknown') {
      log(
        `${folder} was in use by ${named(holder)}: watching for ${Math.ceil(watchMs / 1000)} s whether it still is`,
      );
      if (await changes(path, found, watchMs)) {
        const now = await look(path);
        if (now !== null && now.holder !== null) throw inUse(folder, now.holder);
        continue;
      }
    }
    await removeIfSame(path, found);
  }
}

/** @returns false when there is a lock already */
async function create(path: string, own: ProcessId): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx');
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error; // nothing of ours is there: what has this name is another run's lock
  }
  try {
    await file.writeFile(`${JSON.stringify(own)}\n`);
  } catch (error) {
    // A lock without a holder, since the disk is full, would keep the next run waiting.
    await rm(path, { force: true }).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
  return true;
}

interface Found {
  /** Null where the file names no holder, as while it is being written. */
  holder: ProcessId | null;
  text: string;
  modified: number;
}

/**
 * Opened each time it is looked at: a network file system then asks its server.
 *
 * @returns null when there is no lock
 * @throws RunError for a link to nothing, which is neither a lock nor a free name
 */
async function look(path: string): Promise<Found | null> {
  try {
    const file = await open(path);
    try {
      const text = await file.readFile('utf8');
      const { mtimeMs } = await file.stat();
      return { holder: parsed(text), text, modified: mtimeMs };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    const entry = await lstat(path).catch(() => null);
    if (entry?.isSymbolicLink() !== true) return null;
    throw new RunError(`${path} is a symbolic link that leads nowhere; remove it`, { cause: error });
  }
}

function parsed(text: string): ProcessId | null {
  try {
    return processId.parse(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return null;
    throw error;
  }
}

async function changes(path: string, before: Found, watchMs: number): Promise<boolean> {
  const until = performance.now() + watchMs;
  while (performance.now() < until) {
    await sleep(Math.min(1000, watchMs / 10));
    if (!isUnchanged(await look(path), before)) return true;
  }
  return false;
}

function isUnchanged(now: Found | null, before: Found): boolean {
  return now !== null && now.text === before.text && now.modified === before.modified;
}

/** Another run that waited as well may have been faster: its lock stays. */
async function removeIfSame(path: string, stale: Found): Promise<void> {
  if (isUnchanged(await look(path), stale)) await rm(path, { force: true });
}

async function confirm(
  path: string,
  own: ProcessId,
  { folder, log }: { folder: string; log: (line: string) => void },
): Promise<void> {
  const found = await look(path).catch((error: unknown) => {
    throw writeError(error, path);
  });
  if (found === null) {
    log(`${folder} was deleted, or its ${NAME} was, while this run used it: making it again`);
    await takeAgain(path, own, folder);
  } else if (found.holder === null || !isSameProcess(found.holder, own))
    throw takenOver(folder, found.holder);
}

async function takeAgain(path: string, own: ProcessId, folder: string): Promise<void> {
  try {
    await makeFolder(resolve(folder));
    if (await create(path, own)) return;
  } catch (error) {
    throw writeError(error, path);
  }
  throw takenOver(folder, (await look(path))?.holder ?? null);
}

/** What cannot be removed is the lock of a process that has ended, which blocks nothing. */
async function release(path: string, own: ProcessId): Promise<void> {
  const found = await look(path).catch(() => null);
  if (found !== null && found.holder !== null && isSameProcess(found.holder, own))
    await rm(path, { force: true }).catch(() => undefined);
}

function inUse(folder: string, holder: ProcessId | null): UsageError {
  return new UsageError(
    `${folder} is in use by ${named(holder)}: wait until it has ended, or choose another outputDir`,
  );
}

function takenOver(folder: string, holder: ProcessId | null): RunError {
  return new RunError(
    `${folder} has been taken over by ${named(holder)} while this run was stopped or out of reach; it writes nothing more`,
  );
}

function named(holder: ProcessId | null): string {
  return holder === null ? 'another run' : `another run (process ${holder.pid} on ${holder.host})`;
}
