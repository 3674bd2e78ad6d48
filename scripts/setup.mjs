// npm run setup: LibTorch, the native addon and the compiled TypeScript. `npm run train` and `npm test` do the same
// by themselves; this command does it in advance, or with options.
import { SetupError, messageOf } from './setup/errors.mjs';
import { parseArgs } from 'node:util';
import { parseVariant } from './libtorch/versions.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { refuseOptionsTakenByNpm } from './setup/npm.mjs';
import { commandLine } from './setup/paths.mjs';
import { runMain, log } from './setup/terminal.mjs';

const USAGE = `${commandLine('setup [options]')}

  --variant cpu|cu130   the LibTorch build to use (default: cu130 with an NVIDIA driver for CUDA 13, else cpu)
  --native-only         the addon only, not dist/
  --verbose             show the whole native build
  --help

LibTorch comes from the first of: the folder in LIBTORCH; an earlier install; a torch that python3
can import; the PyTorch project's archive (BERTUNE_LIBTORCH_URL names a mirror); pip.`;

await runMain(async () => {
  refuseOptionsTakenByNpm('setup', process.argv.slice(2), ['variant', 'native-only']);
  const { variant, help, ...flags } = parseOptions();
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  await ensureReady({
    variant: variant === undefined ? undefined : parseVariant(variant),
    ...(flags['native-only'] && { only: 'addon' }),
    verbose: flags.verbose ?? false,
  });
  log('Set-up is complete.');
});

function parseOptions() {
  try {
    return parseArgs({
      options: {
        variant: { type: 'string' },
        'native-only': { type: 'boolean' },
        verbose: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new SetupError(`${messageOf(error)}\n\n${USAGE}`, 2);
  }
}
