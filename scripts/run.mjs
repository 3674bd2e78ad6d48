#!/usr/bin/env node
// `npm run train` in a checkout and `npx bertune train` elsewhere: what set-up still has to do, then the command.
import { join } from 'node:path';
import { ensureReady } from './setup/ensure.mjs';
import { SetupError } from './setup/errors.mjs';
import { mayLackOptions, refuseOptionsTakenByNpm } from './setup/npm.mjs';
import { commandLine, distDir, isInstalled, projectRoot } from './setup/paths.mjs';
import { runForeground } from './setup/process.mjs';
import { runMain } from './setup/terminal.mjs';

const SCRIPTS = join(projectRoot, 'scripts');

await runMain(async () => {
  const [command = '--help', ...args] = process.argv.slice(2);
  if (command === 'setup') return runForeground(process.execPath, [join(SCRIPTS, 'setup.mjs'), ...args]);
  // The options are in the compiled TypeScript: seconds, where the addon takes minutes.
  await ensureReady({ only: 'dist' });
  // To load their names takes as long as all the rest that is done here.
  if (mayLackOptions(command, args)) refuseOptionsTakenByNpm(command, args, await optionNames(command));
  if (!command.startsWith('-') && !args.some((arg) => arg === '--help' || arg === '-h')) {
    if (command === 'train' && isQuickstart(args)) await prepareQuickstart();
    await ensureReady({ only: 'addon' });
  }
  const isBench = command === 'bench' && !isInstalled;
  const script = isBench ? [join(SCRIPTS, 'bench.mjs')] : [join(distDir, 'cli.js'), command];
  return runForeground(process.execPath, [...script, ...args]);
});

/** @param {string} command */
async function optionNames(command) {
  if (command === 'bench' && !isInstalled) return (await import('./bench/options.mjs')).OPTION_NAMES;
  const { commands, foreignNames } = await import('../dist/options/index.js');
  const table = commands.find(({ name }) => name === command);
  return [...Object.keys(table?.options ?? {}), ...foreignNames()];
}

/**
 * The quickstart is what `bertune train` does when no job is named.
 *
 * @param {string[]} args
 */
function isQuickstart(args) {
  const [config] = args;
  if (config !== undefined && !config.startsWith('-')) return config.endsWith('configs/quickstart.json');
  return !args.some((arg) => /^--(model|config|train[-_]file|dataset)(=|$)/i.test(arg));
}

/** Makes its data where they are missing. */
async function prepareQuickstart() {
  if (isInstalled)
    throw new SetupError(
      `The quickstart runs in a checkout of bertune only. To train on your own data:\n  ${commandLine('train --model google-bert/bert-base-uncased --train-file FILE.csv --output-dir out')}`,
      2,
    );
  const { prepareQuickstartData } = await import('./quickstart/data.mjs');
  await prepareQuickstartData();
}
