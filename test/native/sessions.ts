// The life of native sessions: several at once, the order of calls, memory that changes hands, updates that are skipped,
// resuming, starting afresh, where they compute, and every way to end: closed, closed amid a step, abandoned, with the process, with a worker thread.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import tap, { type Test } from 'tap';

import { withStack } from '../../dist/native/failures.js';
import {
  chooseDevice,
  Session,
  type Device,
  type DeviceInfo,
  type PackedBatch,
} from '../../dist/native/index.js';
import { seededBatch } from '../fixtures/seeded.js';
import {
  ADAMW,
  OPTIONS,
  TINY,
  copyTensors,
  float32,
  labelledBatch,
  readAll,
  seededSession,
  weightBits,
} from '../fixtures/session.js';
import { bertSpec } from '../fixtures/bert-spec.mjs';

const WEIGHT = 'bert.encoder.layer.0.attention.self.value.weight';
const DROPPING = { ...TINY, hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.1, classifierDropout: 0.1 };
/** A step of this model takes some tenths of a second. */
const SLOW = {
  ...TINY,
  hiddenSize: 256,
  numHiddenLayers: 4,
  intermediateSize: 1024,
  maxPositionEmbeddings: 512,
};

const batchOf = (name: string, lengths: readonly number[]): PackedBatch => labelledBatch(TINY, name, lengths);

const slowBatch = (): PackedBatch => batchOf('slow', [512, 512, 512, 512]);

async function trainSteps(session: Session, from: number, to: number): Promise<void> {
  for (let step = from; step < to; step++) {
    await session.accumulate(batchOf(`step ${step}`, [30, 5, 64, 12]), { divisor: 4 });
    await session.update(ADAMW);
  }
}

/** The weights of four steps with dropout, as bits. */
async function trained(options: Partial<typeof OPTIONS>): Promise<string> {
  const session = await seededSession(DROPPING, 0.3, options);
  await trainSteps(session, 0, 4);
  const bits = await weightBits(session);
  await session.close();
  return bits;
}

await tap.test('sessions do not disturb each other', async (t) => {
  const variants = [{ seed: 1 }, { seed: 2, dtype: 'bfloat16' as const }, { seed: 3, threads: 1 }];
  const together = await Promise.all(variants.map(trained));
  for (const [i, options] of variants.entries()) {
    t.ok((await trained(options)) === together[i], `session ${i} gives the bits that it gives alone`);
  }
});

await tap.test('calls run in the order they were made, on the values of that moment', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const values = new Float32Array(256);
  const pending: Promise<Float32Array>[] = [];
  for (let i = 0; i < 20; i++) {
    values.fill(i);
    void session.write(WEIGHT, float32([16, 16], values));
    pending.push(session.read(WEIGHT));
  }
  const read = await Promise.all(pending);
  t.ok(
    read.every((tensor, i) => tensor.length === 256 && tensor.every((value) => value === i)),
    'each read sees the write before it, and no later change of the array',
  );
  read[19]?.fill(-1);
  t.ok(
    (await session.read(WEIGHT)).every((value) => value === 19),
    'what was read is a copy',
  );

  const batch = batchOf('order', [7, 1, 64]);
  const expected = await session.predict(batch);
  const predicted = session.predict(batch);
  batch.inputIds.fill(1);
  batch.cuSeqlens.fill(0);
  t.same(await predicted, expected, 'a batch may be reused at once');
  await session.close();
});

/** The same values as a view into the middle of `memory`. */
function within(array: Int32Array = new Int32Array(), memory: ArrayBufferLike): Int32Array {
  const whole = new Int32Array(memory).fill(-5);
  whole.set(array, 3);
  return whole.subarray(3, 3 + array.length);
}

