// Finds or fetches LibTorch: the ways in the order they are tried, and the message when none of them works.
import { SetupError } from '../setup/errors.mjs';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { say } from '../setup/terminal.mjs';
import { fromArchive } from './archive.mjs';
import { Unavailable, describe, inspect } from './inspect.mjs';
import { fromPython } from './python.mjs';
import { variantFor } from './variant.mjs';
import { ARCHIVES, ARCHIVE_HOST, PINNED, SUPPORTED_TEXT } from './versions.mjs';
import { fromWheel } from './wheel.mjs';

/**
 * @typedef {import('./versions.mjs').Variant} Variant
 * @typedef {import('./inspect.mjs').LibTorch} LibTorch
 * @typedef {object} Context
 * @property {NodeJS.ProcessEnv} env
 * @property {Variant} variant the build to fetch
 * @property {string} directory where installs go (.libtorch)
 * @property {Readonly<Record<Variant, import('./versions.mjs').Archive>>} [archives]
 * @property {import('./download.mjs').Patience} [patience]
 * @property {{ platform: string, arch: string }} [platform]
 */

/** @type {readonly { name: string, find: (context: Context) => Promise<LibTorch>, fetches: boolean }[]} */
const WAYS = [
  { name: 'an earlier install under .libtorch/', find: fromEarlierInstall, fetches: false },
  { name: "Python's torch", find: fromPython, fetches: false },
  { name: "the PyTorch project's archive", find: fromArchive, fetches: true },
  { name: 'pip', find: fromWheel, fetches: true },
];

/**
 * Tries LIBTORCH, an earlier install, Python's torch, the archive and pip, and says which one it took.
 *
 * @param {{ env: NodeJS.ProcessEnv, directory: string, variant?: Variant | undefined }
 *   & Partial<Pick<Context, 'archives' | 'patience' | 'platform'>>} options variant: only when a person asked for one
 * @returns {Promise<LibTorch & { from: string }>}
 * @throws {SetupError} exit code 2 for a LIBTORCH that is none, else 1 with everything that was tried
 */
export async function resolveLibTorch({ variant: wanted, ...options }) {
  const { env } = options;
  if (env['LIBTORCH']) return announce(await fromVariable(env['LIBTORCH']), 'LIBTORCH');

  const { variant, reason } = wanted ? { variant: wanted, reason: '--variant' } : variantFor();
  const tried = [{ name: 'LIBTORCH', reason: 'not set' }];
  for (const { name, find, fetches } of WAYS) {
    try {
      if (fetches) say(`Fetching LibTorch ${PINNED}, ${variant} (${reason}), from ${name} ...`);
      const found = await find({ ...options, variant });
      if (wanted && !fetches && found.cuda !== (wanted !== 'cpu')) {
        throw new Unavailable(
          `${found.root} is a ${found.cuda ? 'CUDA' : 'CPU'} build, and --variant asks for ${wanted}`,
        );
      }
      return announce(found, name);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (fetches) say(`  not to be had: ${error.message}`);
      tried.push({ name, reason: error.message });
    }
  }
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
 * The newest usable install; with --variant, of that kind.
 *
 * @param {Context} context
 * @returns {Promise<LibTorch>}
 */
async function fromEarlierInstall({ directory, variant }) {
  const names = existsSync(directory) ? await readdir(directory) : [];
  const order = (/** @type {string} */ name) => (name.endsWith(variant === 'cpu' ? '-cpu' : '-cuda') ? 0 : 1);
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
 * @param {LibTorch} libtorch
 * @param {string} from
 */
function announce(libtorch, from) {
  say(`Using ${describe(libtorch)} from ${from}: ${libtorch.root}`);
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
    'Any one of these helps:',
    `  - Download and unpack ${ARCHIVE_HOST}/${ARCHIVES[variant].path} yourself,`,
    '    then run: LIBTORCH=/path/to/libtorch npm run setup',
    `  - Install torch for the python3 on your PATH (python3 -m pip install torch==${PINNED}), then run: npm run setup`,
    '  - Give this machine a way to one of the two hosts: BERTUNE_LIBTORCH_URL for a mirror of the archives,',
    '    PIP_INDEX_URL or HTTPS_PROXY for pip; then run: npm run setup. A download goes on where it stopped.',
  ].join('\n');
}
