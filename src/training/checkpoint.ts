// A folder checkpoint-N: a complete model for Hugging Face, and all that a resumed run needs, with a checksum of each file.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { writeSafetensors, type TensorData } from '../formats/safetensors.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { loadOptimizerState, tensorOf } from '../models/session.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { errorCode, UsageError, readError } from '../util/errors.js';
import { exists, hashFile, isFolder } from '../util/file-system.js';
import { writeDirectoryAtomic, writeFileAtomic, writeJson } from '../util/files.js';
import { readSmallFile } from '../util/json.js';
import { RESUME_STATE, type ResumeState } from './resume.js';
import { TRAINER_STATE, type TrainerState } from './state.js';

const OPTIMIZER = 'optimizer.safetensors';
/** What every file holds, in the format of `sha256sum -c`. */
export const SUMS = 'SHA256SUMS';

/**
 * Writes a checkpoint under a temporary name and renames it, so that a folder of this name is always whole.
 *
 * @param parts.resume what a resumed run needs beside the model; null to save the model only (HF's save_only_model)
 */
export async function saveCheckpoint(
  directory: string,
  parts: {
    model: EncoderModel;
    tokenizer: BertTokenizer;
    state: TrainerState;
    resume: ResumeState | null;
  },
): Promise<void> {
  const { model, tokenizer, state, resume } = parts;
  await writeDirectoryAtomic(directory, async (folder) => {
    await model.savePretrained(folder);
    await tokenizer.savePretrained(folder);
    await writeJson(join(folder, TRAINER_STATE), state);
    if (resume !== null) {
      await saveMoments(model, join(folder, OPTIMIZER));
      await writeJson(join(folder, RESUME_STATE), resume);
    }
    await writeChecksums(folder);
  });
}

async function saveMoments(model: EncoderModel, path: string): Promise<void> {
  const { session } = model;
  const state = await session.optimizerState();
  const layout = state.map(({ name, kind, shape }) => ({
    name: `${kind}.${name}`,
    dtype: 'F32' as const,
    shape,
  }));
  async function* moments(): AsyncGenerator<TensorData> {
    for (const info of state) yield tensorOf(session, info, info.kind);
  }
  await writeSafetensors(path, moments(), layout, { format: 'pt' });
}

/**
 * Loads weights, moments and counters of a checkpoint into an open model.
 *
 * @param at the step and the total loss that the session counts on from: those of the checkpoint, or after a rollback those
 *   that the run has reached
 * @throws UsageError for a checkpoint of another model, or one that is damaged
 */
export async function loadCheckpoint(
  directory: string,
  model: EncoderModel,
  { updates, maxTokens }: Pick<ResumeState, 'updates' | 'maxTokens'>,
  at: Pick<ResumeState, 'step' | 'totalLoss'>,
): Promise<void> {
  await model.loadWeights(directory);
  await model.session.setProgress(at.step, updates, at.totalLoss, maxTokens);
  // Before the first update an optimizer has no state.
  if (updates > 0) await loadOptimizerState(model.session, join(directory, OPTIMIZER));
}

/** Where the best checkpoint is gone, a model keeps the weights of the last step, as in HF. */
export async function loadBestWeights(
  model: EncoderModel,
  folder: string | null,
  log: (line: string) => void,
): Promise<void> {
  if (folder === null)
    log('note: no evaluation found a best model to load: the weights are those of the last step');
  else if (await isFolder(folder)) {
    log(`Loading the best model, ${folder}`);
    await model.loadWeights(folder);
  } else log(`The best model, ${folder}, is gone: keeping the weights of the last step`);
}

/** Without these there is nothing to load, or to resume; a list without them was cut off. */
const NEEDED_TO_LOAD = [
  ['model.safetensors', 'adapter_model.safetensors'], // one of them
  [TRAINER_STATE],
];
const NEEDED = { load: NEEDED_TO_LOAD, resume: [[RESUME_STATE], ...NEEDED_TO_LOAD, [OPTIMIZER]] };

/** Writes the sums of all files that the folder holds. */
export async function writeChecksums(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name !== SUMS).toSorted();
  const lines: string[] = [];
  for (const name of names) lines.push(`${await fileDigest(join(folder, name))}  ${name}\n`);
  await writeFileAtomic(join(folder, SUMS), lines.join(''));
}

/** @throws UsageError naming a file that is missing or does not hold what was written */
export async function verifyChecksums(folder: string, purpose: keyof typeof NEEDED): Promise<void> {
  const sums = await readSums(folder);
  const unlisted = NEEDED[purpose].find((names) => !sums.some(([listed]) => names.includes(listed)));
  if (unlisted !== undefined)
    throw damaged(`${join(folder, SUMS)} is damaged: it has no ${unlisted.join(' or ')}`);
  for (const [name, sum] of sums) {
    if ((await fileDigest(join(folder, name))) === sum) continue;
    throw damaged(`${join(folder, name)} is damaged: it does not hold what was written`);
  }
}

/** SHA-256 of a file in hex. @throws UsageError when it cannot be read */
async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await hashFile(hash, path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw damaged(`${path} is missing`);
    throw readError(error, path);
  }
  return hash.digest('hex');
}

async function readSums(folder: string): Promise<[name: string, sum: string][]> {
  const path = join(folder, SUMS);
  if (!(await exists(path))) throw damaged(`${path} is missing`);
  const lines = (await readSmallFile(path))
    .toString()
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => {
    // No slashes: only files of this folder. And no file that is written there has a control character in its name.
    const [, sum, name] = /^([0-9a-f]{64}) [ *]([^/\p{Cc}]+)$/u.exec(line) ?? [];
    if (sum === undefined || name === undefined) throw damaged(`${path} is damaged`);
    return [name, sum];
  });
}

function damaged(what: string): UsageError {
  return new UsageError(
    `${what}. Resume from an earlier checkpoint, or from the newest good one with resumeFromCheckpoint auto.`,
  );
}
