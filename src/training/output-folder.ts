// What an output folder holds: the checkpoints of this training and of others, which of them a run is resumed from, which
// are removed, and what killed processes left.
import { lstat, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';

import { finishReplacing } from '../formats/replace-files.js';
import { listCheckpoints, stepOf } from '../formats/model-folder.js';
import { errorCode, UsageError } from '../util/errors.js';
import { exists, isFolder } from '../util/file-system.js';
import { removeDirectoryAtomic, writeJson } from '../util/files.js';
import { readJson } from '../util/json.js';
import { verifyChecksums } from './checkpoint.js';
import { readSavedRun, RESUME_STATE } from './resume.js';

/** Resume from the newest complete checkpoint, or else start from the beginning. */
export const AUTO = 'auto';

/**
 * The checkpoint to resume from, with every byte checked. `auto` takes, of the training that the folder is at, the newest
 * that is whole, and logs why it skips the others.
 *
 * @param options.needsBest whether the best checkpoint so far, too, must be whole, since it is loaded at the end
 * @returns null for `auto` where there is none, so that the run starts at the beginning
 * @throws UsageError as `findCheckpoint`, and for a damaged checkpoint that was named
 */
export async function intactCheckpoint(
  outputDir: string,
  request: string | true,
  options: { needsBest: boolean; log: (line: string) => void },
): Promise<string | null> {
  const { needsBest, log } = options;
  const checked = async (wanted: string | true): Promise<string> => {
    const folder = await findCheckpoint(outputDir, wanted);
    await verifyChecksums(folder, 'resume');
    if (needsBest) await verifyBest(folder);
    return folder;
  };
  if (request !== AUTO) return checked(request);
  const { own, others } = await checkpointsOf(outputDir);
  for (const folder of own.toReversed()) {
    try {
      return await checked(folder);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      log(`Skipping ${folder}, which cannot be resumed: ${error.message}`);
    }
  }
  const last = others.at(-1);
  log(
    last === undefined
      ? `${outputDir} has no checkpoint to resume from: starting at the beginning`
      : `The latest training in ${outputDir} has no checkpoint to resume from: starting at the beginning. ` +
          `To resume an earlier one, name its checkpoint: resumeFromCheckpoint ${last}`,
  );
  return null;
}

/** @throws UsageError when there is none of the training that the folder is at */
async function newestOf(outputDir: string): Promise<string> {
  const { own, others } = await checkpointsOf(outputDir);
  const found = own.at(-1);
  if (found !== undefined) return found;
  const other = others.at(-1);
  throw new UsageError(
    other === undefined
      ? `${outputDir} has no checkpoint-N folder to resume from; leave resumeFromCheckpoint out`
      : `The latest training in ${outputDir} has no checkpoint to resume from; leave resumeFromCheckpoint ` +
          `out, or name one of an earlier training, such as ${other}`,
  );
}

async function verifyBest(folder: string): Promise<void> {
  const { state, resume } = await readSavedRun(folder);
  const { best_model_checkpoint: best } = state;
  if (best === null || basename(best) === basename(folder)) return;
  try {
    await verifyChecksums(best, 'load');
    await requireOfRun(best, resume.run);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `${folder} needs the best checkpoint so far, ${best}, which is to be loaded at the end; but ${error.message} ` +
        'Or leave loadBestModelAtEnd out.',
      { cause: error },
    );
  }
}

/**
 * The folder to resume from: the one given, or for `true` the newest of the training that the output folder is at.
 *
 * @throws UsageError when there is none, or it is no checkpoint of bertune
 */
export async function findCheckpoint(outputDir: string, request: string | true): Promise<string> {
  const found = request === true ? await newestOf(outputDir) : request;
  if (!(await isFolder(found))) throw new UsageError(`There is no checkpoint folder ${found} to resume from`);
  const isOurs = await stat(join(found, RESUME_STATE)).catch(() => null);
  if (isOurs === null)
    throw new UsageError(
      `${found} is not a checkpoint of bertune: it has no ${RESUME_STATE}, or was saved with saveOnlyModel. Name a checkpoint-N folder, or start ` +
        `a new run from its weights, with ${found} as its model`,
    );
  return found;
}

/** A note on the checkpoints of an earlier training, for a run that starts at the first step; null where there are none. */
export async function olderCheckpointsNote(outputDir: string, saveStrategy: string): Promise<string | null> {
  const last = (await listCheckpoints(outputDir)).at(-1);
  if (last === undefined) return null;
  const consequence =
    saveStrategy === 'no'
      ? 'which resumeFromCheckpoint resumes. '
      : 'those of the same steps will be replaced, and to resume another one resumeFromCheckpoint must name it. ';
  return (
    `note: ${outputDir} holds checkpoints of an earlier training, the last at ${basename(last)}; ${consequence}` +
    'Remove them, or choose another output folder.'
  );
}

