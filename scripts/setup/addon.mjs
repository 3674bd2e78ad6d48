// The native addon: prebuilt, or built by cmake-js against the LibTorch found; again only when that or a source has changed.
import { SetupError } from './errors.mjs';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from '../libtorch/install.mjs';
import { resolveLibTorch } from '../libtorch/resolve.mjs';
import { buildDir, commandLine, isInstalled, libtorchDir, prebuiltDir, projectRoot } from './paths.mjs';
import { ADDON, glibcProblem, installPrebuilt, loaderProblem, readManifest } from './prebuilt.mjs';
import { capture } from './process.mjs';
import { fingerprint, readStamp, writeStamp } from './stamp.mjs';
import { buildProgress, log } from './terminal.mjs';

const STAMP = 'addon.stamp.json';
const SOURCES = ['native', 'CMakeLists.txt', 'node_modules/node-addon-api/package.json'];
// A file that includes LibTorch's headers needs this much memory to compile.
const BYTES_PER_JOB = 2e9;

/**
 * @typedef {object} AddonOptions
 * @property {import('../libtorch/versions.mjs').Variant | undefined} [variant] the value of --variant
 * @property {boolean} [verbose] print the output of the whole build
 * @property {boolean} [tests] build the operators' test program too
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [out] the build folder; the addon is `<out>/Release/bertune.node`
 */

/**
 * Whether the addon is up to date; nothing is written.
 *
 * @param {AddonOptions} options
 */
export async function isAddonReady(options) {
  return (await stateOf(options)).isReady;
}

/**
 * Brings the addon up to date, LibTorch included: the prebuilt one where it fits this machine, else one that is built here.
 *
 * @param {AddonOptions} [options]
 * @throws {SetupError}
 */
export async function ensureAddon(options = {}) {
  const { variant, verbose = false, tests = false, env = process.env, out = buildDir } = options;
  const { sources, previous, isReady } = await stateOf(options);
  if (isReady) return;

  // In a checkout it may be older than the sources.
  const manifest = isInstalled ? await readManifest(prebuiltDir) : null;
  let problem = manifest && glibcProblem(manifest);
  const version = manifest && problem === null ? manifest.libtorch : undefined;
  const libtorch =
    previous || (await resolveLibTorch({ env, variant, version, directory: libtorchDir(env) }));
  const stampFile = join(out, STAMP);
  await rm(stampFile, { force: true });
  const stamp = { libtorch: libtorch.root, version: libtorch.version, from: libtorch.from, sources };
  if (manifest && problem === null) {
    problem = await tryPrebuilt(manifest, { out, libtorch });
    if (problem === null) return writeStamp(stampFile, stamp);
  }
  const why = problem === null ? '' : `The prebuilt addon does not fit: ${problem}.`;
  await checkTools(env, why);
  if (why !== '') log(`${why} It is built on this machine instead.`);
  // cmake-js passes its options to CMake only for a new build folder.
  const command = (await configuredLibTorch(out)) === libtorch.root ? 'build' : 'rebuild';
  await compile(command, libtorch.root, { out, tests, verbose, env });
  await checkLoads(join(out, 'Release', ADDON), libtorch);
  await writeStamp(stampFile, stamp);
}

/**
 * @param {AddonOptions} options
 * @returns {Promise<{ sources: string, previous: Awaited<ReturnType<typeof previousLibTorch>>, isReady: boolean }>}
 *   sources: a hash of what the addon is made from; previous: the LibTorch of the last set-up, if it can stay
 */
async function stateOf({ variant, tests = false, env = process.env, out = buildDir }) {
  const sources = await fingerprint(projectRoot, SOURCES);
  const stamp = await readStamp(join(out, STAMP));
  const programs = [join('Release', ADDON), ...(tests ? ['operators_test'] : [])];
  const isBuilt = programs.every((name) => existsSync(join(out, name)));
  const previous = stamp && (await previousLibTorch(stamp, { variant, env }));
  return { sources, previous, isReady: isBuilt && previous !== null && stamp?.['sources'] === sources };
}

/**
 * @param {import('./prebuilt.mjs').Manifest} manifest
 * @param {{ out: string, libtorch: import('../libtorch/install.mjs').LibTorch }} options
 * @returns {Promise<string | null>} why it cannot be used; null when it is in place
 */
async function tryPrebuilt(manifest, { out, libtorch }) {
  if (libtorch.version !== manifest.libtorch)
    return `it is for LibTorch ${manifest.libtorch}, and ${libtorch.root} is ${libtorch.version}`;
  await installPrebuilt(prebuiltDir, out, libtorch.root);
  const message = await loadError(join(out, 'Release', ADDON));
  return message === null ? null : loaderProblem(message, manifest);
}

