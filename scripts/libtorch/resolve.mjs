// Finds or fetches LibTorch: its sources in the order they are tried, and the message when all of them fail.
import { SetupError } from '../setup/errors.mjs';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { commandLine } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { log } from '../setup/terminal.mjs';
import { fromArchive } from './archive.mjs';
import { Unavailable, describe, inspect } from './install.mjs';
import { ARCHIVES, ARCHIVE_HOST, PINNED, SUPPORTED_TEXT, variantFor } from './versions.mjs';
import { fromWheel } from './wheel.mjs';

/**
 * @typedef {import('./versions.mjs').Variant} Variant
 * @typedef {import('./install.mjs').LibTorch} LibTorch
 * @typedef {object} Context
 * @property {NodeJS.ProcessEnv} env
 * @property {Variant} variant the build to fetch
 * @property {string} [version] the version to prefer
 * @property {string} directory where installs go
 * @property {Readonly<Record<Variant, import('./versions.mjs').Archive>>} [archives]
 * @property {import('./download.mjs').Patience} [patience]
 * @property {{ platform: string, arch: string }} [platform]
 */

// Prints the folder of torch, without the seconds that importing it takes.
const WHERE =
  'import importlib.util as u; s = u.find_spec("torch"); print((s and s.origin and s.submodule_search_locations or [""])[0])';

/** @type {readonly { name: string, find: (context: Context) => Promise<LibTorch>, fetches: boolean }[]} */
const SOURCES = [
  { name: 'an earlier install', find: fromEarlierInstall, fetches: false },
  { name: "Python's torch", find: fromPython, fetches: false },
  { name: "the PyTorch project's archive", find: fromArchive, fetches: true },
  { name: 'pip', find: fromWheel, fetches: true },
];

/**
 * Tries LIBTORCH, an earlier install, Python's torch, the archive and pip, and logs which one it uses.
 *
 * @param {{ env: NodeJS.ProcessEnv, directory: string, variant?: Variant | undefined, version?: string | undefined }
 *   & Partial<Pick<Context, 'archives' | 'patience' | 'platform'>>} options variant: only where --variant was given;
 *   version: another one than LIBTORCH's is used only where this one cannot be fetched
 * @returns {Promise<LibTorch & { from: string }>}
 * @throws {SetupError} exit code 2 for an unusable LIBTORCH, else 1 with everything that was tried
 */
export async function resolveLibTorch({ variant: wanted, version, ...options }) {
  const { env } = options;
  if (env['LIBTORCH']) return logged(await fromVariable(env['LIBTORCH']), 'LIBTORCH');

  const { variant, reason } = wanted ? { variant: wanted, reason: '--variant' } : variantFor();
  const tried = [{ name: 'LIBTORCH', reason: 'not set' }];
  /** @type {{ found: LibTorch, name: string } | undefined} */
  let other;
  for (const { name, find, fetches } of SOURCES) {
    try {
      if (fetches) log(`Fetching LibTorch ${PINNED}, ${variant} (${reason}), from ${name} ...`);
      const found = await find({ ...options, variant, ...(version !== undefined && { version }) });
      if (wanted && !fetches && found.cuda !== (wanted !== 'cpu')) {
        throw new Unavailable(
          `${found.root} is a ${found.cuda ? 'CUDA' : 'CPU'} build, and --variant is ${wanted}`,
        );
      }
      if (version === undefined || found.version === version) return logged(found, name);
      other ??= { found, name };
      tried.push({
        name,
        reason: `${found.root} is version ${found.version}, and the prebuilt addon needs ${version}`,
      });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (fetches) log(`  failed: ${error.message}`);
      tried.push({ name, reason: error.message });
    }
  }
  if (other !== undefined) return logged(other.found, other.name);
  throw new SetupError(failure(tried, variant));
}

/** @param {string} folder */
async function fromVariable(folder) {
  try {
    return await inspect(folder);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw new SetupError(
      `LIBTORCH cannot be used: ${error.message}.\nPoint it at the folder that holds lib/ and include/, or unset it and set-up finds or fetches one.`,
      2,
    );
  }
}

/**
 * The newest usable install, one of the preferred version and of the variant first.
 *
 * @param {Context} context
 * @returns {Promise<LibTorch>}
 */
async function fromEarlierInstall({ directory, variant, version }) {
  const names = existsSync(directory) ? await readdir(directory) : [];
  const order = (/** @type {string} */ name) =>
    Number(!name.endsWith(variant === 'cpu' ? '-cpu' : '-cuda')) +
    2 * Number(version !== undefined && !name.startsWith(`${version}-`));
  const installs = names
    .filter((name) => /^\d/.test(name))
    .toSorted((a, b) => order(a) - order(b) || (a < b ? 1 : -1));
  let reason = 'none';
  for (const name of installs) {
    try {
      return await inspect(join(directory, name, 'libtorch'));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      reason = error.message;
    }
  }
  throw new Unavailable(reason);
}

/**
 * A torch that the machine's Python can import: its wheel holds a whole LibTorch.
 *
 * @param {{ env: NodeJS.ProcessEnv }} context
 * @returns {Promise<import('./install.mjs').LibTorch>}
 * @throws {Unavailable} with one reason for each Python
 */
async function fromPython({ env }) {
  const reasons = [];
  for (const python of ['python3', 'python']) {
    // From / so that a folder called torch in the current directory is not taken for the package.
    const { code, stdout, missing } = await capture(python, ['-c', WHERE], { env, cwd: '/' });
    const folder = stdout.trim();
    if (missing) reasons.push(`there is no ${python}`);
    else if (code !== 0 || folder === '') reasons.push(`${python} has no torch`);
    else {
      try {
        return await inspect(folder);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        reasons.push(error.message);
      }
    }
  }
  throw new Unavailable([...new Set(reasons)].join('; '));
}

/**
 * @param {LibTorch} libtorch
 * @param {string} from
 */
function logged(libtorch, from) {
  log(`Using ${describe(libtorch)} from ${from}: ${libtorch.root}`);
  return { ...libtorch, from };
}

/**
 * @param {readonly { name: string, reason: string }[]} tried
 * @param {Variant} variant
 */
function failure(tried, variant) {
  return [
    `No LibTorch (${SUPPORTED_TEXT}) could be found or fetched. Tried, in this order:`,
    ...tried.map(({ name, reason }, index) => `  ${index + 1}. ${name}: ${reason}`),
    '',
    'Do one of these:',
    `  - Download and unpack ${ARCHIVE_HOST}/${ARCHIVES[variant].path} yourself,`,
    `    then run: LIBTORCH=/path/to/libtorch ${commandLine('setup')}`,
    `  - Install torch for the python3 on your PATH (python3 -m pip install torch==${PINNED}), then run: ${commandLine('setup')}`,
    '  - Give this machine access to one of the two hosts: BERTUNE_LIBTORCH_URL for a mirror of the archives,',
    `    PIP_INDEX_URL or HTTPS_PROXY for pip; then run: ${commandLine('setup')}. A download resumes where it stopped.`,
  ].join('\n');
}
