// The tests that hold native steps against fixtures of transformers, torch and PEFT, on the device.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../setup/paths.mjs';
import { tapReader } from '../../test/tap.mjs';

const ON_GPU = [
  'native/cuda.ts',
  'native/parity.ts',
  'native/dropout.ts',
  'native/optimizers.ts',
  'native/losses.ts',
  'models/families.ts',
  'models/lora.ts',
  'training/parameter-groups.ts',
  'training/nonfinite.ts',
  'training/memory-options.ts',
  'training/checkpoints.ts',
];
const SMALL = ['native/losses.ts'];

/** @param {import('../part.mjs').Context} context */
export async function run({ device, isSmall, check, skip }) {
  const tap = join(projectRoot, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs');
  if (!existsSync(tap) || !existsSync(join(projectRoot, 'test')))
    return skip('tests need a checkout and its development dependencies: npm ci');
  const files = (isSmall ? SMALL : ON_GPU).map((name) => join('test', name));
  const child = spawn(process.execPath, [tap, '--reporter=tap', `--jobs=${isSmall ? 1 : 6}`, ...files], {
    cwd: projectRoot,
    // The tests name the first device `cuda`.
    env: {
      ...process.env,
      OMP_WAIT_POLICY: 'passive',
      ...(device !== 'cpu' && { BERTUNE_TEST_DEVICE: 'cuda', ...visible(device) }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { parser } = tapReader(({ name, counts, failures }) => {
    const first = failures[0] === undefined ? '' : `; first: ${failures[0].path}`;
    check(
      name,
      counts.failed === 0 && counts.passed > 0,
      `${counts.passed} passed, ${counts.failed} failed${first}`,
    );
  });
  child.stdout.pipe(parser);
  const [code] = await once(child, 'close');
  check('tap ends well', code === 0, `exit code ${code}`);
}

/** @param {string} device */
function visible(device) {
  const index = device.slice('cuda:'.length);
  return index === '0'
    ? {}
    : { CUDA_VISIBLE_DEVICES: process.env['CUDA_VISIBLE_DEVICES']?.split(',')[Number(index)] ?? index };
}
