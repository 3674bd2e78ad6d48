// Beside transformers on the same device: steps, eager and compiled by torch.compile, and a training on texts with Trainer.
import { join } from 'node:path';
import { ourBuild } from '../../bench/builds.mjs';
import { openReference } from '../../bench/reference.mjs';
import { modelConfig, shapeOf } from '../../bench/shape.mjs';
import { PLAIN } from '../../bench/steps.mjs';
import { messageOf } from '../../setup/errors.mjs';
import { projectRoot } from '../../setup/paths.mjs';
import { writeTexts } from '../texts.mjs';

const VOCABULARY = 30522;
/** A compiled model takes half a minute to start: none is begun when the part has run for so many seconds. */
const LATEST_COMPILATION = 70;

/**
 * By how many times bertune aims to be faster than transformers, eager and compiled.
 *
 * @typedef {{ shape: string, rows: number, length: number, dtype?: 'float32', eager: number, compiled?: number }} Step
 * @type {readonly Step[]}
 */
const STEPS = [
  { shape: '12x768x12', rows: 32, length: 128, eager: 4, compiled: 1.8 },
  { shape: '12x768x12', rows: 64, length: 24, eager: 6, compiled: 2.5 },
  { shape: '12x768x12', rows: 8, length: 512, eager: 4, compiled: 1.5 },
  { shape: '6x384x12', rows: 16, length: 20, eager: 10 },
  { shape: '12x768x12', rows: 32, length: 128, dtype: 'float32', eager: 1.5 },
];
/** @type {readonly Step[]} */
const SMALL = [{ shape: '1x64x2', rows: 2, length: 8, eager: 1 }];
const TRAINER_AIM = 4;

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, gpu, isSmall, folder, figure, note, skip }) {
  const started = performance.now();
  if (!process.env['BERTUNE_PYTHON']) return skip('BERTUNE_PYTHON names no Python');
  if (gpu?.startsWith('Fake GPU') === true) return skip('torch knows no stand-in');
  let reference;
  try {
    reference = await openReference(device);
  } catch (error) {
    return skip(messageOf(error));
  }
  note(reference.versions);
  const { worker } = reference;
  /** @param {string} title @param {string} name @param {number} theirs @param {number} ours seconds @param {number} aim */
  const compare = (title, name, theirs, ours, aim) => {
    figure(`${title}: ${name}`, theirs * 1000, 'ms');
    figure(`${title}: bertune is faster than ${name} by`, theirs / ours, 'times', `at least ${aim}`);
  };
  try {
    const compilations = [];
    for (const { shape: text, rows, length, dtype = best, eager, compiled } of isSmall ? SMALL : STEPS) {
      const shape = shapeOf(text);
      const config = modelConfig(shape, isSmall ? 1000 : VOCABULARY, ['0', '1']);
      const count = isSmall ? { warmUp: 1, steps: 1 } : { warmUp: 10, steps: 30 };
      const job = { task: 'step', config, rows, length, ...count, threads: 2, device, dtype };
      const title = `${text}, ${rows} x ${length}, ${dtype}`;
      const theirs = { ...job, variant: { ...PLAIN, frozen: [] } };
      const { seconds } = await ourBuild.worker({ ...job, shape, variant: PLAIN });
      figure(`${title}: bertune`, seconds * 1000, 'ms');
      compare(title, 'transformers', (await worker({ ...theirs, compile: false })).seconds, seconds, eager);
      if (compiled !== undefined) compilations.push({ title, theirs, seconds, aim: compiled });
    }

    const tokenizer = join(projectRoot, 'configs', 'quickstart-model');
    const data = join(folder, 'trained.csv');
    const rows = isSmall ? 8 : 1000;
    await writeTexts(data, rows, { tokenizer, scale: isSmall ? 0.1 : 1 });
    const input = { data, rows, tokenizer, shape: shapeOf(isSmall ? '1x64x2' : '12x768x12') };
    const work = { batchSize: isSmall ? 4 : 16, device, dtype: best, threads: 2 };
    const encoded = join(folder, 'encoded.json');
    await ourBuild.worker({
      task: 'encode',
      ...input,
      output: encoded,
      sorted: join(folder, 'sorted.jsonl'),
    });
    const { seconds } = await ourBuild.worker({ task: 'train', ...input, ...work });
    const trainer = await worker({ task: 'train', encoded, style: 'best', ...work });
    const title = `a training on ${rows} texts, batch ${work.batchSize}`;
    figure(`${title}: bertune`, seconds * 1000, 'ms');
    compare(title, 'Trainer at its best', trainer.seconds, seconds, TRAINER_AIM);

    for (const { title: step, theirs, seconds: ours, aim } of compilations) {
      if (performance.now() - started > LATEST_COMPILATION * 1000)
        note(`${step}: no time for torch.compile; npm run bench -- --compare --compile has it`);
      else compare(step, 'torch.compile', (await worker({ ...theirs, compile: true })).seconds, ours, aim);
    }
  } finally {
    reference.close();
  }
}
