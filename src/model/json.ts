// Reads JSON files.

import { readFile } from 'node:fs/promises';
import { messageOf, UsageError } from '../errors.js';
import { readError } from '../file-errors.js';
import { oneLine } from './text.js';

/**
 * Reads and parses a JSON file.
 *
 * @throws UsageError naming the file when it cannot be read or is not JSON
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw readError(error, path);
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not valid JSON: ${oneLine(messageOf(error))}`);
  }
}
