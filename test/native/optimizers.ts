// The optimizers beside AdamW against torch.optim (scripts/reference/optimizers.py), their state, and what is refused.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';

import { openSafetensors } from '../../dist/formats/safetensors.js';
import type { OptimizerName, Session, StateKind } from '../../dist/native/index.js';
import { divisorOf, pack, worst, type Batch } from '../fixtures/parity.js';
import { largestDifference, timelessLog, toyRun, weightsOf } from '../fixtures/run.js';
import { readAll, seededSession, TINY, weightBits } from '../fixtures/session.js';
import type { BertShape } from '../fixtures/bert-spec.mjs';

interface Case {
  name: string;
  config: BertShape;
  scale: number;
  optimizer: OptimizerName;
  momentum: number;
  batches: Batch[];
  options: Parameters<Session['update']>[0];
  losses: number[];
  weights: Record<string, number[]>;
  states: Partial<Record<StateKind, Record<string, number[]>>>;
  rounding: { loss: number; weight: number };
}

const { cases } = JSON.parse(
  readFileSync(new URL('../fixtures/optimizers.json', import.meta.url), 'utf8'),
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own script wrote it
) as { cases: Case[] };

const compared = (tensors: Map<string, Float32Array>): Map<string, Float32Array> =>
  new Map([...tensors].filter(([name]) => !name.endsWith('key.bias')));

for (const reference of cases)
  await tap.test(`steps equal torch.optim's: ${reference.name}`, async (t) => {
    const { config, scale, optimizer, momentum, rounding } = reference;
    const session = await seededSession(config, scale);
    await session.restart({ optimizer, momentum });
    for (const [step, batch] of reference.batches.entries()) {
      await session.accumulate(pack(config, batch), { divisor: divisorOf(batch) });
      await session.update(reference.options);
      const { loss } = await session.stats();
      const error = Math.abs(loss - (reference.losses[step] ?? NaN));
      t.ok(error + rounding.loss <= 1e-5, `step ${step}: the loss differs by ${error}`);
    }
    const weight = worst(compared(await readAll(session)), reference.weights);
    t.ok(weight.error + rounding.weight <= 1e-4, `weights differ by ${weight.error} (${weight.name})`);
    t.same(
      new Set((await session.optimizerState()).map(({ kind }) => kind)),
      new Set([...Object.keys(reference.states), 'step']),
      'it keeps what torch keeps',
    );
    for (const [kind, expected] of Object.entries(reference.states)) {
      const found = new Map<string, Float32Array>();
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the fixture's keys
      for (const { name } of session.tensors()) found.set(name, await session.read(name, kind as StateKind));
      const { error, name } = worst(compared(found), expected);
      t.ok(error <= 1e-4, `${kind} differs by ${error} (${name})`);
    }
    const before = await weightBits(session);
    const [batch] = reference.batches;
    if (batch === undefined) throw new Error('a case has batches');
    await session.accumulate(pack(config, batch), { divisor: 1e-30 }); // the norm is not finite
    await session.update(reference.options);
    t.equal((await session.stats()).skipped, 1);
    t.ok((await weightBits(session)) === before, 'a step that is not finite changes nothing');
    await session.close();
  });

await tap.test('resumed with momentum: the same bits; another optimizer is refused', async (t) => {
  const settings = { optim: 'sgd' as const, momentum: 0.9, learningRate: 0.05, loggingSteps: 2 };
  const whole = await toyRun(t.testdir(), { ...settings, saveStrategy: 'steps', saveSteps: 4 });
  await whole.trainer.train();
  const weights = await weightsOf(whole.model);
  const log = timelessLog(whole.trainer.state);
  const checkpoint = join(t.testdirName, 'out', 'checkpoint-4');
  const file = await openSafetensors(join(checkpoint, 'optimizer.safetensors'));
  t.ok(file.tensors.has('momentum_buffer.classifier.weight'));
  t.notOk(file.tensors.has('exp_avg.classifier.weight'));
  await file.close();
  const resumed = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: checkpoint });
  await resumed.trainer.train();
  t.equal(largestDifference(await weightsOf(resumed.model), weights), 0);
  t.same(timelessLog(resumed.trainer.state), log);
  for (const change of [{ optim: 'adagrad' as const, momentum: 0 }, { momentum: 0.5 }]) {
    const other = await toyRun(t.testdirName, { ...settings, ...change, resumeFromCheckpoint: checkpoint });
    await t.rejects(other.trainer.train(), { message: 'optim' in change ? /optim/ : /momentum/ });
    await other.close();
  }
  await Promise.all([whole.close(), resumed.close()]);
});

await tap.test('optimizers that cannot be', async (t) => {
  await t.rejects(toyRun(t.testdir(), { momentum: 0.9 }), { message: /momentum needs optim sgd/ });
  await t.rejects(toyRun(t.testdirName, { optim: 'sgd', momentum: 1 }), { message: /momentum/ });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- wrong on purpose
  await t.rejects(toyRun(t.testdirName, { optim: 'lion' as 'sgd' }), { message: /adagrad.*"?lion/ });
  const session = await seededSession(TINY, 0.2);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- wrong on purpose
  await t.rejects(session.restart({ optimizer: 'lion' as 'sgd' }), { message: /no optimizer 'lion'/ });
  await t.rejects(session.restart({ optimizer: 'sgd', momentum: -1 }), { message: /momentum/ });
  await session.close();
});
