// Files that belong together, opened while another process may put others in their place.
import { stat } from 'node:fs/promises';

import { UsageError } from './errors.js';

const TRIES = 5;

/**
 * Opens files that belong together, and opens them again if they were replaced meanwhile.
 *
 * @param key the file that goes first and comes last when they are replaced
 * @throws UsageError when they never stay for as long as it takes, and whatever `open` throws
 */
export async function openUnchanged<T extends { close: () => Promise<void> }>(
  key: string,
  open: () => Promise<T>,
): Promise<T> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await versionOf(key);
    const opened = await open();
    if ((await versionOf(key)) === before) return opened;
    await opened.close();
  }
  throw new UsageError(
    `${key} was replaced each time that its model was opened; is something writing there?`,
  );
}

/** What is not there has one as well: `open` says what it misses. */
async function versionOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? '' : [found.dev, found.ino, found.mtimeNs].join(' ');
}
