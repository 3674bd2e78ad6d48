// Reads a configuration file from disk.
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { UsageError, errorCode, messageOf } from '../util/errors.js';
import { readFault } from '../util/file-errors.js';
import type { ConfigFile } from './file.js';

/**
 * Reads a configuration file. Paths inside it are not looked at: like those on the command line and as in Hugging
 * Face's scripts, they are relative to the folder in which the command runs.
 *
 * @throws UsageError when it is not a .json, .yaml or .yml file, or cannot be read as UTF-8 text
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  if (!['.json', '.yaml', '.yml'].includes(extname(path).toLowerCase())) {
    throw new UsageError(
      `Expected a configuration file (.json, .yaml or .yml) but received ${path}; data is given with --train-file`,
    );
  }
  try {
    const bytes = await readFile(path);
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    throw new UsageError(`Cannot read the configuration file ${path}: ${reason(error)}`, { cause: error });
  }
}

function reason(error: unknown): string {
  if (errorCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text';
  return readFault(error) ?? messageOf(error);
}
