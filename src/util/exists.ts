// Whether a file of a model folder is there.

import { stat } from 'node:fs/promises';
import { systemCode } from './file-errors.js';

/** Only a missing file counts as absent; one that cannot be looked at gets its error when it is opened. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => systemCode(error) !== 'ENOENT',
  );
}
