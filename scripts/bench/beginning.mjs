// What comes before the work: opening a model, and the command line up to the end of its first step.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSides, ourBuild } from './builds.mjs';
import { timeProcess } from './jobs.mjs';

const VOCABULARY = 30522; // of bert-base-uncased and MiniLM, at least
const ROWS = 32; // of the file that the first step is trained on

/**
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 * @typedef {import('./runs.mjs').Context} Context
 * @typedef {import('./runs.mjs').Benchmark} Benchmark
 */

export const OPENING_NOTES = [
  'Opening: a process of its own opens a folder with random weights in float32 and classifies one text. over weights: the',
  'peak memory of the opening alone, beyond that of the loaded libraries, over the size of model.safetensors.',
];

export const FIRST_STEP_NOTES = [
  `First step: train --max-steps 1 on a CSV of ${ROWS} short texts, and a script with HF Trainer that does the same; both save the`,
  'model. Seconds from the start of the process to its end; set-up is done and the files are in the page cache. On a GPU also',
  'with a new cache of compiled kernels.',
];

/** @param {BenchOptions} options @param {Context} context @returns {Benchmark} */
export function openingBenchmark(options, context) {
  const { shape, threads, dtype } = options;
  const { reference, machine, builds } = context;
  const prepare = async () => {
    const { model, weightBytes } = await makeModel(options, context);
    const job = { task: 'open', model, threads, device: machine.device };
    const sides = buildSides(builds, dtype, ({ worker }) => worker({ ...job, dtype }));
    if (reference !== null) {
      const measure = () => reference.worker(job);
      sides.push({ name: 'HF from_pretrained', role: 'eager', dtype: 'float32', measure });
    }
    return { about: '', shape, lengths: [], trains: false, weightBytes, sides };
  };
  return { title: 'Opening a model', prepare };
}

/** @param {BenchOptions} options @param {Context} context @returns {Benchmark} */
export function firstStepBenchmark(options, context) {
  const { shape, threads, dtype } = options;
  const { reference, machine, builds, folder } = context;
  const { device } = machine;
  let outputs = 0;
  const newOutput = () => join(folder, `first-step-${outputs++}`);
  const prepare = async () => {
    const { model } = await makeModel(options, context);
    const trainFile = join(folder, 'first-step.csv');
    const rows = Array.from({ length: ROWS }, (_, i) => `"What a film, number ${i}!",${i % 2}`);
    await writeFile(trainFile, ['text,label', ...rows, ''].join('\n'));
    const words = ['train', '--model', model, '--train-file', trainFile, '--max-steps', '1'];
    words.push('--save-strategy', 'no', '--device', device, '--dtype', dtype, '--threads', String(threads));
    /** @param {{ cli: string }} build @param {NodeJS.ProcessEnv} [env] */
    const train = ({ cli }, env) =>
      timeProcess(process.execPath, [cli, ...words, '--output-dir', newOutput()], env);
    const sides = buildSides(builds, dtype, (build) => train(build));
    if (device !== 'cpu') {
      const measure = () => train(ourBuild, { XDG_CACHE_HOME: newOutput() });
      sides.push({ name: 'bertune, kernels not compiled before', role: 'plain', dtype, measure });
    }
    if (reference !== null) {
      const { command, script } = reference;
      const job = { task: 'first_step', model, trainFile, dtype, threads, device };
      const measure = () => timeProcess(command, [script, JSON.stringify({ ...job, output: newOutput() })]);
      sides.push({ name: 'HF Trainer', role: 'best', dtype, measure });
    }
    return { about: '', shape, lengths: [], trains: true, sides };
  };
  return { title: 'First step', prepare };
}

/** @param {BenchOptions} options @param {Context} context @returns {Promise<{ model: string, weightBytes: number }>} */
async function makeModel({ shape, tokenizer }, { folder }) {
  const model = join(folder, `model-${shape.layers}x${shape.hidden}`);
  const job = { task: 'makeModel', shape, vocabSize: VOCABULARY, tokenizer, model };
  return { model, ...(await ourBuild.worker(job)) };
}