await tap.test('views into larger and into shared memory', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const batch = batchOf('views', [7, 1, 64]);
  const expected = await session.predict(batch);
  for (const make of [
    (size: number) => new ArrayBuffer(size),
    (size: number) => new SharedArrayBuffer(size),
  ]) {
    const view = {
      inputIds: within(batch.inputIds, make(400)),
      cuSeqlens: within(batch.cuSeqlens, make(400)),
      tokenTypeIds: within(batch.tokenTypeIds, make(400)),
    };
    t.same(await session.predict(view), expected, make(0).constructor.name);
  }
  const bytes = new Uint8Array(1024 + 5).fill(255);
  bytes.set(new Uint8Array(new Float32Array(256).fill(0.5).buffer), 3);
  await session.write(WEIGHT, { dtype: 'F32', shape: [16, 16], data: bytes.subarray(3, 3 + 1024) });
  t.ok(
    (await session.read(WEIGHT)).every((value) => value === 0.5),
    'bytes need no alignment',
  );
  await session.close();
});

await tap.test('some rows of a tensor are written', async (t) => {
  const session = await seededSession(TINY, 0.3);
  await session.write('bert.embeddings.word_embeddings.weight', float32([40, 16], new Float32Array(640)));
  const three = { ...float32([3, 16], new Float32Array(48).fill(2)), firstRow: 5 };
  for (const kind of ['weight', 'exp_avg'] as const) {
    const before = await session.read(WEIGHT, kind);
    const expected = before.map((value, i) => (i >= 5 * 16 && i < 8 * 16 ? 2 : value));
    await session.write(WEIGHT, three, kind);
    t.same(await session.read(WEIGHT, kind), expected, kind);
  }
  const batch = batchOf('rows', [7, 1, 64]);
  const predicted = await session.predict(batch);
  const last = { ...float32([1], new Float32Array([9])), firstRow: 2 };
  await session.write('classifier.bias', last);
  t.equal((await session.read('classifier.bias'))[2], 9, 'a vector too');
  t.notSame(await session.predict(batch), predicted, 'the next prediction reads them');
  await session.close();
});

await tap.test('float16 and bfloat16 weights are widened exactly', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const halves = {
    bits: [0x3c00, 0xbc00, 0x3555, 0x0001, 0x7bff],
    values: [1, -1, 0.333251953125, 2 ** -24, 65504],
  };
  const brains = { bits: [0x3f80, 0xbf80, 0x3eab, 0x0080], values: [1, -1, 0.333984375, 2 ** -126] };
  for (const [dtype, { bits, values }] of [
    ['F16', halves],
    ['BF16', brains],
  ] as const) {
    const words = new Uint16Array(256);
    words.set(bits);
    await session.write(WEIGHT, { dtype, shape: [16, 16], data: new Uint8Array(words.buffer) });
    t.same([...(await session.read(WEIGHT)).subarray(0, bits.length)], values, dtype);
  }
  await session.close();
});

await tap.test('an update that is not finite is left out', async (t) => {
  const session = await seededSession(TINY, 0.3);
  await trainSteps(session, 0, 2);
  const good = await session.read(WEIGHT);
  for (const poison of [NaN, Infinity]) {
    await session.write(WEIGHT, float32([16, 16], good.with(17, poison)));
    const before = await weightBits(session);
    const moments = await session.read(WEIGHT, 'exp_avg');
    await trainSteps(session, 2, 3);
    t.ok((await weightBits(session)) === before, `${poison}: the weights stay`);
    t.same(await session.read(WEIGHT, 'exp_avg'), moments, `${poison}: the moments stay`);
  }
  const { updates, skipped, gradNorm } = await session.stats();
  t.same({ updates, skipped }, { updates: 2, skipped: 2 });
  t.notOk(Number.isFinite(gradNorm), 'the norm says why');
  await session.write(WEIGHT, float32([16, 16], good));
  await trainSteps(session, 3, 4);
  const after = await session.stats();
  t.ok(
    Number.isFinite(after.loss) && Number.isFinite(after.gradNorm),
    'with good weights the training continues',
  );
  t.same([after.updates, after.skipped], [3, 2]);
  await session.close();
});

await tap.test('a resumed session continues bit for bit', async (t) => {
  const whole = await seededSession(DROPPING, 0.3, { seed: 9 });
  await trainSteps(whole, 0, 5);
  const first = await seededSession(DROPPING, 0.3, { seed: 9 });
  await trainSteps(first, 0, 3);
  const second = await Session.create(bertSpec(DROPPING), { ...OPTIONS, seed: 9 });
  await copyTensors(first, second, ['weight', 'exp_avg', 'exp_avg_sq']);
  await second.setProgress(3, 3, (await first.stats()).totalLoss);
  await trainSteps(second, 3, 5);
  t.ok((await weightBits(second)) === (await weightBits(whole)));
  const [resumed, straight] = [await second.stats(), await whole.stats()];
  t.same([resumed.updates, resumed.totalLoss], [5, straight.totalLoss], 'the counters continue too');
  await Promise.all([whole.close(), first.close(), second.close()]);
});

