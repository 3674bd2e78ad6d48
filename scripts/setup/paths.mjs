// Folders of the package, in a checkout and installed in another project.
import { homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Whether this is a package that npm installed, and not a checkout. */
export const isInstalled = projectRoot.split(sep).includes('node_modules');
export const buildDir = join(projectRoot, 'build');
export const distDir = join(projectRoot, 'dist');
export const prebuiltDir = join(projectRoot, 'prebuilds', `${process.platform}-${process.arch}`);

/**
 * Where LibTorch is installed. npm deletes the folder of an installed package with every update, and projects can share a
 * LibTorch: it is in the user's cache then.
 *
 * @param {NodeJS.ProcessEnv} env
 */
export function libtorchDir(env) {
  if (!isInstalled) return join(projectRoot, '.libtorch');
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'bertune', 'libtorch');
}

/**
 * A command as the reader can type it: `npx bertune` in a project of their own, `npm run` in a checkout.
 *
 * @param {string} command with its arguments, such as `setup --variant cpu`
 */
export function commandLine(command) {
  if (isInstalled) return `npx bertune ${command}`;
  const [name, ...args] = command.split(' ');
  return ['npm run', name, ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}
