// The checkpoints of a training in its output folder, by their names: checkpoint-500 is that of step 500.
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** The folders checkpoint-N of an output folder, oldest first. */
export async function listCheckpoints(outputDir: string): Promise<string[]> {
  const names = await readdir(outputDir).catch(() => []);
  return names
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .toSorted((a, b) => stepOf(a) - stepOf(b))
    .map((name) => join(outputDir, name));
}

/** The step of a folder checkpoint-N. */
export function stepOf(folder: string): number {
  return Number(basename(folder).slice('checkpoint-'.length));
}
