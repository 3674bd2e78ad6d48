// The builds of bertune that are measured: this one, and with --against another one.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { freshWorker } from './jobs.mjs';

/**
 * @typedef {object} Build
 * @property {string} name
 * @property {'ours' | 'before'} role
 * @property {import('./jobs.mjs').Worker} worker its own, since what a worker calls may have other names there
 * @property {string} cli
 */

/** @type {Build} */
export const ourBuild = buildIn(projectRoot, 'bertune', 'ours');

/** What a build is made of, and what makes it. */
const PARTS = { 'dist/cli.js': 'npm ci && npm run build', 'build/Release/bertune.node': 'npm run setup' };

/**
 * @param {string | undefined} against folder of another checkout
 * @returns {Promise<Build[]>} ours first
 * @throws {SetupError} (exit code 2) when there is no checkout, or it is not built
 */
export async function openBuilds(against) {
  if (against === undefined) return [ourBuild];
  const root = resolve(against);
  if (!existsSync(join(root, 'scripts/bench/worker.mjs')))
    throw new SetupError(
      `--against ${against} is no checkout of bertune: it has no scripts/bench/worker.mjs`,
      2,
    );
  for (const [part, command] of Object.entries(PARTS))
    if (!existsSync(join(root, part)))
      throw new SetupError(`--against ${against} is not built (no ${part}): run \`${command}\` there`, 2);
  return [ourBuild, buildIn(root, `before (${await commitOf(root)})`, 'before')];
}

/** @param {string} root @param {string} name @param {Build['role']} role @returns {Build} */
function buildIn(root, name, role) {
  return {
    name,
    role,
    worker: freshWorker(process.execPath, [join(root, 'scripts/bench/worker.mjs')]),
    cli: join(root, 'dist/cli.js'),
  };
}

/**
 * The same work by each build.
 *
 * @param {readonly Build[]} builds
 * @param {'float32' | 'bfloat16'} dtype
 * @param {(build: Build) => Promise<import('./runs.mjs').Measured>} measure
 * @param {string} [how] for people, after the name
 * @returns {import('./runs.mjs').Side[]}
 */
export function buildSides(builds, dtype, measure, how = '') {
  return builds.map((build) => ({
    name: build.name + how,
    role: build.role,
    dtype,
    measure: () => measure(build),
  }));
}

/** @param {string} root of a checkout */
export async function commitOf(root) {
  /** @param {string[]} args */
  const git = (...args) => capture('git', ['-C', root, ...args]);
  const head = await git('rev-parse', '--short', 'HEAD');
  if (head.code !== 0) return 'no git commit';
  const changes = await git('status', '--porcelain', '--untracked-files=no');
  return `commit ${head.stdout.trim()}${changes.stdout === '' ? '' : ' with changed files'}`;
}