/**
 * The LibTorch of the last build, unless it is gone, has changed, or another one is requested.
 *
 * @param {Record<string, string>} stamp
 * @param {{ variant: AddonOptions['variant'], env: NodeJS.ProcessEnv }} options
 */
async function previousLibTorch({ libtorch: root = '', version, from = '' }, { variant, env }) {
  const found = await inspect(root).catch(() => null);
  if (!found || found.version !== version || (variant && found.cuda !== (variant !== 'cpu'))) return null;
  const named = env['LIBTORCH'] ? await inspect(env['LIBTORCH']).catch(() => null) : null;
  const sameChoice = env['LIBTORCH'] ? named?.root === root : from !== 'LIBTORCH';
  return sameChoice ? { ...found, from } : null;
}

/**
 * The LibTorch that CMake knows of in a build folder, whether or not that build ended well.
 *
 * @param {string} out
 */
async function configuredLibTorch(out) {
  const cache = await readFile(join(out, 'CMakeCache.txt'), 'utf8').catch(() => '');
  return /^LIBTORCH:PATH=(.*)$/m.exec(cache)?.[1];
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} why no prebuilt addon is used; may be empty
 */
async function checkTools(env, why) {
  const tools = { cmake: 'cmake', 'g++': env['CXX'] ?? 'c++' };
  const missing = [];
  for (const [name, command] of Object.entries(tools)) {
    if ((await capture(command, ['--version'], { env })).missing) missing.push(name);
  }
  const ninja = await capture('ninja', ['--version'], { env });
  if (ninja.missing && (await capture('make', ['--version'], { env })).missing) missing.push('make');
  if (missing.length > 0) {
    throw new SetupError(`${why === '' ? '' : `${why} `}The addon has to be built on this machine, and these tools are missing: ${missing.join(', ')}.
On Debian or Ubuntu: apt-get install -y cmake g++ make
Then run: ${commandLine('setup')}`);
  }
}

/**
 * @param {'build' | 'rebuild'} command
 * @param {string} libtorch
 * @param {Required<Pick<AddonOptions, 'out' | 'tests' | 'verbose' | 'env'>>} options
 */
async function compile(command, libtorch, { out, tests, verbose, env }) {
  const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / BYTES_PER_JOB)));
  const cmakeJs = fileURLToPath(import.meta.resolve('cmake-js/bin/cmake-js'));
  const target = tests ? 'addon_and_tests' : 'bertune';
  const args = [cmakeJs, command, '--out', out, '--target', target];
  args.push('--parallel', String(jobs), `--CDLIBTORCH=${libtorch}`);
  log('Building the native addon (some minutes the first time) ...');
  const progress = verbose ? null : buildProgress();
  const { code, stdout, stderr } = await capture(process.execPath, args, {
    cwd: projectRoot,
    env,
    onLine: (line) => (progress ? progress.read(line) : log(line)),
  });
  progress?.end();
  const logFile = join(out, 'build.log');
  await mkdir(out, { recursive: true });
  await rm(logFile, { force: true });
  await appendFile(logFile, stdout + stderr);
  if (code !== 0) throw new SetupError(`The native addon did not build. ${await excerpt(logFile)}`);
  const warnings = stdout
    .split('\n')
    .filter((line) => line.includes('warning:') && line.includes(`${projectRoot}/native/`));
  for (const warning of warnings) log(warning);
}

/**
 * The part of a build log worth showing: the first errors, else its end.
 *
 * @param {string} logFile
 */
async function excerpt(logFile) {
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  const errors = lines.filter((line) => /\berror:|CMake Error|FATAL_ERROR/.test(line)).slice(0, 10);
  return `From the log ${logFile}:\n${(errors.length > 0 ? errors : lines.slice(-20)).join('\n')}`;
}

/**
 * Loads the new addon once, so that a missing library is found now and not in the training.
 *
 * @param {string} addon
 * @param {import('../libtorch/install.mjs').LibTorch} libtorch
 */
async function checkLoads(addon, libtorch) {
  const reason = await loadError(addon);
  if (reason === null) return;
  throw new SetupError(`The native addon was built but does not load: ${reason}
It was built against ${libtorch.root}. ${libtorch.cuda ? "A CUDA build needs NVIDIA's run-time libraries beside it; " : ''}
${commandLine('setup --variant cpu')} fetches a CPU build that needs nothing else.`);
}

/**
 * What the dynamic loader says of an addon, in a process of its own; null when it loads.
 *
 * @param {string} addon
 */
async function loadError(addon) {
  const load = 'process.dlopen({ exports: {} }, process.argv[1])';
  const { code, stderr } = await capture(process.execPath, ['--eval', load, addon]);
  return code === 0 ? null : (/Error: (.*)/.exec(stderr)?.[1] ?? stderr.trim());
}
