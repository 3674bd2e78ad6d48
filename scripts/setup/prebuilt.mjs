// The addon that a packed bertune brings along: for one platform and one version of LibTorch, CPU and CUDA alike.
// `npm run pack` makes it; on a machine that it fits, set-up needs no compiler.
import { copyFile, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';

export const ADDON = 'bertune.node';
export const MANIFEST = 'manifest.json';

/**
 * What the prebuilt addon needs.
 *
 * @typedef {object} Manifest
 * @property {string} libtorch its version, as in `2.13.0`
 * @property {string} glibc the oldest version, as in `2.34`
 * @property {string} libstdcxx the newest symbol version of libstdc++.so.6, as in `3.4.30`
 */

/**
 * @param {string} folder
 * @returns {Promise<Manifest | null>} null in a checkout, and in a package for another platform
 */
export async function readManifest(folder) {
  try {
    return JSON.parse(await readFile(join(folder, MANIFEST), 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Why the addon cannot be used here as far as the C library decides it; null where it can. libstdc++ is met when it is
 * loaded: Node.js has one of its own.
 *
 * @param {Manifest} manifest
 * @param {string | null} [installed] the version of glibc; null with another C library
 */
export function glibcProblem({ glibc }, installed = glibcVersion()) {
  if (installed === null) return `it needs glibc ${glibc}, and this system has another C library`;
  return compareVersions(installed, glibc) >= 0
    ? null
    : `it needs glibc ${glibc}, and this system has ${installed}`;
}

function glibcVersion() {
  // Without this the report looks up the name of every open connection.
  Object.assign(process.report, { excludeNetwork: true });
  const version = Reflect.get(Reflect.get(process.report.getReport(), 'header'), 'glibcVersionRuntime');
  return typeof version === 'string' ? version : null;
}

/**
 * What the dynamic loader missed, in words.
 *
 * @param {string} message of the loader
 * @param {Manifest} manifest
 */
export function loaderProblem(message, { libstdcxx }) {
  return /GLIBCXX_|CXXABI_/.test(message)
    ? `it needs a libstdc++ with GLIBCXX_${libstdcxx}, and this system has an older one`
    : message;
}

/**
 * Puts the addon and, beside it, a link to LibTorch's libraries into `<out>/Release`.
 *
 * @param {string} from the folder of the prebuilt addon
 * @param {string} out
 * @param {string} libtorch
 */
export async function installPrebuilt(from, out, libtorch) {
  const folder = join(out, 'Release');
  await mkdir(folder, { recursive: true });
  const link = join(folder, 'lib');
  await rm(link, { force: true });
  await symlink(join(libtorch, 'lib'), link, 'dir');
  // Renamed into place: a process may have the old one in memory.
  const temporary = join(folder, `${ADDON}.tmp`);
  await copyFile(join(from, ADDON), temporary);
  await rename(temporary, join(folder, ADDON));
}

/**
 * The newest symbol version of a library that an ELF file refers to, which is what it needs of that library.
 *
 * @param {string} references as `objdump -p` prints them
 * @param {'GLIBC' | 'GLIBCXX'} library
 */
export function newestSymbolVersion(references, library) {
  const found = Array.from(
    references.matchAll(new RegExp(`\\b${library}_([\\d.]+)`, 'g')),
    ([, version = '']) => version,
  );
  return found.toSorted(compareVersions).at(-1) ?? '0';
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} negative where `a` is older
 */
function compareVersions(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}