await tap.test('a restarted session trains as a new one with its weights', async (t) => {
  const used = await seededSession(DROPPING, 0.3, { seed: 9 });
  await trainSteps(used, 0, 3);
  await used.write(WEIGHT, float32([16, 16], (await used.read(WEIGHT)).with(17, Number.NaN)));
  await trainSteps(used, 3, 4);
  await used.write(WEIGHT, float32([16, 16], (await used.read(WEIGHT)).with(17, 0.5)));
  t.equal((await used.stats()).skipped, 1, 'even one update was left out');
  await used.accumulate(batchOf('not updated', [12]), { divisor: 1 });
  await used.restart();

  const fresh = await Session.create(bertSpec(DROPPING), { ...OPTIONS, seed: 9 });
  await copyTensors(used, fresh);
  t.match(await used.stats(), { loss: 0, totalLoss: 0, updates: 0, skipped: 0 });
  for (const session of [used, fresh]) await trainSteps(session, 0, 3);
  t.ok((await weightBits(used)) === (await weightBits(fresh)), 'the same bits');
  for (const kind of ['exp_avg', 'exp_avg_sq'] as const)
    t.same(await used.read(WEIGHT, kind), await fresh.read(WEIGHT, kind), kind);
  t.same(await used.stats(), await fresh.stats());
  await Promise.all([used.close(), fresh.close()]);
});

const withLimits = { skip: spawnSync('prlimit', ['--version']).status !== 0 && 'prlimit is needed' };

await tap.test('a call that runs out of memory leaves the session as it was', withLimits, async (t) => {
  const program = join(import.meta.dirname, '..', 'fixtures', 'failed-calls.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [program], {
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const { messages, leftOut, ...rest } = JSON.parse(stdout) as { messages: string[]; leftOut: string[] };
  for (const message of messages)
    t.match(message, /^Memory ran out; use .*; the session is as it was before this call\)$/);
  t.match(leftOut.shift(), /^Memory ran out; /);
  const notDone = 'not done, since a call before it failed';
  t.same(leftOut, [notDone, notDone], 'an update of half the gradients, and what follows it');
  t.same(
    rest,
    { isSameGradient: true, isSameLoss: true, states: 0, isSameWeight: true },
    'gradients of earlier micro-batches, and updates afterwards',
  );
});

