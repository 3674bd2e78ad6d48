// npm run pack: a tarball that installs without a compiler: dist/, and the addon prebuilt for this platform and LibTorch.
// Arguments go to npm pack, such as --pack-destination DIR.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PINNED } from './libtorch/versions.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { SetupError } from './setup/errors.mjs';
import { buildDir, prebuiltDir, projectRoot } from './setup/paths.mjs';
import { ADDON, MANIFEST, newestSymbolVersion } from './setup/prebuilt.mjs';
import { capture, runForeground } from './setup/process.mjs';
import { readStamp } from './setup/stamp.mjs';
import { log, runMain } from './setup/terminal.mjs';

await runMain(async () => {
  await ensureReady();
  await prebuild();
  return runForeground('npm', ['pack', ...process.argv.slice(2)], { cwd: projectRoot });
});

/** Installs the addon that was built into prebuilds/, from where npm packs it. */
async function prebuild() {
  const stamp = await readStamp(join(buildDir, 'addon.stamp.json'));
  if (stamp?.['version'] !== PINNED)
    throw new SetupError(
      `The package is made with LibTorch ${PINNED}, and the addon was built with ${stamp?.['version']}: set LIBTORCH to that version and run npm run pack again`,
    );
  await rm(prebuiltDir, { recursive: true, force: true });
  await mkdir(prebuiltDir, { recursive: true });
  await run('cmake', ['--install', buildDir, '--prefix', prebuiltDir, '--strip']);
  const addon = join(prebuiltDir, ADDON);
  const references = await run('objdump', ['-p', addon]);
  /** @type {import('./setup/prebuilt.mjs').Manifest} */
  const manifest = {
    libtorch: PINNED,
    glibc: newestSymbolVersion(references, 'GLIBC'),
    libstdcxx: newestSymbolVersion(references, 'GLIBCXX'),
  };
  await writeFile(join(prebuiltDir, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  log(`Prebuilt for LibTorch ${PINNED}, glibc ${manifest.glibc} and GLIBCXX_${manifest.libstdcxx}: ${addon}`);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string>} stdout
 */
async function run(command, args) {
  const { code, stdout, stderr } = await capture(command, args);
  if (code !== 0) throw new SetupError(`${command} ${args.join(' ')} failed: ${stdout}${stderr}`);
  return stdout;
}
