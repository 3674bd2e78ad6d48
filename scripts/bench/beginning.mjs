// What comes before the work: opening a model, and the command line up to the end of its first step.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSides, ourBuild } from './builds.mjs';
import { timeProcess } from './jobs.mjs';
import { dtypeOf } from './steps.mjs';

const VOCABULARY = 30522; // of bert-base-uncased and MiniLM
const ROWS = 32; // of the file that the first step is trained on

/**
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 * @typedef {import('./runs.mjs').Context} Context
 * @typedef {import('./runs.mjs').Work} Work
 * @typedef {import('./runs.mjs').Side} Side
 */

export const OPENING_NOTES = [
  'Opening: a process of its own opens a folder with random weights in float32 and classifies one text. over weights: its',
  'peak memory over the size of model.safetensors.',
];

export const FIRST_STEP_NOTES = [
  `First step: train --max-steps 1 on a CSV of ${ROWS} short texts, and a script with HF Trainer that does the same; both save the`,
  'model. Seconds from the start of the process to its end; set-up is done and the files are in the page cache.',
];

/** @param {BenchOptions} options @param {Context} context */
export async function planOpening(options, context) {
  return { works: [openingWork(options, context)], notes: OPENING_NOTES };
}

/** @param {BenchOptions} options @param {Context} context */
export async function planFirstStep(options, context) {
  return { works: [firstStepWork(options, context)], notes: FIRST_STEP_NOTES };
}

/**
 * @param {BenchOptions} options
 * @param {Context} context
 * @returns {Work}
 */
export function openingWork(options, context) {
  const { shape, threads } = options;
  const { reference, machine, builds } = context;
  const { dtype } = dtypeOf(options, context);
  const prepare = async () => {
    const { model, weightBytes } = await makeModel(options, context);
    const job = { task: 'open', model, threads, device: machine.device };
    /** @type {Side[]} */
    const theirs =
      reference === null
        ? []
        : [
            {
              name: 'HF from_pretrained',
              role: 'eager',
              dtype: 'float32',
              measure: () => reference.worker({ ...job, dtype: 'float32' }),
            },
          ];
    const ours = buildSides(builds, dtype, ({ worker }) => worker({ ...job, dtype }));
    return { about: '', shape, lengths: [], trains: false, weightBytes, sides: [...ours, ...theirs] };
  };
  return { title: 'Opening a model', prepare };
}

/**
 * @param {BenchOptions} options
 * @param {Context} context
 * @returns {Work}
 */
export function firstStepWork(options, context) {
  const { shape, threads } = options;
  const { reference, machine, builds, folder } = context;
  const { device } = machine;
  const { dtype } = dtypeOf(options, context);
  let outputs = 0;
  const newOutput = () => join(folder, `first-step-${outputs++}`);
  const prepare = async () => {
    const { model } = await makeModel(options, context);
    const trainFile = join(folder, 'first-step.csv');
    const rows = Array.from({ length: ROWS }, (_, i) => `"What a film, number ${i}!",${i % 2}`);
    await writeFile(trainFile, ['text,label', ...rows, ''].join('\n'));
    const words = `--model ${model} --train-file ${trainFile} --max-steps 1 --save-strategy no`;
    const args = [...words.split(' '), '--device', device, '--dtype', dtype, '--threads', String(threads)];
    /** @param {import('./builds.mjs').Build} build */
    const ours = ({ cli }) =>
      timeProcess(process.execPath, [cli, 'train', ...args, '--output-dir', newOutput()]);
    const job = { task: 'first_step', model, trainFile, dtype, threads, device };
    /** @param {import('./reference.mjs').Reference} to */
    const theirs = ({ command, script }) =>
      timeProcess(command, [script, JSON.stringify({ ...job, output: newOutput() })]);
    /** @type {Side[]} */
    const others =
      reference === null
        ? []
        : [{ name: 'HF Trainer', role: 'best', dtype, measure: () => theirs(reference) }];
    return {
      about: '',
      shape,
      lengths: [],
      trains: true,
      sides: [...buildSides(builds, dtype, ours), ...others],
    };
  };
  return { title: 'First step', prepare };
}

/** @param {BenchOptions} options @param {Context} context */
async function makeModel({ shape, tokenizer }, { folder }) {
  const model = join(folder, `model-${shape.layers}x${shape.hidden}`);
  /** @type {{ weightBytes: number }} */
  const { weightBytes } = await ourBuild.worker({
    task: 'makeModel',
    shape,
    vocabSize: VOCABULARY,
    tokenizer,
    model,
  });
  return { model, weightBytes };
}