/**
 * Removes the oldest checkpoints beyond the limit, but never the best one, nor the one just written, nor the last from
 * which the run can be resumed where only the model is saved (HF: save_total_limit). Checkpoints of a later step are another
 * run's: they stay and do not count.
 */
export async function removeOldCheckpoints(
  outputDir: string,
  limit: number,
  keep: { newest: string; best: string | null; resumable: string | null },
): Promise<void> {
  const own = [keep.newest, keep.best, keep.resumable].filter((folder) => folder !== null);
  const retained = new Set(own.filter((folder) => isIn(outputDir, folder)).map((folder) => basename(folder)));
  const step = stepOf(keep.newest);
  const removable = (await listCheckpoints(outputDir)).filter(
    (folder) => stepOf(folder) < step && !retained.has(basename(folder)),
  );
  const surplus = Math.max(removable.length + retained.size - limit, 0);
  for (const folder of removable.slice(0, surplus)) await removeDirectoryAtomic(folder);
}

/** A run may have been resumed from a checkpoint that lies elsewhere. */
function isIn(outputDir: string, folder: string): boolean {
  return resolve(dirname(folder)) === resolve(outputDir);
}

/**
 * Which training an output folder is at, where it holds checkpoints of several: a later one may end before its first
 * checkpoint, or have those of an earlier one, with higher steps, beside its own.
 */
const MARK = 'bertune_run.json';
const withRun = z.object({ run: z.string() });

/**
 * Notes that the folder is at this training, unless it has never been at another.
 *
 * @param run its id, which is in its checkpoints too
 */
export async function markRun(outputDir: string, run: string): Promise<void> {
  const { current, runs } = await runsIn(outputDir);
  const isAlone = runs.every((each) => each === null || each === run); // null: of a model alone, or damaged
  if (current === run || (current === null && isAlone)) return;
  await writeJson(join(outputDir, MARK), { run });
}

/** The checkpoints in a folder, by step: of the training that it is at (all where there is no mark), and of others. */
async function checkpointsOf(outputDir: string): Promise<{ own: string[]; others: string[] }> {
  const { folders, current, runs } = await runsIn(outputDir);
  // The run of a damaged checkpoint is unknown: it counts, so that a message names it when it would be the newest.
  const isOwn = (i: number): boolean => current === null || runs[i] === null || runs[i] === current;
  return {
    own: folders.filter((_, i) => isOwn(i)),
    others: folders.filter((_, i) => !isOwn(i)),
  };
}

/** @throws UsageError when another training has replaced the checkpoint with its own of that step */
async function requireOfRun(folder: string, run: string | undefined): Promise<void> {
  const other = await runOf(stateIn(folder));
  if (run !== undefined && other !== null && other !== run)
    throw new UsageError(`${folder} now belongs to another training.`);
}

/** The checkpoints of a folder, the training of each, and the one that the mark names; null where it is not known. */
async function runsIn(
  outputDir: string,
): Promise<{ folders: string[]; current: string | null; runs: (string | null)[] }> {
  const folders = await listCheckpoints(outputDir);
  const current = await runOf(join(outputDir, MARK));
  return { folders, current, runs: await Promise.all(folders.map((folder) => runOf(stateIn(folder)))) };
}

function stateIn(folder: string): string {
  return join(folder, RESUME_STATE);
}

async function runOf(path: string): Promise<string | null> {
  const parsed = withRun.safeParse(await readJson(path).catch(() => null));
  return parsed.success ? parsed.data.run : null;
}

const FILE = /^(?<target>.+)\.tmp-(?<pid>\d+)-\d+$/s;
/** A checkpoint or model in the making, or (`.old`) a checkpoint that stepped aside for it. */
const FOLDER = /^(?<target>checkpoint-\d+|model)\.tmp-(?<pid>\d+)-\d+(?<aside>\.old)?$/;

/**
 * Finishes the model that a killed run was moving into an output folder, and removes what killed runs left unfinished
 * there. Only their temporary names are touched, and what is removed only where no process of that number runs. What
 * cannot be removed stays, and does no harm. Only for a folder that is locked: another machine's processes do not
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
    await finishOrRemove(path, join(outputDir, found['target'] ?? '')).catch(() => undefined);
  }
}

/** Killed between the two renames that replace a checkpoint: the new one was complete, so the second is done now. */
async function finishOrRemove(path: string, target: string): Promise<void> {
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