await tap.test('a failure is one line that says how the session is', async (t) => {
  const messageOf = (text: string): Promise<unknown> =>
    withStack(() => Promise.reject(new Error(text))).catch((error: Error) => error.message);
  const asBefore = '; the session is as it was before this call';
  t.equal(
    await messageOf(`out of memory: out of memory: no room for a tensor of 8 bytes${asBefore}`),
    `Memory ran out; use smaller batches, shorter texts, gradientCheckpointing or autoFindBatchSize (no room for a tensor of 8 bytes${asBefore})`,
  );
  const place = '[enforce fail at alloc_cpu.cpp:127] err == 0. ';
  t.match(
    await messageOf(`out of memory: ${place}DefaultCPUAllocator: can't allocate memory`),
    /\(DefaultCPUAllocator: can't allocate memory\)$/,
  );
  for (const state of [asBefore, '; the session is closed'])
    t.equal(await messageOf(`${'long '.repeat(100)}${state}`), `${'long '.repeat(60)}...${state}`);
});

await tap.test(
  'a session that could not be made leaves no thread',
  { skip: !existsSync('/proc/self/task') },
  async (t) => {
    const spec = bertSpec(TINY);
    const wrong = { ...spec, parameters: spec.parameters.slice(1) };
    const threads = (): number => readdirSync('/proc/self/task').length;
    await t.rejects(Session.create(wrong, OPTIONS), { message: /no parameter named/ });
    const before = threads();
    for (let i = 0; i < 20; i++) await t.rejects(Session.create(wrong, OPTIONS));
    t.ok(threads() < before + 10, `${threads()} threads, from ${before}`);
  },
);

await tap.test('label smoothing is refused where it would be left out', async (t) => {
  const batch = seededBatch({ name: 'smooth', lengths: [5, 9], pairs: false, vocabSize: TINY.vocabSize });
  const labels = new Float32Array(2 * TINY.numLabels);
  for (const problemType of ['regression'] as const) {
    const session = await Session.create(bertSpec({ ...TINY, problemType }), OPTIONS);
    const accumulate = (labelSmoothing: number): Promise<void> =>
      session.accumulate({ ...batch, labels }, { divisor: 2, labelSmoothing });
    const message = `labelSmoothing does not go with mean_squared_error; leave it out, or give 0`;
    await t.rejects(accumulate(0.1), {
      name: 'UsageError',
      message,
      stack: /test[\\/]native[\\/]sessions\.ts:\d+/,
    });
    t.equal((await session.stats()).totalLoss, 0, 'nothing was accumulated');
    await t.resolves(accumulate(0));
    await session.close();
  }
});

await tap.test('the instruction set is that of the kernels, capped by the environment', (t) => {
  const module = join(import.meta.dirname, '../../dist/index.js');
  const script = `import { deviceInfo } from ${JSON.stringify(module)}; console.log(deviceInfo().instructionSet);`;
  const cpu = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = new Set((/^flags\s*: (.*)$/m.exec(cpu)?.[1] ?? '').split(' '));
  const sets = ['baseline', 'avx2', 'avx512', 'avx512_bf16'];
  const own = ['avx2', 'avx512vl', 'avx512_bf16'].findLastIndex((flag) => flags.has(flag)) + 1;
  for (const [env, cap] of [
    [{}, 3],
    [{ ONEDNN_MAX_CPU_ISA: 'AVX512_CORE' }, 2],
    [{ ONEDNN_MAX_CPU_ISA: 'avx2' }, 1],
    [{ ATEN_CPU_CAPABILITY: 'avx2' }, 1],
    [{ ATEN_CPU_CAPABILITY: 'default' }, 0],
  ] as const) {
    const { ONEDNN_MAX_CPU_ISA: _, ATEN_CPU_CAPABILITY: __, ...uncapped } = process.env;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...uncapped, ...env },
      encoding: 'utf8',
    });
    t.equal(stdout, `${sets[Math.min(own, cap)]}\n`, `${JSON.stringify(env)} ${stderr}`);
  }
  t.end();
});

