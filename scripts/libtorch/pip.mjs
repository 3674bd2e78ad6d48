// pip as a client of whatever package index this machine has.
import { capture } from '../setup/process.mjs';
import { Unavailable } from './install.mjs';

/** @typedef {{ command: string, args: string[] }} Pip */

/**
 * The first pip that runs.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Pip>}
 * @throws {Unavailable}
 */
export async function findPip(env) {
  const ways = [
    { command: 'python3', args: ['-m', 'pip'] },
    { command: 'python', args: ['-m', 'pip'] },
    { command: 'pip3', args: [] },
    { command: 'pip', args: [] },
  ];
  for (const way of ways) {
    const { code } = await capture(way.command, [...way.args, '--version'], { env });
    if (code === 0) return way;
  }
  throw new Unavailable(
    'no pip found (python3 -m pip, python -m pip, pip3, pip); Debian has it in python3-pip',
  );
}

/**
 * Runs `pip install --target`.
 *
 * @param {Pip} pip
 * @param {NodeJS.ProcessEnv} env
 * @param {string} target
 * @param {readonly string[]} args requirements and further options
 */
export function pipInstall(pip, env, target, args) {
  const options = [
    '--target',
    target,
    '--no-input',
    '--disable-pip-version-check',
    '--no-compile',
    '--retries',
    '2',
  ];
  return capture(pip.command, [...pip.args, 'install', ...options, ...args], {
    env: { ...env, PIP_ROOT_USER_ACTION: 'ignore' },
    // pip draws its own progress bar, which is worth showing on a terminal only.
    stdout: process.stderr.isTTY ? 'stderr' : 'pipe',
  });
}

/**
 * Whether there is no such wheel, as opposed to a failure of the download. With a constraints file pip prints the second
 * message.
 *
 * @param {string} stderr of a pip that failed
 */
export function isMissingWheel(stderr) {
  return /No matching distribution found|ResolutionImpossible/.test(stderr) && !isUnreachable(stderr);
}

/** @param {string} stderr */
function isUnreachable(stderr) {
  return stderr.includes('Retrying (Retry(');
}

/**
 * The line of pip's output that gives the reason.
 *
 * @param {string} stderr of a pip that failed
 */
export function lastError(stderr) {
  if (isUnreachable(stderr)) return 'the package index cannot be reached';
  const lines = stderr.trim().split('\n');
  const missing = isMissingWheel(stderr) && 'no such wheel in the package index';
  return missing || (lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? '');
}
