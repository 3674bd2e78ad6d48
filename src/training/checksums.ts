// SHA256SUMS: what every file of a checkpoint holds, in the format of `sha256sum -c`.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { errorCode, UsageError } from '../util/errors.js';
import { hashFile } from '../util/file-digest.js';
import { readError } from '../util/file-errors.js';
import { exists } from '../util/exists.js';
import { readSmallFile } from '../util/json.js';
import { writeFileAtomic } from '../util/files.js';

const SUMS = 'SHA256SUMS';
/** Without these there is nothing to load, or to resume; a list without them was cut off. */
const NEEDED_TO_LOAD = [
  ['model.safetensors', 'adapter_model.safetensors'], // one of them
  ['trainer_state.json'],
];
const NEEDED = {
  load: NEEDED_TO_LOAD,
  resume: [['bertune_state.json'], ...NEEDED_TO_LOAD, ['optimizer.safetensors']],
};

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
    `${what}. Resume from an earlier checkpoint, or from the newest good one with --resume-from-checkpoint auto.`,
  );
}
