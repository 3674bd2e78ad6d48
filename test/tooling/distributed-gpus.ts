// Several processes whose GPUs are none (native/tests/fake_cuda.cc, fake_nccl.cc): which way their gradients go, that the sums are
// those of one process, and an end with one line when one of them is gone.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { capture } from '../../scripts/setup/process.mjs';
import { flags, startBertune, type Options } from '../fixtures/cli.js';
import { fakeGpus, skipFakes } from '../fixtures/fake-cuda.js';
import { processesOf } from '../fixtures/together.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

if (skipFakes !== false) t.bailout(skipFakes);

const STEPS = 20;
const folder = t.testdir();
makeToy(folder, { train: 96, test: 16 });
// Masks of dropout differ from GPU to GPU.
const noDropout = { ...TOY_CONFIG, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
writeFileSync(join(folder, 'config.json'), JSON.stringify(noDropout));

const OPTIONS = {
  tokenizer: 'model',
  config: 'config.json',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'learning-rate': '3e-4',
  'logging-steps': '1',
  'save-strategy': 'no',
  device: 'cuda',
  dtype: 'float32',
  threads: '1',
} satisfies Options;
const gpus = await fakeGpus(join(folder, 'lib'), '9.0,9.0');
const FAILURE = join(import.meta.dirname, '../fixtures/nccl-failure.mjs');
const VIA_HOST = /^Gradients go from GPU to GPU by way of the host: (.*)$/m;

function start(
  output: string,
  processes: number,
  options: Options,
  env: Record<string, string> = {},
): ReturnType<typeof startBertune> {
  const args = flags({
    ...OPTIONS,
    'output-dir': output,
    'max-steps': String(STEPS),
    'per-device-train-batch-size': String(16 / processes),
    nproc: processes > 1 ? String(processes) : undefined,
    ...options,
  });
  return startBertune(['train', ...args], { cwd: folder, env: { ...(gpus as typeof env), ...env } });
}

/** The losses of a run that ends well, step by step, and what it printed. */
async function train(
  ...args: Parameters<typeof start>
): Promise<{ losses: (number | undefined)[]; stderr: string }> {
  const { code, stderr } = await start(...args).outcome;
  if (code !== 0) throw new Error(stderr);
  const state = JSON.parse(readFileSync(join(folder, args[0], 'trainer_state.json'), 'utf8')) as {
    log_history: { loss?: number }[];
  };
  const losses = state.log_history.filter(({ loss }) => loss !== undefined).map(({ loss }) => loss);
  return { losses, stderr };
}

function worst(a: readonly (number | undefined)[], b: readonly (number | undefined)[]): number {
  const errors = b.map((loss, i) => Math.abs((a[i] ?? NaN) / (loss ?? NaN) - 1));
  return a.length === STEPS ? Math.max(...errors) : NaN;
}

await t.test('sums from GPU to GPU are those of one process', { timeout: 0 }, async (t) => {
  const one = await train('one', 1, {});
  const nccl = await train('nccl', 2, {});
  t.notMatch(nccl.stderr, VIA_HOST);
  t.ok(worst(nccl.losses, one.losses) < 1e-5, `within ${worst(nccl.losses, one.losses)}`);

  const accumulation = {
    'gradient-accumulation-steps': '2',
    'per-device-train-batch-size': '4',
  } satisfies Options;
  const parts = await train('parts', 2, accumulation);
  t.ok(
    worst(parts.losses, one.losses) < 1e-5,
    `in two batches a step: within ${worst(parts.losses, one.losses)}`,
  );

  const rounded = await train('rounded', 2, { 'gradient-reduce-dtype': 'bfloat16' });
  const error = worst(rounded.losses, one.losses);
  t.ok(error > 0 && error < 0.05, `rounded to bfloat16: within ${error}`);
});

await t.test('without NCCL they go through the host', { timeout: 0 }, async (t) => {
  const broken = { BERTUNE_FAKE_NCCL: 'broken' };
  const nccl = await train('direct', 2, {});
  const host = await train('host', 2, {}, broken);
  t.equal(VIA_HOST.exec(host.stderr)?.[1], 'rank 0: unhandled system error');
  t.equal(host.stderr.match(new RegExp(VIA_HOST, 'gm'))?.length, 1, 'told once');
  t.same(host.losses, nccl.losses, 'two processes: sums of two numbers have one order');

  const chosen = await train('chosen', 2, { 'ddp-backend': 'gloo' });
  t.notMatch(chosen.stderr, VIA_HOST);
  t.same(chosen.losses, host.losses);

  const { code, stderr } = await start('demanded', 2, { 'ddp-backend': 'nccl' }, broken).outcome;
  t.equal(code, 1);
  t.match(
    stderr,
    /^bertune: The backend nccl cannot be used \(rank 0: unhandled system error\): choose gloo/m,
  );
});

await t.test('weights of sums that have come to nothing are not read', { timeout: 0 }, async (t) => {
  const { stdout, stderr } = await capture(process.execPath, [FAILURE], {
    env: { ...gpus, BERTUNE_FAKE_NCCL: 'late' },
  });
  const said = JSON.parse(stdout || JSON.stringify(stderr)) as { problem: string; reasons: string[] }[];
  t.match(
    said,
    [0, 1].map(() => ({
      problem: /^$/,
      reasons: [/could not be summed: NCCL: remote process exited/, /^the session is closed/],
    })),
  );
});

await t.test('a process that is gone', { timeout: 0 }, async (t) => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const run = start(`gone-${signal}`, 2, { 'max-steps': '100000', 'ddp-timeout': '10' });
    while (!run.stderr().includes('step 20/')) await new Promise((resolve) => setTimeout(resolve, 100));
    process.kill(processesOf(`gone-${signal}`).get(1) ?? NaN, signal);
    const { code, stderr } = await run.outcome;
    t.equal(code, 1, stderr);
    t.match(
      stderr,
      /^bertune: Rank 1 of 2 gave no sign for 3 seconds: killed, stopped, or out of reach \(.*/m,
    );
  }
});
