// Reads the JSON files of a model folder, which others wrote.

import { open, stat } from 'node:fs/promises';
import { messageOf, UsageError } from './errors.js';
import { readError } from './file-errors.js';
import { jsonExcess } from './json-limits.js';
import { oneLine } from './text.js';

/** The largest file that is read as a whole; tokenizer.json of the largest vocabularies has half of it. */
const MAX_BYTES = 32 * 2 ** 20;
/** What is out of a double's range, among others. */
const PERHAPS_HUGE = /\d[eE]\+?\d{3}|\d{309}/;

/**
 * Reads a file that has to fit in memory: a regular one of at most 32 MiB.
 *
 * @throws UsageError naming the file when it cannot be read, is a folder, a pipe or a device, or is too large
 */
export async function readSmallFile(path: string): Promise<Buffer> {
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const { size } = await regularFile(path);
    const file = await open(path);
    try {
      // Not readFile, which reads for as long as there is something.
      const bytes = Buffer.alloc(size);
      const { bytesRead } = await file.read(bytes, 0, size, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw readError(error, path);
  }
}

/**
 * Reads and parses a JSON file. Nesting deeper than 128 levels, more than a million values and numbers that no double
 * holds are refused.
 *
 * @throws UsageError naming the file when it cannot be read or is not JSON
 */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readSmallFile(path), path);
}

/** @throws UsageError naming the file when the bytes are not JSON, or more of it than {@link readJson} allows */
export function parseJson(bytes: Buffer, path: string): unknown {
  const excess = jsonExcess(bytes);
  if (excess !== null) throw new UsageError(`${path} is not usable: ${excess}`);
  const text = bytes.toString('utf8');
  const value = parsed(text, path);
  if (PERHAPS_HUGE.test(text) && holdsInfinity(value))
    throw new UsageError(`${path} is not usable: it has a number that is out of range`);
  return value;
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not valid JSON: ${oneLine(messageOf(error))}`);
  }
}

/** JSON.parse makes Infinity of what no double holds, and it would be saved as null; serde_json refuses it, too. */
function holdsInfinity(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(holdsInfinity);
  return value === Infinity || value === -Infinity;
}

async function regularFile(path: string): Promise<{ size: number }> {
  const stats = await stat(path);
  if (stats.isDirectory()) throw new UsageError(`${path} is a folder, not a file`);
  if (!stats.isFile()) throw new UsageError(`${path} is not a regular file`);
  if (stats.size > MAX_BYTES)
    throw new UsageError(`${path} has ${stats.size} bytes; such a file has at most ${MAX_BYTES}`);
  return stats;
}
