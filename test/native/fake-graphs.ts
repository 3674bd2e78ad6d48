// Steps as CUDA graphs on a fake GPU (native/tests/fake_cuda_graph.cc): what is recorded has the numbers that it had then, a wait for
// the device or a copy from the host is an error meanwhile, and so is a replay that reads memory given back since. Passes and
// updates that are replayed leave the bits of those that are launched one by one.
import { join } from 'node:path';
import tap, { type Test } from 'tap';

import { capture } from '../../scripts/setup/process.mjs';
import { fakeGpus, skipFakes } from '../fixtures/fake-cuda.js';

const root = join(import.meta.dirname, '../..');

interface Found {
  bits: string;
  losses: number[];
  graphProblem: string;
  kernelsProblem: string;
}

await tap.test('graphs on a fake GPU', { skip: skipFakes }, async (tap) => {
  const env = await fakeGpus(join(tap.testdir(), 'lib'), '9.0');

  /** Trainings as scripts/gpu/training.mjs has them, each with graphs and without. */
  const trainBoth = async (t: Test, job: object, more: NodeJS.ProcessEnv): Promise<[Found, Found]> => {
    const script = `import { train, smallConfig } from ${JSON.stringify(join(root, 'scripts/gpu/training.mjs'))};
      const { dropout, ...job } = ${JSON.stringify(job)};
      const config = { ...smallConfig('2x32x2'), hidden_dropout_prob: dropout, attention_probs_dropout_prob: dropout };
      const results = [];
      for (const cudaGraphs of [true, false])
        results.push(await train({ device: 'cuda', batches: [[9, 5, 12], [20, 1]], steps: 7, config, ...job, options: { ...job.options, cudaGraphs } }));
      console.log(JSON.stringify(results));`;
    const { stdout, stderr } = await capture(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...env, ...more },
    });
    const last = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!t.ok(last !== '', stderr)) throw new Error(stderr);
    return JSON.parse(last) as [Found, Found];
  };

  const kernels = { BERTUNE_FAKE_KERNELS: '1' };
  for (const dtype of ['float32', 'bfloat16'])
    for (const [title, job] of Object.entries({
      'one micro-batch a step': { perStep: 1 },
      'two micro-batches a step': { perStep: 2 },
      adapters: { perStep: 1, loraRank: 2 },
    }))
      await tap.test(`${dtype}, ${title}`, async (t) => {
        const [recorded, eager] = await trainBoth(t, { dtype, dropout: 0.1, ...job }, kernels);
        t.equal(recorded.kernelsProblem, '');
        t.equal(recorded.graphProblem, '');
        t.equal(recorded.bits, eager.bits);
        t.same(recorded.losses, eager.losses);
      });

  await tap.test('without kernels dropout cannot be recorded, and runs as it is', async (t) => {
    const [recorded, eager] = await trainBoth(t, { dtype: 'float32', dropout: 0.1 }, {});
    t.match(recorded.graphProblem, /operation not permitted when stream is capturing: a new generator/);
    t.equal(recorded.bits, eager.bits);
  });

  await tap.test('without kernels and dropout passes are recorded, and updates run as they are', async (t) => {
    const [recorded, eager] = await trainBoth(t, { dtype: 'bfloat16', dropout: 0 }, {});
    t.equal(recorded.graphProblem, '');
    t.equal(recorded.bits, eager.bits);
  });
});
