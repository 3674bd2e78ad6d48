// Everything that bertune needs before it runs: LibTorch, the addon and dist/. Returns at once where nothing is missing.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureAddon, isAddonReady } from './addon.mjs';
import { ensureDist, isDistReady } from './dist.mjs';
import { SetupError, codeOf } from './errors.mjs';
import { commandLine, projectRoot } from './paths.mjs';
import { log } from './terminal.mjs';

/**
 * @param {import('./addon.mjs').AddonOptions & { only?: 'addon' | 'dist' }} [options] `only`: do not touch the other one
 * @throws {import('./errors.mjs').SetupError}
 */
export async function ensureReady({ only, ...options } = {}) {
  // Not in build/, which a rebuild empties. Two locks, so that --help does not wait for a compiler.
  // What is up to date needs no lock, so that a package installed by root can be used by others.
  if (only !== 'dist' && !(await isAddonReady(options)))
    await withLock(join(projectRoot, '.setup.lock'), () => ensureAddon(options));
  if (only !== 'addon' && !(await isDistReady())) await withLock(join(projectRoot, '.dist.lock'), ensureDist);
}

/**
 * Runs `work` while holding a lock, a folder with the holder's process id: waits for a living holder, takes over from a dead one.
 *
 * @template T
 * @param {string} path the lock's folder
 * @param {() => Promise<T>} work
 * @param {{ pollMs?: number }} [options]
 * @returns {Promise<T>}
 */
export async function withLock(path, work, { pollMs = 500 } = {}) {
  await mkdir(dirname(path), { recursive: true });
  for (let announced = false; !(await acquire(path)); announced = true) {
    if (!announced) log('Another set-up is running in this folder; waiting for it.');
    await sleep(pollMs);
  }
  try {
    return await work();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

/** @param {string} path */
async function acquire(path) {
  try {
    await mkdir(path);
    await writeFile(join(path, 'pid'), String(process.pid));
    return true;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes(String(codeOf(error))))
      throw new SetupError(
        `No permission to write to ${dirname(path)}: run \`${commandLine('setup')}\` as the user who installed bertune`,
      );
    if (codeOf(error) !== 'EEXIST') throw error;
    const holder = Number(await readFile(join(path, 'pid'), 'utf8').catch(() => String(process.pid)));
    if (!isAlive(holder)) await rm(path, { recursive: true, force: true });
    return false;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