await tap.test('where auto computes, and in what', (t) => {
  const auto = { device: 'auto', dtype: 'auto' } as const;
  const cpu: DeviceInfo = {
    cuda: false,
    cudaProblem: 'none',
    cudaDevices: [],
    bfloat16: false,
    instructionSet: 'avx2',
    cores: 2,
    libtorch: '',
  };
  const gpu = (capability?: readonly [number, number], more = {}): DeviceInfo => ({
    ...cpu,
    cuda: true,
    cudaProblem: '',
    cudaDevices: [{ name: 'GPU', ...(capability && { capability }) }],
    ...more,
  });
  const chosen = (info: DeviceInfo, request: Parameters<typeof chooseDevice>[0] = auto): string =>
    Object.values(chooseDevice(request, info)).join(', ');
  const noBFloat16 = 'GPU, of compute capability 7.5, has no bfloat16 arithmetic';
  const unknown = 'the compute capability of this GPU is not known';
  t.equal(chosen(cpu), 'cpu, float32, no GPU: none; this CPU has no bfloat16 arithmetic');
  t.equal(
    chosen({ ...cpu, cudaProblem: 'no driver was found (libcuda.so.1 cannot be opened)', bfloat16: true }),
    'cpu, bfloat16, no GPU: no driver was found',
  );
  t.equal(chosen({ ...cpu, bfloat16: true }), 'cpu, bfloat16, no GPU: none');
  // CUDA C Programming Guide, "Arithmetic Instructions": bfloat16 arithmetic from compute capability 8.0 on
  for (const [major, minor] of [
    [8, 0],
    [8, 9],
    [9, 0],
    [12, 0],
  ] as const)
    t.equal(chosen(gpu([major, minor])), 'cuda:0, bfloat16, ', `${major}.${minor}`);
  t.equal(chosen(gpu([7, 5])), `cuda:0, float32, ${noBFloat16}`);
  t.equal(
    chosen(gpu(undefined, { bfloat16: true })),
    `cuda:0, float32, ${unknown}`,
    "the CPU's arithmetic is not the GPU's",
  );
  const forced = { device: 'cuda', dtype: 'bfloat16' } as const;
  t.equal(chosen(gpu(), forced), `cuda:0, bfloat16, bfloat16 may be slow: ${unknown}`);
  const emulated = { device: 'cpu', dtype: 'bfloat16' } as const;
  t.equal(
    chosen(cpu, emulated),
    'cpu, bfloat16, bfloat16 may be slow: this CPU has no bfloat16 arithmetic',
    'on a CPU it is right, and slow',
  );
  for (const dashes of ['', '--'] as const)
    t.throws(() => chooseDevice(forced, gpu([7, 5]), dashes), {
      name: 'UsageError',
      message: `${dashes}dtype bfloat16 cannot be used: ${noBFloat16}. Use ${dashes}dtype float32, or auto.`,
    });
  t.equal(chosen(gpu([9, 0]), { ...forced, dtype: 'float32' }), 'cuda:0, float32, ');
  // TF32 came with compute capability 8.0 as well; nobody hears of it who did not ask for it.
  const precise = { ...forced, dtype: 'float32' } as const;
  for (const tf32 of [true, false]) {
    t.equal(chosen(gpu([8, 6]), { ...precise, tf32 }), 'cuda:0, float32, ');
    const old = 'TF32 has no effect: GPU, of compute capability 7.5, has no TF32 arithmetic';
    t.equal(chosen(gpu([7, 5]), { ...precise, tf32 }), `cuda:0, float32, ${old}`);
    const none = 'cpu, float32, TF32 has no effect on a CPU';
    t.equal(chosen(cpu, { device: 'cpu', dtype: 'float32', tf32 }), none);
  }
  for (const dashes of ['', '--'] as const) {
    const option = `${dashes}device`;
    const message = `${option} cuda cannot be used: none. Use ${option} cpu, or auto.`;
    t.throws(() => chooseDevice(forced, cpu, dashes), { name: 'UsageError', message });
  }
  t.throws(() => chooseDevice({ ...forced, device: 'cuda:1' }, cpu), {
    message: /^device cuda:1 cannot be used: none\. Use/,
  });
  t.end();
});

await tap.test('which of several CUDA devices', (t) => {
  const old = { name: 'Old', capability: [7, 5] } as const;
  const info: DeviceInfo = {
    cuda: true,
    cudaProblem: '',
    cudaDevices: [{ name: 'New', capability: [9, 0] }, old, { name: 'New', capability: [9, 0] }],
    bfloat16: false,
    instructionSet: 'avx2',
    cores: 2,
    libtorch: '',
  };
  const chosen = (device: Device, changes: Partial<DeviceInfo> = {}): string => {
    const found = chooseDevice({ device, dtype: 'auto' }, { ...info, ...changes });
    return `${found.device}, ${found.dtype}`;
  };
  t.equal(chosen('cuda'), 'cuda:0, bfloat16');
  t.equal(chosen('auto'), 'cuda:0, bfloat16');
  t.equal(chosen('cuda:1'), 'cuda:1, float32', 'each has its own arithmetic');
  // What torchrun sets for each process of a machine.
  for (const device of ['cuda', 'auto'] as const)
    t.equal(chosen(device, { localRank: '2' }), 'cuda:2, bfloat16', `${device} and LOCAL_RANK`);
  t.equal(chosen('cuda:1', { localRank: '2' }), 'cuda:1, float32', 'a number takes precedence');
  t.equal(chosen('cpu', { localRank: 'x' }), 'cpu, float32', 'of no interest to the CPU');
  const none = { cuda: false, cudaDevices: [], cudaProblem: 'none', localRank: '2' };
  t.equal(chosen('auto', none), 'cpu, float32');
  const refused = (device: Device, message: string, changes: Partial<DeviceInfo> = {}): void => {
    t.throws(() => chooseDevice({ device, dtype: 'auto' }, { ...info, ...changes }, '--'), {
      name: 'UsageError',
      message,
    });
  };
  refused('cuda:3', '--device cuda:3 cannot be used: there is cuda:0 to cuda:2. Name one of them.');
  refused('cuda:1', '--device cuda:1 cannot be used: there is cuda:0 only. Name one of them.', {
    cudaDevices: [old],
  });
  for (const [localRank, shown] of [
    ['3', '"3"'],

    ['-1', '"-1"'],
    ['1.5', '"1.5"'],
  ] as const)
    refused(
      'cuda',
      `--device cuda cannot be used (LOCAL_RANK is ${shown}): there is cuda:0 to cuda:2. Name one of them, or change LOCAL_RANK.`,
      { localRank },
    );
  const odd = "Expected 'auto', 'cpu', 'cuda' or one such as 'cuda:1' for --device but received ";
  for (const device of ['cuda:', 'cuda:-1', 'cuda:x', 'cuda:1000', 'cpu:0', 'gpu', ' cuda'])
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as from a script without types
    refused(device as Device, `${odd}"${device}"`);
  t.end();
});

