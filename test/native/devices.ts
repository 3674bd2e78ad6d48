// Devices by their numbers, on fake GPUs: what there is, which one a session computes on, what is refused, and the CUDA path of a
// training, whose operators the CPU runs there.
import { join } from 'node:path';
import tap, { type Test } from 'tap';

import type { DeviceInfo } from '../../dist/index.js';
import { capture } from '../../scripts/setup/process.mjs';
import { fakeGpus, skipFakes } from '../fixtures/fake-cuda.js';

const root = join(import.meta.dirname, '../..');

await tap.test('fake GPUs', { skip: skipFakes }, async (tap) => {
  const env = await fakeGpus(join(tap.testdir(), 'lib'), '9.0,7.5,9.0');

  /** What a script prints as JSON, in which `m` is the package, `n` its native layer and `train` the training of check:gpu. */
  const valueOf = async (t: Test, script: string, more: NodeJS.ProcessEnv = {}): Promise<unknown> => {
    const imports = `const m = await import(${JSON.stringify(join(root, 'dist/index.js'))});
      const n = await import(${JSON.stringify(join(root, 'dist/native/index.js'))});
      const { train, openSession } = await import(${JSON.stringify(join(root, 'scripts/gpu/training.mjs'))});`;
    const code = `${imports}\n${script}`;
    const { stdout, stderr } = await capture(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...env, ...more },
    });
    const last = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!t.ok(last !== '', stderr)) return undefined;
    return JSON.parse(last);
  };

  await tap.test('what there is', async (t) => {
    const info = (await valueOf(t, 'console.log(JSON.stringify(m.deviceInfo()))')) as DeviceInfo;
    t.match(info, { cuda: true, cudaProblem: '' });
    t.same(
      info.cudaDevices,
      [9, 7.5, 9].map((capability) => ({
        name: `Fake GPU ${capability.toFixed(1)}`,
        capability: [Math.floor(capability), (10 * capability) % 10],
        bytes: 2 ** 34,
      })),
    );
  });

  await tap.test('a session computes on the device that was asked for', async (t) => {
    const script = `const used = {};
      for (const device of ['cuda', 'cuda:1', 'cuda:2']) {
        const before = [0, 1, 2].map((i) => n.cudaPeakBytes(i));
        await train({ device, dtype: 'float32', steps: 1, perStep: 1, batches: [[4, 3]] });
        used[device] = [0, 1, 2].filter((i) => n.cudaPeakBytes(i) > before[i]);
      }
      console.log(JSON.stringify(used));`;
    t.same(await valueOf(t, script), { cuda: [0], 'cuda:1': [1], 'cuda:2': [2] });
  });

  await tap.test('a model takes the device of LOCAL_RANK', async (t) => {
    const script = `const config = { model_type: 'bert', vocab_size: 30, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,
        intermediate_size: 8, id2label: { 0: 'a', 1: 'b' }, label2id: { a: 0, b: 1 } };
      const placed = [];
      for (const device of ['cuda', 'auto', 'cuda:1', 'cpu']) {
        const model = m.AutoModelForSequenceClassification.fromConfig(m.parseConfig(config, 'a test'));
        await model.open({ device, threads: 1 });
        placed.push(model.placement);
        await model.close();
      }
      console.log(JSON.stringify(placed));`;
    // The fake driver has no functions for kernels, which a line says.
    t.match(await valueOf(t, script, { LOCAL_RANK: '2' }), [
      /^cuda:2, bfloat16, 1 thread/,
      /^cuda:2, bfloat16, 1 thread/,
      /^cuda:1, float32, 1 thread \(Fake GPU 7.5, of compute capability 7.5, has no bfloat16 arithmetic/,
      /^cpu, /,
    ]);
  });

  await tap.test('what is refused', async (t) => {
    const script = `const refusals = [];
      for (const device of ['cuda:3', 'cuda:999', 'cuda:', 'cuda:x', 'cuda:-1'])
        await openSession({ device, dtype: 'float32' }).catch((error) => refusals.push(error.message));
      console.log(JSON.stringify(refusals));`;
    t.match(await valueOf(t, script), [
      "device 'cuda:3' cannot be used: there is cuda:0 to cuda:2",
      "device 'cuda:999' cannot be used: there is cuda:0 to cuda:2",
      ...['cuda:', 'cuda:x', 'cuda:-1'].map(
        (name) => `Expected 'cpu', 'cuda' or one such as 'cuda:1' for device but received "${name}"`,
      ),
    ]);
    const cli = async (...args: string[]): Promise<unknown> => {
      const words = ['evaluate', '--model', 'm', '--validation-file', 'absent.csv', ...args];
      const { code, stderr } = await capture(process.execPath, [join(root, 'dist/cli.js'), ...words], {
        env,
      });
      return [code, stderr.trim().split('\n').at(-1)]; // Node's own complaint of what is preloaded comes first
    };
    t.same(await cli('--device', 'cuda:3'), [
      2,
      'bertune: --device cuda:3 cannot be used: there is cuda:0 to cuda:2. Name one of them.',
    ]);
    t.same(await cli('--device', 'cuda:1', '--dtype', 'bfloat16'), [
      2,
      'bertune: --dtype bfloat16 cannot be used: Fake GPU 7.5, of compute capability 7.5, has no bfloat16 arithmetic. Use --dtype float32, or auto.',
    ]);
  });

  await tap.test('a training by the operators of the CUDA path', async (t) => {
    const script = `const undropped = { config: { ...(await import(${JSON.stringify(join(root, 'scripts/gpu/training.mjs'))})).SMALL,
        hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 } };
      const results = {};
      for (const [name, dtype] of [['cpu', 'float32'], ['cuda', 'float32'], ['cuda', 'bfloat16']])
        results[name + ' ' + dtype] = (await train({ device: name, dtype, ...undropped, steps: 3 })).losses;
      const [first, second, other] = [7, 7, 8].map((seed) => train({ device: 'cuda:' + (seed - 7), dtype: 'float32', seed, steps: 2 }));
      results.bits = [(await first).bits === (await second).bits, (await first).bits === (await other).bits];
      console.log(JSON.stringify(results));`;
    const { bits, ...losses } = (await valueOf(t, script)) as Record<string, number[]>;
    const expected = losses['cpu float32'] ?? [];
    for (const [name, tolerance] of [
      ['cuda float32', 1e-5],
      ['cuda bfloat16', 1e-2],
    ] as const) {
      const errors = expected.map((loss, i) => Math.abs((losses[name]?.[i] ?? NaN) / loss - 1));
      t.ok(Math.max(...errors) <= tolerance, `${name}: losses differ by ${errors.join(', ')}`);
    }
    t.same(bits, [true, false], 'dropout is a function of the seed, also with three sessions at once');
  });
});
