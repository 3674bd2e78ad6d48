// npm run check:cuda-build: proves that the addon builds from the CUDA build of LibTorch with no CUDA toolkit, that it
// then trains on the CPU, and that a missing GPU is reported clearly. Fetches torch and NVIDIA's libraries with pip
// (about 5.5 GB on disk) into a temporary folder, builds there, and removes it: too heavy for every CI run.
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingLibraries } from './libtorch/cuda.mjs';
import { inspect } from './libtorch/install.mjs';
import { findPip, lastError, pipInstall } from './libtorch/pip.mjs';
import { ensureAddon } from './setup/addon.mjs';
import { ensureDist } from './setup/dist.mjs';
import { SetupError } from './setup/errors.mjs';
import { projectRoot } from './setup/paths.mjs';
import { capture } from './setup/process.mjs';
import { runMain, log } from './setup/terminal.mjs';

const TORCH = '2.14.1';
const WORDS = ['good', 'bad', 'film', 'a', 'very', 'the', 'was', 'truly'];

await runMain(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bertune-cuda-build-'));
  log(`Working in ${folder}`);
  try {
    const libtorch = await installTorch(join(folder, 'site-packages'));
    const cli = await buildPackage(join(folder, 'bertune'), libtorch.root);
    const data = await makeData(join(folder, 'data'));
    await checkTraining(cli, data, join(folder, 'out'));
    await checkCudaIsRefused(cli, data, join(folder, 'out-cuda'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  log('\nThe CUDA build of LibTorch works on this machine without a GPU.');
});

/** @param {string} target */
async function installTorch(target) {
  const pip = await findPip(process.env);
  const { code, stderr } = await pipInstall(pip, process.env, target, [`torch===${TORCH}`]);
  if (code !== 0) throw new SetupError(`torch ${TORCH} could not be installed: ${lastError(stderr)}`);
  const libtorch = await inspect(join(target, 'torch'));
  expect(libtorch.cuda, `torch ${TORCH} from pip is a CUDA build`);
  for (const library of ['libtorch_cpu.so', 'libtorch_cuda.so']) {
    const missing = await missingLibraries(join(libtorch.root, 'lib', library));
    expect(missing.length === 0, `${library} finds all its libraries`, missing.join(', '));
  }
  return libtorch;
}

/**
 * The package as it is, with an addon of its own.
 *
 * @param {string} target
 * @param {string} libtorch
 * @returns {Promise<string>} its command line program
 */
async function buildPackage(target, libtorch) {
  await ensureDist();
  await mkdir(target, { recursive: true });
  for (const name of ['dist', 'package.json']) {
    await cp(join(projectRoot, name), join(target, name), { recursive: true });
  }
  await symlink(join(projectRoot, 'node_modules'), join(target, 'node_modules'));
  // A build that looks for the toolkit finds none in these places.
  const env = { ...process.env, LIBTORCH: libtorch, CUDA_HOME: '/nonexistent', CUDA_PATH: '/nonexistent' };
  await ensureAddon({ env, out: join(target, 'build') });
  expect(true, 'the addon builds and loads');
  return join(target, 'dist', 'cli.js');
}

/** @param {string} folder receives a vocabulary, the config of a tiny model, and rows that are easy to tell apart */
async function makeData(folder) {
  await mkdir(folder, { recursive: true });
  const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS];
  await writeFile(join(folder, 'vocab.txt'), `${vocabulary.join('\n')}\n`);
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ do_lower_case: true }));
  const config = {
    model_type: 'bert',
    vocab_size: vocabulary.length,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 64,
    max_position_embeddings: 32,
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const rows = Array.from({ length: 64 }, (_, i) =>
    i % 2 === 0 ? 'the film was truly good,positive' : 'the film was very bad,negative',
  );
  await writeFile(join(folder, 'rows.csv'), `text,label\n${rows.join('\n')}\n`);
  return folder;
}

/**
 * @param {string} cli
 * @param {string} data
 * @param {string} out
 */
async function checkTraining(cli, data, out) {
  const { code, stdout, stderr } = await train(cli, data, out, 'auto');
  expect(code === 0, 'it trains with --device auto', stderr);
  const accuracy = /"eval_accuracy": ([\d.]+)/.exec(stdout)?.[1];
  expect(Number(accuracy) === 1, 'it learns the task', stdout);
  expect(
    /cpu/i.test(stderr) && /no (CUDA|NVIDIA)/i.test(stderr),
    'it reports that it found no device',
    stderr,
  );
}

/**
 * @param {string} cli
 * @param {string} data
 * @param {string} out
 */
async function checkCudaIsRefused(cli, data, out) {
  const { code, stderr } = await train(cli, data, out, 'cuda');
  expect(code === 2 || code === 1, '--device cuda is an error', stderr);
  expect(/cuda/i.test(stderr) && /no NVIDIA driver|no device/i.test(stderr), 'and gives the reason', stderr);
  expect(!/^ +at /m.test(stderr), 'in words, without a stack trace', stderr);
  log(`      ${stderr.trim().split('\n').at(-1)}`);
}

/**
 * @param {string} cli
 * @param {string} data
 * @param {string} out
 * @param {string} device
 */
function train(cli, data, out, device) {
  const rows = join(data, 'rows.csv');
  const files = ['--config', join(data, 'config.json'), '--tokenizer', data, '--train-file', rows];
  const rest = [
    '--validation-file',
    rows,
    '--output-dir',
    out,
    '--learning-rate',
    '1e-3',
    '--device',
    device,
  ];
  return capture(process.execPath, [cli, 'train', ...files, ...rest, '--num-train-epochs', '10']);
}

/**
 * @param {boolean} truth
 * @param {string} what
 * @param {string} [details] shown on failure
 */
function expect(truth, what, details = '') {
  if (!truth) throw new SetupError(`FAILED: ${what}\n${details}`);
  log(`  ok: ${what}`);
}
