// Everything that has to be there before bertune runs: LibTorch, the addon and dist/. At once when it already is.
import { join } from 'node:path';
import { ensureAddon } from './addon.mjs';
import { ensureDist } from './dist.mjs';
import { withLock } from './lock.mjs';
import { projectRoot } from './paths.mjs';

/**
 * @param {import('./addon.mjs').AddonOptions & { only?: 'addon' | 'dist' }} [options] `only`: leave the rest alone
 * @throws {import('./errors.mjs').SetupError}
 */
export async function ensureReady({ only, ...options } = {}) {
  // Not in build/, which a rebuild empties. Two locks: who asks for --help does not wait for a compiler.
  if (only !== 'dist') await withLock(join(projectRoot, '.setup.lock'), () => ensureAddon(options));
  if (only !== 'addon') await withLock(join(projectRoot, '.dist.lock'), ensureDist);
}
