// Options that change how a step is computed: gradient checkpointing, NEFTune noise, and batches that memory does not hold.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

import type { TrainingOptions } from '../../dist/native/index.js';
import type { TrainerCallback } from '../../dist/index.js';
import { largestDifference, timelessLog, toyRun, weightsOf } from '../fixtures/run.js';
import { divisorOf, pack } from '../fixtures/parity.js';
import { ADAMW, maxRelative, readAll, seededSession, TINY, weightBits } from '../fixtures/session.js';

const DROPOUT = {
  ...TINY,
  numHiddenLayers: 3,
  hiddenDropoutProb: 0.2,
  attentionProbsDropoutProb: 0.2,
  classifierDropout: 0.2,
};
const batch = { name: 'options', lengths: [9, 4, 17, 1], pairs: false, labels: [2, 0, 1, 1] };
const whole = pack(TINY, batch);

await tap.test('gradient checkpointing gives the same bits', async (t) => {
  const lora = { modules: ['bert.encoder.layer.1.output.dense'], rank: 2, scaling: 1, dropout: 0.3 };
  const frozen = ['bert.embeddings.', 'bert.encoder.layer.0.']; // layer 1 gets an input that needs no gradient
  for (const config of [DROPOUT, { ...DROPOUT, lora }])
    for (const prefixes of [[], frozen]) {
      const results = [];
      for (const gradientCheckpointing of [false, true]) {
        const session = await seededSession(config, 0.2);
        await session.restart({ gradientCheckpointing });
        const names = session.tensors().map(({ name }) => name);
        await session.configure(
          names
            .filter((name) => prefixes.some((prefix) => name.startsWith(prefix)))
            .map((name) => ({ name, trainable: false })),
        );
        for (let step = 0; step < 3; step++) {
          await session.accumulate(pack(TINY, batch, 0, 2), { divisor: divisorOf(batch) });
          await session.accumulate(pack(TINY, batch, 2, 4), { divisor: divisorOf(batch) });
          await session.update(ADAMW);
        }
        results.push(JSON.stringify([await weightBits(session), await session.stats()]));
        await session.close();
      }
      t.ok(results[1] === results[0], prefixes.length === 0 ? 'all trained' : 'frozen below');
    }
});

await tap.test('NEFTune noise: training only, linear in alpha, a function of step and token', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const lossWith = async (alpha: number, step = 0, parts = [whole]): Promise<number> => {
    await session.restart({ neftuneNoiseAlpha: alpha });
    await session.setProgress(step, step, 0);
    for (const part of parts) await session.accumulate(part, { divisor: 4 });
    return (await session.stats()).loss;
  };
  const logits = await session.predict(whole);
  const [plain, once, twice] = [await lossWith(0), await lossWith(0.01), await lossWith(0.02)];
  t.not(once, plain);
  t.ok(Math.abs((twice - plain) / (once - plain) - 2) < 0.1, 'twice the alpha is twice the noise');
  t.same(await session.predict(whole), logits, 'prediction has no noise');
  t.equal(await lossWith(0.01), once, 'the same step has the same noise');
  t.not(await lossWith(0.01, 1), once, 'another step has another');
  const split = await lossWith(0.01, 0, [pack(TINY, batch, 0, 3), pack(TINY, batch, 3, 4)]);
  t.ok(Math.abs(split - once) < 1e-6, 'micro-batches have the same noise');
  await session.close();
});

const skip = process.platform === 'linux' ? false : 'prlimit sets the limit';

await tap.test('a step that memory does not hold', { skip }, async (t) => {
  const script = fileURLToPath(new URL('../fixtures/out-of-memory.mjs', import.meta.url));
  const run = (...args: string[]): Record<string, number | string | null> =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the script prints it
    JSON.parse(
      String(
        execFileSync(process.execPath, [script, ...args], { env: { ...process.env, NODE_OPTIONS: '' } }),
      ),
    ) as Record<string, number | string | null>;
  const limited = run('24');
  t.equal(limited['failure'], null);
  t.ok(Number(limited['maxTokens']) > 0 && Number(limited['maxTokens']) < 4096, 'it was split');
  t.ok(Number(limited['difference']) < 1e-5, `the gradients are the same (${limited['difference']})`);
  t.ok(Math.abs(Number(limited['loss'])) < 1e-5, 'and counted once');
  t.match(run('24', 'off')['failure'], /^Memory ran out; use smaller batches.*autoFindBatchSize/);
});

