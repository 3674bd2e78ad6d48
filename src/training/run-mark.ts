// Which training an output folder is at, where it holds checkpoints of several: a later one may end before its first
// checkpoint, or have those of an earlier one, with higher steps, beside its own.
import { join } from 'node:path';

import { z } from 'zod';

import { UsageError } from '../util/errors.js';
import { listCheckpoints } from '../formats/model-folder.js';
import { readJson } from '../util/json.js';
import { writeJson } from '../util/files.js';
import { RESUME_STATE } from './saved-state.js';

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
export async function checkpointsOf(outputDir: string): Promise<{ own: string[]; others: string[] }> {
  const { folders, current, runs } = await runsIn(outputDir);
  // Of which one a damaged checkpoint is nobody knows: it is told of when it would be the newest.
  const isOwn = (i: number): boolean => current === null || runs[i] === null || runs[i] === current;
  return {
    own: folders.filter((_, i) => isOwn(i)),
    others: folders.filter((_, i) => !isOwn(i)),
  };
}

/** @throws UsageError when another training has replaced the checkpoint with its own of that step */
export async function requireOfRun(folder: string, run: string | undefined): Promise<void> {
  const other = await runOf(stateIn(folder));
  if (run !== undefined && other !== null && other !== run)
    throw new UsageError(`${folder} is a checkpoint of another training by now.`);
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
