// The licences of all dependencies, from package-lock.json: printed, and compared with those that Apache-2.0 software may
// depend on. Exit code 1 names what is not in the list. `npm run check:licences`.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from './setup/paths.mjs';
import { runMain } from './setup/terminal.mjs';

/** Permissive licences. CC-BY and CC0 are those of lists of data in tools of development. */
const ALLOWED = new Set([
  '0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'CC-BY-3.0', 'CC-BY-4.0', 'CC0-1.0', 'ISC', 'MIT',
  'Python-2.0', 'Unlicense', 'WTFPL',
]); // prettier-ignore

/** Also of what development alone installs: nothing of it is shipped or linked to. transformers.js of the tests brings sharp. */
const ALLOWED_IN_DEVELOPMENT = new Set([...ALLOWED, 'LGPL-3.0-or-later']);

/** Packages whose package.json names no licence: what their licence file is. */
const READ_BY_HAND = new Map([['jsonc-simple-parser@3.0.0', 'MIT']]);

/**
 * @typedef {{ name: string, version: string, licence: string, isDevelopment: boolean, isAllowed: boolean, hasInstallScript: boolean, integrity: string }} Dependency
 */

/**
 * @param {string} lockFile the text of package-lock.json
 * @returns {Dependency[]} every package that an install may bring, sorted
 */
export function dependencies(lockFile) {
  /** @type {{ packages: Record<string, { version?: string, license?: string, dev?: boolean, hasInstallScript?: boolean, integrity?: string }> }} */
  const { packages } = JSON.parse(lockFile);
  return Object.entries(packages)
    .filter(([path]) => path !== '')
    .map(([path, { version = '', license, dev = false, hasInstallScript = false, integrity = '' }]) => {
      const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
      const licence = license ?? READ_BY_HAND.get(`${name}@${version}`) ?? 'none named';
      const isAllowed = isAllowedExpression(licence, dev);
      return { name, version, licence, isDevelopment: dev, isAllowed, hasInstallScript, integrity };
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * An SPDX expression: of an OR one side must be allowed, of an AND both.
 *
 * @param {string} licence
 * @param {boolean} [isDevelopment] whether only development installs it
 * @returns {boolean}
 */
export function isAllowedExpression(licence, isDevelopment = false) {
  const allowed = isDevelopment ? ALLOWED_IN_DEVELOPMENT : ALLOWED;
  const text = licence.replace(/^\((.*)\)$/, '$1');
  if (/[()]/.test(text)) return false;
  return text.split(' OR ').some((side) => side.split(' AND ').every((name) => allowed.has(name)));
}

async function main() {
  const found = dependencies(await readFile(join(projectRoot, 'package-lock.json'), 'utf8'));
  /** @type {Map<string, Dependency[]>} */
  const byLicence = new Map();
  for (const dependency of found) {
    byLicence.set(dependency.licence, [...(byLicence.get(dependency.licence) ?? []), dependency]);
  }
  for (const [licence, list] of [...byLicence].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const run = list.filter(({ isDevelopment }) => !isDevelopment);
    const names = run.map(({ name, version }) => `${name}@${version}`).join(', ');
    process.stdout.write(
      `${licence}: ${list.length}, of them not for development alone: ${names || 'none'}\n`,
    );
  }
  const refused = found.filter(({ isAllowed }) => !isAllowed);
  for (const { name, version, licence } of refused)
    process.stderr.write(`${name}@${version}: ${licence} is not in the list of scripts/check-licences.mjs\n`);
  process.stdout.write(`${found.length} packages, ${refused.length} with a licence that is not allowed\n`);
  return refused.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) await runMain(main);