await tap.test('closing', async (t) => {
  const session = await seededSession(SLOW, 0.1);
  let ticks = 0;
  const ticker = setInterval(() => ticks++, 5);
  const step = session.accumulate(slowBatch(), { divisor: 4 });
  const read = session.read('classifier.bias', 'gradient');
  const closing = session.close();
  const late = session.predict(slowBatch());
  await t.rejects(late, { message: /closed/ }, 'a call after close');
  await t.resolves(step, 'a step under way is finished');
  t.equal((await read).length, TINY.numLabels, 'so is a call that waits');
  await t.resolves(closing);
  clearInterval(ticker);
  t.ok(ticks > 2, `the event loop ran ${ticks} times meanwhile`);
  await t.resolves(session.close(), 'closing twice does nothing');

  const calls: Record<string, () => Promise<unknown>> = {
    read: () => session.read(WEIGHT),
    write: () => session.write('classifier.bias', float32([3], new Float32Array(3))),
    accumulate: () => session.accumulate(slowBatch(), { divisor: 4 }),
    update: () => session.update(ADAMW),
    predict: () => session.predict(slowBatch()),
    stats: () => session.stats(),
    setProgress: () => session.setProgress(1, 1, 0),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error: unknown = await call().catch((reason: unknown) => reason);
    t.match(
      error,
      { message: /closed/, stack: /test[\\/]native[\\/]sessions\.ts:\d+/ },
      `${name} after close`,
    );
  }
});

await tap.test('a long queue', async (t) => {
  const [session, awaited] = [await seededSession(DROPPING, 0.3), await seededSession(DROPPING, 0.3)];
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 200; i++) {
    pending.push(session.accumulate(batchOf(`queue ${i % 7}`, [5, 9]), { divisor: 2 }));
    if (i % 10 === 9) pending.push(session.update(ADAMW));
    await awaited.accumulate(batchOf(`queue ${i % 7}`, [5, 9]), { divisor: 2 });
    if (i % 10 === 9) await awaited.update(ADAMW);
  }
  await Promise.all(pending);
  t.same(await readAll(session), await readAll(awaited), 'gives what awaiting each call gives');
  await Promise.all([session.close(), awaited.close()]);
});

// Scripts of a process of its own: a session with a queue of short steps, so that an end falls anywhere in a step.
const PREAMBLE = `
  const { Session } = await import(${JSON.stringify(new URL('../../dist/native/index.js', import.meta.url).href)});
  const options = ${JSON.stringify({ ...OPTIONS, threads: 1 })};
  const create = () => Session.create(${JSON.stringify(bertSpec({ ...DROPPING, hiddenSize: 64 }))}, options);
  const session = await create();
  const batch = { inputIds: new Int32Array(128), cuSeqlens: Int32Array.of(0, 64, 128), labels: new Int32Array(2) };
  const queue = (steps) => {
    const pending = [];
    for (let i = 0; i < steps; i++)
      pending.push(session.accumulate(batch, { divisor: 2 }), session.update(${JSON.stringify(ADAMW)}));
    return Promise.all(pending);
  };
`;
/** A worker thread that runs the preamble too, for use in such a script. */
const WORKER = `
  const { once } = await import('node:events');
  const { Worker } = await import('node:worker_threads');
  const port = 'const { parentPort } = await import("node:worker_threads");';
  const preamble = ${JSON.stringify(PREAMBLE)};
  const start = (script) => new Worker('(async () => {' + port + preamble + script + '})()', { eval: true });
`;

