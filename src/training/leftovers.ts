// What a killed process leaves in an output folder: files, checkpoints and models under the temporary names of model/.
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { errorCode } from '../util/errors.js';
import { exists } from '../util/exists.js';
import { finishReplacing } from '../formats/replace-files.js';

const FILE = /^(?<target>.+)\.tmp-(?<pid>\d+)-\d+$/s;
/** A checkpoint or model in the making, or (`.old`) a checkpoint that stepped aside for it. */
const FOLDER = /^(?<target>checkpoint-\d+|model)\.tmp-(?<pid>\d+)-\d+(?<aside>\.old)?$/;

/**
 * Finishes the model that a killed run was moving into an output folder, and removes what killed runs left unfinished
 * there. Only their temporary names are touched, and what is removed only where no process of that number runs. What
 * cannot be removed stays: it is in nobody's way. Only for a folder that is locked: another machine's processes do not
 * show.
 *
 * @throws RunError when a model that waits cannot be moved
 */
export async function removeLeftovers(outputDir: string): Promise<void> {
  await finishReplacing(outputDir);
  const entries = await readdir(outputDir, { withFileTypes: true }).catch(() => []);
  // Sorted, so that a checkpoint in the making is looked at before the one that stepped aside for it.
  const names = entries.filter((entry) => entry.isFile() || entry.isDirectory()).toSorted(byName);
  for (const entry of names) {
    const found = (entry.isDirectory() ? FOLDER : FILE).exec(entry.name)?.groups;
    if (found === undefined) continue;
    const path = join(outputDir, entry.name);
    if (await mayBeInUse(path, Number(found['pid']))) continue;
    await settle(path, join(outputDir, found['target'] ?? '')).catch(() => undefined);
  }
}

/** Killed between the two renames that replace a checkpoint: the new one was complete, so the second is made up for. */
async function settle(path: string, target: string): Promise<void> {
  const wasReplacing = (await exists(`${path}.old`)) && !(await exists(target));
  if (wasReplacing) await rename(path, target);
  else await rm(path, { recursive: true, force: true });
}

/** Containers give the same number to one process after another, so ours counts only for what is not older than we. */
async function mayBeInUse(path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return isRunning(pid);
  const { mtimeMs } = await lstat(path);
  return mtimeMs >= Date.now() - process.uptime() * 1000;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0); // signal 0 only asks
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
