// Trainings of several processes on this machine: the same as by one.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import type { Options } from '../fixtures/cli.js';
import { distance, logged, train as trainIn, weights, worst } from '../fixtures/together.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 333, test: 101 });

const train = (output: string, processes: number, options: Options = {}): Promise<string> =>
  trainIn(folder, output, processes, options);
const at = (output: string): string => join(folder, output);

await t.test('2 and 4 processes train as one does', { timeout: 0 }, async (t) => {
  await train('one', 1);
  for (const processes of [2, 4]) {
    const output = `of-${processes}`;
    await train(output, processes);
    const losses = worst(logged(at(output)), logged(at('one')), /^(eval_)?loss$/);
    t.ok(losses < 1e-5, `${processes} processes: losses within ${losses}`);
    const far = distance(weights(at(output)), weights(at('one')));
    t.ok(far < 1e-4, `${processes} processes: weights within ${far}`);
    t.equal(
      worst(logged(at(output)), logged(at('one')), /^eval_accuracy$/),
      0,
      `${processes} processes: the same accuracies`,
    );
  }
  await train('of-2-again', 2);
  t.same(weights(at('of-2-again')), weights(at('of-2')), 'two runs of one size have the same bits');
  t.same(logged(at('of-2-again')), logged(at('of-2')), 'and logs');
});

await t.test('adapters, accumulation and reductions in bfloat16', { timeout: 0 }, async (t) => {
  const options = {
    'max-steps': '40',
    'eval-strategy': 'no',
    'gradient-accumulation-steps': '3',
    config: undefined,
    model: 'one',
    'lora-rank': '4',
    'lora-dropout': '0.1',
    'neftune-noise-alpha': '5',
  } satisfies Options;
  await train('lora-1', 1, options);
  await train('lora-2', 2, options);
  const losses = worst(logged(at('lora-2')), logged(at('lora-1')), /^loss$/);
  t.ok(losses < 1e-5, `losses within ${losses}`);
  await train('rounded', 2, {
    'max-steps': '40',
    'eval-strategy': 'no',
    'gradient-reduce-dtype': 'bfloat16',
  });
  await train('exact', 2, { 'max-steps': '40', 'eval-strategy': 'no' });
  const rounded = worst(logged(at('rounded')), logged(at('exact')), /^loss$/);
  t.ok(rounded > 0 && rounded < 0.05, `rounded gradients: losses within ${rounded}`);
});

await t.test('fewer rows than processes', { timeout: 0 }, async (t) => {
  writeFileSync(
    join(folder, 'few.csv'),
    readFileSync(join(folder, 'train.csv'), 'utf8').split('\n').slice(0, 4).join('\n'),
  );
  const options = { 'train-file': 'few.csv', 'eval-strategy': 'no', 'max-steps': '10' } satisfies Options;
  await train('few-1', 1, options);
  await train('few-4', 4, options);
  const losses = worst(logged(at('few-4')), logged(at('few-1')), /^loss$/);
  t.ok(losses < 1e-5, `losses within ${losses}`);
});

await t.test('resumed with the same bits, and at another size', { timeout: 0 }, async (t) => {
  const saving = { 'save-strategy': 'steps', 'save-steps': '120' } satisfies Options;
  await train('whole', 2, saving);
  mkdirSync(join(folder, 'resumed'));
  await train('resumed', 2, { ...saving, 'resume-from-checkpoint': 'whole/checkpoint-120' });
  t.same(weights(at('resumed')), weights(at('whole')), 'the same bits');
  const told = await train('resumed-alone', 1, {
    ...saving,
    'resume-from-checkpoint': 'whole/checkpoint-120',
  });
  t.match(told, /placement was "cpu, float32, 1 thread, 2 processes" and is now "cpu, float32, 1 thread"/);
  const far = distance(weights(at('resumed-alone')), weights(at('whole')));
  t.ok(far < 1e-4, `one process continues what two began: weights within ${far}`);
});
