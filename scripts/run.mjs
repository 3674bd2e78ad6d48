// npm run train | evaluate | predict | bench: the set-up that is still missing, then the command with its arguments.
import { join } from 'node:path';
import { ensureReady } from './setup/ensure.mjs';
import { distDir, projectRoot } from './setup/paths.mjs';
import { hand } from './setup/process.mjs';
import { runMain } from './setup/terminal.mjs';

await runMain(async () => {
  const [command = 'train', ...args] = process.argv.slice(2);
  await ensureReady();
  const script =
    command === 'bench' ? [join(projectRoot, 'scripts', 'bench.mjs')] : [join(distDir, 'cli.js'), command];
  return hand(process.execPath, [...script, ...args]);
});