/** Runs a script and compares how it ends: exit code and standard output, no signal. */
async function ends(
  t: Test,
  name: string,
  script: string,
  expected: { code?: number; out?: string },
): Promise<void> {
  const outcome = await new Promise((resolve) => {
    const parameters = ['--expose-gc', '--input-type=module', '--eval', PREAMBLE + script];
    execFile(process.execPath, parameters, { timeout: 60_000 }, (error, out, err) => {
      const fault = expected.code === 1 ? '' : err; // an uncaught exception is reported there
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? null, out, fault });
    });
  });
  t.same(outcome, { code: 0, signal: null, out: '', fault: '', ...expected }, name);
}

await tap.test('the process ends as it should', async (t) => {
  const done = { out: 'done\n' };
  await ends(t, 'an idle session that is not closed', `console.log('done')`, done);
  await ends(t, 'steps that are not awaited', `queue(20).then(() => console.log('done'))`, done);
  await ends(t, 'process.exit at the call', `queue(20); process.exit(5)`, { code: 5 });
  await ends(t, 'process.exit while a model is made', `create(); process.exit(5)`, { code: 5 });
  await ends(t, 'a failure that is not handled', `session.read('nothing')`, { code: 1 });
  for (const delay of [5, 20]) {
    const later = (script: string): string => `setTimeout(() => { ${script} }, ${delay})`;
    await Promise.all([
      ends(t, 'process.exit amid steps', `queue(300); ${later('process.exit(7)')}`, { code: 7 }),
      ends(t, 'closed amid steps', `queue(300); session.close(); ${later('process.exit(7)')}`, { code: 7 }),
      ends(t, 'an exception amid steps', `queue(300); ${later('throw new Error()')}`, { code: 1 }),
    ]);
  }
});

await tap.test('abandoned sessions and worker threads', async (t) => {
  const done = { out: 'done\n' };
  const abandoned = `
    for (let i = 0; i < 10; i++) { const left = await create(); left.predict(batch); if (i % 3 === 0) gc(); }
    gc();
    console.log('done');`;
  const beside = `${WORKER}
    const workers = [1, 2].map(() => start('await queue(5); parentPort.postMessage(await session.predict(batch))'));
    const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
    await queue(5);
    const expected = String(await session.predict(batch));
    if (answers.every(([answer]) => String(answer) === expected)) console.log('done');`;
  const terminated = `${WORKER}
    const workers = [1, 2].map(() => start('parentPort.postMessage("begun"); await queue(300)'));
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await queue(5);
    await Promise.all(workers.map((worker) => worker.terminate()));
    if ((await session.predict(batch)).length === 6) console.log('done');`;
  await ends(t, 'sessions left to the garbage collector', abandoned, done);
  await ends(t, 'worker threads beside the main thread', beside, done);
  for (const run of [1, 2]) await ends(t, `worker threads terminated amid steps, ${run}`, terminated, done);
});

await tap.test('a worker thread that is terminated while it loads LibTorch', async (t) => {
  const addon = join(import.meta.dirname, '..', '..', 'build', 'Release', 'bertune.node');
  const inWorker = `require('node:worker_threads').parentPort.postMessage('begins'); require(${JSON.stringify(addon)})`;
  for (const delay of [0, 5, 30]) {
    const script = `
      const { Worker } = require('node:worker_threads');
      const worker = new Worker(${JSON.stringify(inWorker)}, { eval: true });
      const end = () => worker.terminate().then(() => console.log('done'));
      worker.once('message', () => setTimeout(end, ${delay}));`;
    const outcome = await promisify(execFile)(process.execPath, ['--eval', script]);
    t.same(outcome, { stdout: 'done\n', stderr: '' }, `after ${delay} ms`);
  }
});
