// Steps as CUDA graphs on a fake GPU (native/tests/fake_cuda_graph.cc): what is recorded has the numbers that it had then, a wait for
// the device or a copy from the host is an error meanwhile, and so is a replay that reads memory given back since. Passes and
// updates that are replayed leave the bits of those that are launched one by one.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
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

  /** Trainings as scripts/gpu/training.mjs has them, each with graphs and without, in one process. */
  const trainAll = async (t: Test, jobs: object[], more: NodeJS.ProcessEnv): Promise<[Found, Found][]> => {
    const script = `import { train, smallConfig } from ${JSON.stringify(join(root, 'scripts/gpu/training.mjs'))};
      const results = [];
      for (const { dropout, config = smallConfig('2x32x2'), ...job } of ${JSON.stringify(jobs)}) {
        const keys = ['hidden_dropout_prob', 'attention_probs_dropout_prob', ...Object.keys(config).filter((key) => /dropout/.test(key))];
        for (const key of keys) if (key !== 'classifier_dropout') config[key] = dropout;
        const given = { device: 'cuda', batches: [[9, 5, 12], [20, 1]], steps: 7, config, ...job };
        results.push([
          await train({ ...given, options: { cudaGraphs: true } }),
          await train({ ...given, options: { cudaGraphs: false } }),
        ]);
      }
      console.log(JSON.stringify(results));`;
    const { stdout, stderr } = await capture(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...env, ...more },
    });
    const last = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!t.ok(last.startsWith('['), stderr)) throw new Error(stderr);
    return JSON.parse(last) as [Found, Found][];
  };

  const kernels = { BERTUNE_FAKE_KERNELS: '1' };
  const ways = {
    'one micro-batch a step': { perStep: 1 },
    two: { perStep: 2 },
    adapters: { perStep: 1, loraRank: 2 },
  };
  const dtypes = ['float32', 'bfloat16'];

  await tap.test('with dropout, by fused kernels', async (t) => {
    const jobs = dtypes.flatMap((dtype) =>
      Object.entries(ways).map(([title, way]) => ({
        title: `${dtype}, ${title}`,
        dtype,
        dropout: 0.1,
        ...way,
      })),
    );
    for (const [i, [recorded, eager]] of (await trainAll(t, jobs, kernels)).entries()) {
      const title = jobs[i]?.title;
      t.equal(recorded.kernelsProblem, '', `${title}: kernels load`);
      t.equal(recorded.graphProblem, '', `${title}: all are recorded`);
      t.equal(recorded.bits, eager.bits, `${title}: the same bits`);
      t.same(recorded.losses, eager.losses, `${title}: the same losses`);
    }
  });

  await tap.test('all families', async (t) => {
    const folder = join(root, 'test/fixtures/families');
    const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'model/config.json')));
    const jobs = dtypes.flatMap((dtype) =>
      names.map((name) => ({
        title: `${name}, ${dtype}`,
        dtype,
        dropout: 0.1,
        steps: 4,
        perStep: 1,
        config: JSON.parse(readFileSync(join(folder, name, 'model/config.json'), 'utf8')) as object,
      })),
    );
    for (const [i, [recorded, eager]] of (await trainAll(t, jobs, kernels)).entries()) {
      t.equal(recorded.graphProblem, '', `${jobs[i]?.title}: what can be recorded is`);
      t.equal(recorded.bits, eager.bits, `${jobs[i]?.title}: the same bits`);
    }
  });

  await tap.test('without kernels dropout cannot be recorded, and runs as it is', async (t) => {
    const [[recorded, eager] = []] = await trainAll(t, [{ dtype: 'float32', dropout: 0.1 }], {});
    t.match(recorded?.graphProblem, /operation not permitted when stream is capturing: a new generator/);
    t.equal(recorded?.bits, eager?.bits);
  });

  await tap.test(
    'without kernels and dropout passes are recorded, and updates run as they are',
    async (t) => {
      const [[recorded, eager] = []] = await trainAll(t, [{ dtype: 'bfloat16', dropout: 0 }], {});
      t.equal(recorded?.graphProblem, '');
      t.equal(recorded?.bits, eager?.bits);
    },
  );
});
