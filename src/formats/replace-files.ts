// A model's files take the place of an older model's together: a process that ends on the way leaves the old model, the
// new one, or a folder that cannot be loaded until a run finishes it, never a mixture.
import { lstat, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { messageOf, RunError, UsageError, writeError } from '../util/errors.js';
import { makeFolder } from '../util/file-system.js';
import { claim, fillStaged, isStaged, syncFolder, writeFileAtomic } from '../util/files.js';
import { readJson } from '../util/json.js';
import { isShardName, shardsOf } from './safetensors.js';

/** Without these neither transformers nor PEFT nor bertune take a folder for a model: they go first and come last. */
const KEYS = ['config.json', 'adapter_config.json'];

export const INDEX = 'model.safetensors.index.json';

/** What belongs to the weights of a model folder, and is wrong beside others. */
export const OF_WEIGHTS = [
  'config.json',
  'adapter_config.json',
  'model.safetensors',
  INDEX,
  'adapter_model.safetensors',
  'bertune_calibration.json',
  'bertune_reading.json',
] as const;

/** What a training leaves in its folder, and is wrong beside the model of another. */
export const OF_TRAINING = [
  ...OF_WEIGHTS,
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'trainer_state.json',
  'train_results.json',
  'eval_results.json',
  'all_results.json',
  'training_options.json',
  'report.html',
  'report.json',
  'bad_rows_train.jsonl',
  'bad_rows_validation.jsonl',
] as const;

type Replaced = (typeof OF_TRAINING)[number];

/** The new files wait in a folder whose temporary name begins so. */
const WAITING = 'model';
/** Written into it last: all new files are there, and these old ones go. */
const READY = 'bertune_replacing.json';
const readyFile = z.strictObject({
  removed: z.array(z.union([z.enum(OF_TRAINING), z.string().refine(isShardName)])),
});

interface Waiting {
  temporary: string;
  removed: readonly string[];
}

/**
 * Writes files into a folder in place of those that are there. The old ones stay as they are until all new ones are on
 * disk; the rest is renaming, which {@link finishReplacing} makes up for where the process was killed in it. What an
 * earlier process left to be finished comes first: the last one called has the last word. In a folder that is staged
 * already they are written as they are.
 *
 * @param replaced the files that go, also where there is no new one of that name; all others are left alone. With an
 *   index go the shards that it names.
 * @param fill writes the new files into the folder that it is given
 * @throws RunError when the folder cannot be written, and whatever `fill` throws
 */
export async function replaceFiles(
  directory: string,
  replaced: readonly Replaced[],
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  if (isStaged(directory)) return fill(directory);
  try {
    await makeFolder(directory);
    const [temporary] = await claim(join(directory, WAITING), (name) => mkdir(name));
    let removed: readonly string[];
    try {
      await fillStaged(temporary, fill);
      await finishReplacing(directory);
      const names = await readdir(temporary);
      const shards = replaced.includes(INDEX) ? await shardsOf(join(directory, INDEX)) : [];
      removed = [...replaced, ...shards].filter((name) => !names.includes(name));
      await requireNoFolders(directory, [...names, ...removed]);
      await writeFileAtomic(join(temporary, READY), JSON.stringify({ removed }));
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw withLastingName(error, temporary, directory);
    }
    await finish(directory, { temporary, removed });
  } catch (error) {
    throw writeError(error, directory);
  }
}

/**
 * Finishes a move of a model into a folder that was interrupted; otherwise there is nothing to do.
 *
 * @throws RunError naming the folder in which the files wait when they cannot be moved
 */
export async function finishReplacing(directory: string): Promise<void> {
  for (const waiting of await waitingIn(directory)) await finish(directory, waiting);
}

/** Whether the files of a new model wait to be moved into a folder. */
export async function isBeingReplaced(directory: string): Promise<boolean> {
  return (await waitingIn(directory)).length > 0;
}

/**
 * Makes sure that no folder has the name of a file that is to be replaced.
 *
 * @throws RunError naming the folder
 */
export async function requireNoFolders(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(directory, name);
    const entry = await lstat(path).catch(() => null); // what is amiss shows when it is written
    if (entry?.isDirectory() === true)
      throw new RunError(`${path} is a folder, but a model has a file of that name; move it away`);
  }
}

async function waitingIn(directory: string): Promise<Waiting[]> {
  const found: Waiting[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(`${WAITING}.tmp-`)) continue;
    const temporary = join(directory, name);
    const ready = readyFile.safeParse(await readJson(join(temporary, READY)).catch(nullIfUnusable));
    if (ready.success) found.push({ temporary, removed: ready.data.removed });
  }
  return found;
}

/** Not there, or not what bertune writes: nothing to finish. A disk that fails is another matter. */
function nullIfUnusable(error: unknown): null {
  if (error instanceof UsageError) return null;
  throw error;
}

async function finish(directory: string, { temporary, removed }: Waiting): Promise<void> {
  try {
    await moveInto(directory, temporary, removed);
  } catch (error) {
    throw new RunError(
      `${messageOf(writeError(error, directory))}. The files of the new model are whole in ${temporary}: ` +
        `any bertune command on the model ${directory} moves them first`,
      { cause: error },
    );
  }
}

/** Names the file that could not be written as it would have been called. */
function withLastingName(error: unknown, temporary: string, directory: string): unknown {
  if (!(error instanceof RunError)) return error;
  return new RunError(error.message.replaceAll(temporary, directory), { cause: error });
}

/** May be done again from the start, wherever it was ended. */
async function moveInto(directory: string, temporary: string, removed: readonly string[]): Promise<void> {
  const names = (await readdir(temporary)).filter((name) => name !== READY);
  const [keys, others] = [KEYS.filter((key) => names.includes(key)), names.filter((name) => !isKey(name))];
  const removedKeys = KEYS.filter((key) => keys.includes(key) || removed.includes(key));
  // An adapter loads without config.json, though without its labels: so it loses that last and gets it first.
  for (const name of [...removedKeys.toReversed(), ...removed])
    await rm(join(directory, name), { force: true });
  await syncFolder(directory);
  for (const name of others) await rename(join(temporary, name), join(directory, name));
  await syncFolder(directory);
  for (const name of keys) await rename(join(temporary, name), join(directory, name));
  await rm(join(temporary, READY));
  await rmdir(temporary);
  await syncFolder(directory);
}

function isKey(name: string): boolean {
  return KEYS.includes(name);
}
