// A signal when all steps are done: the training is not lost, whatever is still to be done.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { bertune, flags, startBertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

/** Two steps, and an evaluation that takes much longer. */
const training = {
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'output-dir': 'out',
  'max-steps': '2',
  'save-strategy': 'no',
  'per-device-eval-batch-size': '4',
  threads: '1',
  'dataloader-num-workers': '0',
};

function results(folder: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, 'out/all_results.json'), 'utf8')) as Record<string, unknown>;
}

await t.test('in the last evaluation: it is cancelled, and the model is saved', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 10_000 });
  const { kill, stderr, outcome } = startBertune(['train', ...flags(training)], { cwd: folder });
  while (!stderr().includes('train_loss')) await sleep(1);
  await sleep(20);
  kill('SIGTERM');
  const ended = await outcome;
  t.match(ended, { code: 143, signal: null, stdout: '' }, ended.stderr);
  t.match(ended.stderr, /^SIGTERM: saving the trained model; a second SIGTERM stops at once$/m);
  t.match(
    ended.stderr,
    /^bertune: stopped by SIGTERM; all steps were done, and the model is in out, not evaluated\n$/m,
  );
  t.ok(existsSync(join(folder, 'out/model.safetensors')));
  t.notOk(existsSync(join(folder, 'out/eval_results.json')));
  t.same(
    Object.keys(results(folder)).filter((name) => name.startsWith('eval_')),
    [],
  );
  const state = readFileSync(join(folder, 'out/trainer_state.json'), 'utf8');
  t.notMatch(state, /eval_loss/, 'no entry of half an evaluation');
});

/** Sends signals to the process itself when the folder in which the new model waits is made. */
function signalling(folder: string, ...signals: NodeJS.Signals[]): readonly string[] {
  const path = join(folder, 'signalling.mjs');
  writeFileSync(
    path,
    `import fs from 'node:fs/promises';
     import { syncBuiltinESMExports } from 'node:module';
     const { mkdir } = fs;
     fs.mkdir = async (path, ...rest) => {
       const made = await mkdir(path, ...rest);
       if (String(path).includes('model.tmp-'))
         for (const signal of ${JSON.stringify(signals)}) {
           process.kill(process.pid, signal);
           await new Promise((resolve) => setTimeout(resolve, 20));
         }
       return made;
     };
     syncBuiltinESMExports();`,
  );
  return ['env', `NODE_OPTIONS=--import=${path}`];
}

await t.test('in the save: it is finished; a second signal leaves the model that was there', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  const train = (options: Record<string, string>, ...signals: NodeJS.Signals[]): ReturnType<typeof bertune> =>
    bertune(['train', ...flags({ ...training, ...options })], {
      cwd: folder,
      wrapper: signalling(folder, ...signals),
    });
  const once = await train({}, 'SIGINT');
  t.match(once, { code: 130, signal: null, stdout: '' }, once.stderr);
  t.match(once.stderr, /^bertune: stopped by SIGINT; all steps were done, and the model is in out\n$/m);
  const { eval_loss: loss } = results(folder);
  t.type(loss, 'number', 'the evaluation was done');

  const model = readFileSync(join(folder, 'out/model.safetensors'));
  const twice = await train({ 'learning-rate': '0.01' }, 'SIGINT', 'SIGTERM');
  t.equal(twice.signal, 'SIGTERM', twice.stderr);
  t.equal(results(folder)['eval_loss'], loss);
  t.ok(model.equals(readFileSync(join(folder, 'out/model.safetensors'))), 'the older model, whole');
});
