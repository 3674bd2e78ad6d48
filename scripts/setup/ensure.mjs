// Everything that has to be there before bertune runs: LibTorch, the addon and dist/. At once when it already is.
import { join } from 'node:path';
import { ensureAddon } from './addon.mjs';
import { ensureDist } from './dist.mjs';
import { withLock } from './lock.mjs';
import { projectRoot } from './paths.mjs';

/**
 * @param {import('./addon.mjs').AddonOptions & { nativeOnly?: boolean }} [options] nativeOnly: leave dist/ alone
 * @throws {import('./errors.mjs').SetupError}
 */
export function ensureReady({ nativeOnly = false, ...options } = {}) {
  // Not in build/, which a rebuild empties.
  return withLock(join(projectRoot, '.setup.lock'), async () => {
    await ensureAddon(options);
    if (!nativeOnly) await ensureDist();
  });
}