await tap.test('options of a Trainer', async (t) => {
  const settings = {
    neftuneNoiseAlpha: 5,
    gradientCheckpointing: true,
    autoFindBatchSize: true,
    loggingSteps: 2,
  };
  const reference = await toyRun(t.testdir(), { ...settings, saveStrategy: 'steps', saveSteps: 3 });
  await reference.trainer.train();
  const weights = await weightsOf(reference.model);
  const log = timelessLog(reference.trainer.state);
  const finals: Float32Array[] = [];
  for (const change of [{ gradientCheckpointing: false }, { neftuneNoiseAlpha: 0 }]) {
    const other = await toyRun(t.testdirName, { ...settings, ...change });
    await other.trainer.train();
    finals.push(...[...(await readAll(other.model.session)).values()].slice(0, 1));
    t.equal(
      largestDifference(await weightsOf(other.model), weights) === 0,
      'gradientCheckpointing' in change,
      `${Object.keys(change).join()} changes what it should`,
    );
    await other.close();
  }
  t.ok(maxRelative(finals[1] ?? [], finals[0] ?? []) > 0);
  const resumed = await toyRun(t.testdirName, {
    ...settings,
    resumeFromCheckpoint: `${t.testdirName}/out/checkpoint-3`,
  });
  await resumed.trainer.train();
  t.equal(largestDifference(await weightsOf(resumed.model), weights), 0, 'resumed: the same bits');
  t.same(timelessLog(resumed.trainer.state), log);
  await resumed.close();
  const changed = await toyRun(t.testdirName, {
    ...settings,
    neftuneNoiseAlpha: 1,
    resumeFromCheckpoint: `${t.testdirName}/out/checkpoint-3`,
  });
  await t.rejects(changed.trainer.train(), { message: /neftuneNoiseAlpha/ });
  await changed.close();
  await reference.close();
});

await tap.test('what was learned when memory ran out is resumed', async (t) => {
  const settings = { autoFindBatchSize: true, saveStrategy: 'steps', saveSteps: 2 } as const;
  const limit = 9; // as if a step had not fitted; a batch of the toy has some 50 tokens
  const callbacks: TrainerCallback[] = [
    { onTrainBegin: ({ model }) => model.session.setProgress(0, 0, 0, limit) },
  ];
  const reference = await toyRun(t.testdir(), settings, { callbacks });
  await reference.trainer.train();
  const weights = await weightsOf(reference.model);
  const whole = await toyRun(t.testdirName, { saveStrategy: 'no' });
  await whole.trainer.train();
  t.not(largestDifference(await weightsOf(whole.model), weights), 0, 'how batches are cut shows in the bits');
  const resumed = await toyRun(t.testdirName, {
    ...settings,
    resumeFromCheckpoint: `${t.testdirName}/out/checkpoint-2`,
  });
  await resumed.trainer.train();
  t.equal(largestDifference(await weightsOf(resumed.model), weights), 0, 'the same bits');
  t.equal((await resumed.model.session.stats()).maxTokens, limit);
  await Promise.all([reference.close(), whole.close(), resumed.close()]);
});

await tap.test('options that cannot be', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const wrong = [
    { neftuneNoiseAlpha: -1 },
    { neftuneNoiseAlpha: NaN },
    { gradientCheckpointing: 1 },
    { autoFindBatchSize: 'yes' },
  ];
  for (const options of wrong)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- wrong on purpose
    await t.rejects(session.restart(options as unknown as TrainingOptions), {
      name: 'UsageError',
      message: Object.keys(options)[0],
    });
  await session.close();
});
