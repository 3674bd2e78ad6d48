// npm run train | evaluate | predict | bench ...: what set-up still has to do, then the command with its arguments.
import { join } from 'node:path';
import { OPTION_NAMES } from './bench/options.mjs';
import { prepareQuickstartData } from './quickstart/data.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { refuseOptionsTakenByNpm } from './setup/npm.mjs';
import { distDir, projectRoot } from './setup/paths.mjs';
import { runForeground } from './setup/process.mjs';
import { runMain } from './setup/terminal.mjs';

await runMain(async () => {
  const [command = 'train', ...args] = process.argv.slice(2);
  const wantsHelp = args.some((arg) => arg === '--help' || arg === '-h');
  // The options are in the compiled TypeScript: seconds, where the addon takes minutes.
  await ensureReady({ only: 'dist' });
  refuseOptionsTakenByNpm(command, args, await optionNames(command));
  if (!wantsHelp) {
    await ensureReady();
    if (command === 'train' && isQuickstart(args)) await prepareQuickstartData();
  }
  const script =
    command === 'bench' ? [join(projectRoot, 'scripts', 'bench.mjs')] : [join(distDir, 'cli.js'), command];
  return runForeground(process.execPath, [...script, ...args]);
});

/** @param {string} command */
async function optionNames(command) {
  if (command === 'bench') return OPTION_NAMES;
  const { commands, foreignNames } = await import('../dist/options/index.js');
  const table = commands.find(({ name }) => name === command);
  return [...Object.keys(table?.options ?? {}), ...foreignNames()];
}

/**
 * The quickstart is what `bertune train` does when no job is named; its mails are made where they are missing.
 *
 * @param {string[]} args
 */
function isQuickstart(args) {
  const [config] = args;
  if (config !== undefined && !config.startsWith('-')) return config.endsWith('configs/quickstart.json');
  return !args.some((arg) => /^--(model|config|train[-_]file|dataset)(=|$)/i.test(arg));
}
