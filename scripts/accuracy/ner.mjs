// Entity F1 of bertune and of HF Trainer after the same training on CoNLL files, seed by seed: the table of docs/measurements.md.
//   BERTUNE_PYTHON=python node scripts/accuracy/ner.mjs --model DIR --train-file FILE --validation-file FILE
//     [--columns 1,-1] [--max-train-samples N] [--max-eval-samples N] [--epochs 3] [--learning-rate 5e-5] [--batch-size 16]
//     [--max-seq-length 128] [--dtype float32] [--seeds 1,2,3] [--threads N]
// The Python needs the packages of scripts/reference/requirements.txt. --columns: of the token and of the label, from 1, or from
// the end below 0.
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError } from '../setup/errors.mjs';
import { distDir, projectRoot } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { log, runMain } from '../setup/terminal.mjs';
import { SIDES } from './table.mjs';

const text = /** @type {const} */ ({ type: 'string' });
const { values } = parseArgs({
  options: {
    model: text,
    'train-file': text,
    'validation-file': text,
    columns: { ...text, default: '1,-1' },
    'max-train-samples': text,
    'max-eval-samples': text,
    epochs: { ...text, default: '3' },
    'learning-rate': { ...text, default: '5e-5' },
    'batch-size': { ...text, default: '16' },
    'max-seq-length': { ...text, default: '128' },
    dtype: { ...text, default: 'float32' },
    seeds: { ...text, default: '1,2,3' },
    threads: { ...text, default: String(availableParallelism()) },
  },
});

await runMain(async () => {
  const options = optionsOf(values);
  /** @type {Record<'bertune' | 'HF', number[]>} */
  const found = { bertune: [], HF: [] };
  for (const seed of values.seeds.split(','))
    for (const side of SIDES) {
      const f1 = await train(side, [...options, '--seed', seed]);
      found[side].push(f1);
      log(`seed ${seed}, ${side}: F1 ${percent(f1)}`);
    }
  const cells = SIDES.map((side) => `${percent(mean(found[side]))} (${found[side].map(percent).join(', ')})`);
  const apart = 100 * (mean(found.bertune) - mean(found.HF));
  process.stdout.write(
    `| ${[...SIDES, 'difference of means'].join(' | ')} |\n| --- | --- | --- |\n| ${cells.join(' | ')} | ${apart.toFixed(2)} |\n`,
  );
});

/**
 * The same for both sides.
 *
 * @param {typeof values} given
 * @returns {string[]}
 * @throws {SetupError} (exit code 2) where one is missing
 */
function optionsOf(given) {
  const { model, columns, epochs, 'batch-size': batch, seeds: _, ...rest } = given;
  const [token, label] = columns.split(',');
  if (model === undefined || rest['train-file'] === undefined || rest['validation-file'] === undefined)
    throw new SetupError('Give --model DIR, --train-file FILE and --validation-file FILE, both CoNLL', 2);
  if (process.env['BERTUNE_PYTHON'] === undefined)
    throw new SetupError('BERTUNE_PYTHON does not name a Python that has transformers', 2);
  const all = {
    ...rest,
    model: resolve(model),
    'text-column': token,
    'label-column': label,
    'num-train-epochs': epochs,
    'per-device-train-batch-size': batch,
    'per-device-eval-batch-size': '32',
  };
  return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
}

/**
 * Trains and evaluates once.
 *
 * @param {'bertune' | 'HF'} side
 * @param {readonly string[]} options
 * @returns {Promise<number>} F1 of entities on the validation file, as seqeval counts
 * @throws {SetupError} with the end of what the run wrote to stderr
 */
async function train(side, options) {
  const folder = await mkdtemp(join(tmpdir(), 'bertune-ner-'));
  const ofBertune = ['--task=token-classification', '--save-strategy=no', `--output-dir=${folder}`];
  try {
    const [command, script, own] =
      side === 'HF'
        ? [process.env['BERTUNE_PYTHON'] ?? '', [join(projectRoot, 'scripts', 'reference', 'ner.py')], []]
        : [process.execPath, [join(distDir, 'cli.js'), 'train'], ofBertune];
    const { code, stdout, stderr } = await capture(command, [...script, ...options, ...own]);
    if (code !== 0)
      throw new SetupError(`${side} failed: ${stderr.trim().split('\n').slice(-10).join('\n')}`);
    return JSON.parse(stdout.slice(stdout.lastIndexOf('{'))).eval_f1; // logs come before
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param {readonly number[]} numbers */
function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** @param {number} share */
function percent(share) {
  return (100 * share).toFixed(1);
}
