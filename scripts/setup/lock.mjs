// One set-up at a time in one checkout: a folder is the lock, the process id in it says whose.
import { codeOf } from './errors.mjs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './terminal.mjs';

/**
 * Runs `work` while holding the lock; waits for another living holder, takes over from a dead one.
 *
 * @template T
 * @param {string} path the lock's folder
 * @param {() => Promise<T>} work
 * @param {{ pollMs?: number }} [options]
 * @returns {Promise<T>}
 */
export async function withLock(path, work, { pollMs = 500 } = {}) {
  await mkdir(dirname(path), { recursive: true });
  for (let told = false; !(await take(path)); told = true) {
    if (!told) say('Another set-up is running in this folder; waiting for it.');
    await sleep(pollMs);
  }
  try {
    return await work();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

/** @param {string} path */
async function take(path) {
  try {
    await mkdir(path);
    await writeFile(join(path, 'pid'), String(process.pid));
    return true;
  } catch (error) {
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
