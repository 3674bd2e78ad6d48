// dist/: the compiled TypeScript. Compiled again only when a source has changed.
import { SetupError } from './errors.mjs';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { distDir, projectRoot } from './paths.mjs';
import { capture } from './process.mjs';
import { fingerprint, readStamp, writeStamp } from './stamp.mjs';
import { log } from './terminal.mjs';

/** Not its link in .bin, which has no ending: under the loader that test runners put into NODE_OPTIONS it does not start. */
const TSC = join(projectRoot, 'node_modules', '@typescript', 'native', 'lib', 'tsc.js');
/** Not in build/, which a rebuild of the addon empties. */
const stampFile = join(distDir, 'stamp.json');

/** Whether dist/ is up to date. A package without sources has been compiled where it was packed. */
export async function isDistReady() {
  if (!existsSync(join(distDir, 'cli.js'))) return false;
  return !hasSources() || (await readStamp(stampFile))?.['sources'] === (await sourcesHash());
}

/** Brings dist/ up to date. @throws {SetupError} with the compiler's messages */
export async function ensureDist() {
  if (await isDistReady()) return;
  if (!hasSources())
    throw new SetupError(`This package of bertune has no dist/: make it with \`npm run pack\` in a checkout`);

  if (!existsSync(TSC))
    throw new SetupError('The packages that bertune needs are not installed: run npm ci first');
  const sources = await sourcesHash();
  log('Compiling TypeScript ...');
  const { code, stdout, stderr } = await capture(process.execPath, [TSC, '-p', 'tsconfig.json'], {
    cwd: projectRoot,
  });
  if (code !== 0) throw new SetupError(`TypeScript did not compile:\n${stdout}${stderr}`);
  await writeStamp(stampFile, { sources });
}

function hasSources() {
  return existsSync(join(projectRoot, 'src'));
}

function sourcesHash() {
  return fingerprint(projectRoot, ['src', 'tsconfig.json', 'node_modules/@typescript/native/package.json']);
}
