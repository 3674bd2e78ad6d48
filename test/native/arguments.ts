// What the native boundary refuses: every wrong argument is an ordinary Error with one readable line and the caller's
// stack, and the session works on.
import tap, { type Test } from 'tap';

import { Session, deviceInfo, type PackedBatch, type SessionSpec } from '../../dist/native/index.js';
import { seededBatch } from '../fixtures/seeded.js';
import { ADAMW, OPTIONS, TINY, seededSession } from '../fixtures/session.js';
import { bertSpec } from '../fixtures/bert-spec.mjs';

const WEIGHT = 'bert.encoder.layer.0.attention.self.value.weight';
const MEAN = { divisor: 3 };

/** Three sequences of 7, 1 and 64 tokens (all positions of TINY) with labels. */
function goodBatch(): PackedBatch {
  const packed = seededBatch({ name: 'good', lengths: [7, 1, 64], pairs: true, vocabSize: TINY.vocabSize });
  return { ...packed, labels: Int32Array.of(0, 2, -100) };
}

/** Lets a test pass what the types forbid. */
function wrong(value: unknown): never {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the point of these tests
  return value as never;
}

/** A typed array whose memory was transferred away. */
function detached<T extends Int32Array | Uint8Array | Float32Array>(array: T): T {
  if (array.buffer instanceof ArrayBuffer) structuredClone(null, { transfer: [array.buffer] });
  return array;
}

/** Expects `call` to throw or reject with one line for people that matches `message`, and a stack that names this file. */
async function refuses(t: Test, name: string, message: RegExp, call: () => unknown): Promise<void> {
  const error: unknown = await Promise.resolve()
    .then(call)
    .then(
      () => undefined,
      (reason: unknown) => reason,
    );
  if (!(error instanceof Error)) {
    t.fail(`${name}: not refused with an Error but ${String(error)}`);
    return;
  }
  t.match(error.message, message, `${name}: ${JSON.stringify(error.message)}`);
  t.notMatch(
    error.message,
    /\n|\r|\.cc\b|\.cpp\b|c10::|at::|frame #|0x[0-9a-f]{6}/,
    `${name}: one line, no C++`,
  );
  t.ok(error.message.length < 300, `${name}: readable`);
  t.match(error.stack, /test[\\/]native[\\/]arguments\.ts:\d+/, `${name}: the stack names the caller`);
}

/** What must be refused: a name, what the message must say, and the call. */
type Refusal = [name: string, message: RegExp, call: (session: Session) => unknown];

/** Makes each wrong call on one session, which must still give the same logits after it. */
async function refusesAll(t: Test, session: Session, refusals: readonly Refusal[]): Promise<void> {
  const before = await session.predict(goodBatch());
  for (const [name, message, call] of refusals) {
    await refuses(t, name, message, () => call(session));
    t.same(await session.predict(goodBatch()), before, `${name}: the session works on`);
  }
}

function accumulating(name: string, message: RegExp, changes: Record<string, unknown>): Refusal {
  const batch = { ...goodBatch(), ...changes };
  return [name, message, (session) => session.accumulate(wrong(batch), MEAN)];
}

function without(key: keyof PackedBatch): PackedBatch {
  const batch: Partial<PackedBatch> = goodBatch();
  delete batch[key];
  return wrong(batch);
}

/** The good batch's ids with another value at one place. */
function ids(index: number, value: number): Int32Array {
  return goodBatch().inputIds.with(index, value);
}

await tap.test('a wrong batch', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const spare = Int32Array.from({ length: 73 }, () => 1);
  await refusesAll(t, session, [
    ['no batch', /batch/, (s) => s.accumulate(wrong(undefined), MEAN)],
    ['a null batch', /batch/, (s) => s.predict(wrong(null))],
    ['no ids', /inputIds/, (s) => s.predict(without('inputIds'))],
    ['no offsets', /cuSeqlens/, (s) => s.predict(without('cuSeqlens'))],
    ['no labels', /labels/, (s) => s.accumulate(without('labels'), MEAN)],
    accumulating('a negative id', /inputIds.*-1/, { inputIds: ids(5, -1) }),
    accumulating('an id of the vocabulary size', /inputIds.*40/, { inputIds: ids(71, 40) }),
    accumulating('the largest id', /inputIds.*2147483647/, { inputIds: ids(0, 2 ** 31 - 1) }),
    accumulating('ids as an array', /inputIds/, { inputIds: [1, 2, 3] }),
    accumulating('ids of 64 bits', /inputIds/, { inputIds: new BigInt64Array(72) }),
    accumulating('ids as floats', /inputIds/, { inputIds: new Float32Array(72) }),
    accumulating('ids as unsigned', /inputIds/, { inputIds: new Uint32Array(72) }),
    accumulating('ids in detached memory', /inputIds|cuSeqlens/, { inputIds: detached(new Int32Array(72)) }),
    accumulating('more ids than offsets', /cuSeqlens/, { inputIds: spare, tokenTypeIds: undefined }),
    accumulating('a token type out of range', /tokenTypeIds.*2/, {
      tokenTypeIds: new Int32Array(72).fill(2),
    }),
    accumulating('a negative token type', /tokenTypeIds.*-7/, {
      tokenTypeIds: new Int32Array(72).fill(-7, 71),
    }),
    accumulating('too few token types', /tokenTypeIds/, { tokenTypeIds: new Int32Array(71) }),
    accumulating('no token types at all', /tokenTypeIds/, { tokenTypeIds: new Int32Array() }),
    accumulating('token types in detached memory', /tokenTypeIds/, {
      tokenTypeIds: detached(new Int32Array(72)),
    }),
    accumulating('empty offsets', /cuSeqlens/, { cuSeqlens: new Int32Array() }),
    accumulating('one offset', /cuSeqlens/, { cuSeqlens: Int32Array.of(0) }),
    accumulating('offsets from 1', /cuSeqlens.*start/, { cuSeqlens: Int32Array.of(1, 7, 8, 72) }),
    accumulating('offsets that stand still', /cuSeqlens.*increase/, {
      cuSeqlens: Int32Array.of(0, 7, 7, 72),
    }),
    accumulating('offsets that fall', /cuSeqlens.*increase/, { cuSeqlens: Int32Array.of(0, 8, 7, 72) }),
    accumulating('offsets that overflow', /cuSeqlens|positions/, {
      cuSeqlens: Int32Array.of(0, -(2 ** 31), 2 ** 31 - 1, 72),
    }),
    accumulating('offsets short of the ids', /cuSeqlens.*71/, { cuSeqlens: Int32Array.of(0, 7, 8, 71) }),
    accumulating('offsets past the ids', /cuSeqlens|positions/, { cuSeqlens: Int32Array.of(0, 7, 9, 73) }),
    accumulating('offsets as an array', /cuSeqlens/, { cuSeqlens: [0, 7, 8, 72] }),
    accumulating('a sequence beyond the positions', /65 tokens.*64 positions/, {
      cuSeqlens: Int32Array.of(0, 3, 7, 72),
    }),
    accumulating('float labels for classes', /labels/, { labels: new Float32Array(3) }),
    accumulating('too few labels', /labels/, { labels: Int32Array.of(0, 1) }),
    accumulating('too many labels', /labels/, { labels: Int32Array.of(0, 1, 2, 0) }),
    accumulating('a class that does not exist', /labels.*3/, { labels: Int32Array.of(0, 1, 3) }),
    accumulating('a negative class', /labels.*-1/, { labels: Int32Array.of(0, -1, 2) }),
    accumulating('labels as an array', /labels/, { labels: [0, 1, 2] }),
    accumulating('labels in detached memory', /labels/, { labels: detached(Int32Array.of(0, 1, 2)) }),
  ]);
  await refuses(t, 'a getter that throws', /no such luck/, () => {
    const batch = Object.defineProperty({ ...goodBatch() }, 'cuSeqlens', {
      get: () => {
        throw new Error('no such luck');
      },
    });
    return session.predict(batch);
  });
  await session.close();
});

await tap.test('wrong labels for values', async (t) => {
  for (const problemType of ['multi_label_classification', 'regression'] as const) {
    const session = await seededSession({ ...TINY, problemType }, 0.3);
    await refusesAll(t, session, [
      accumulating('class ids', /labels.*Float32Array/, { labels: Int32Array.of(0, 1, 2) }),
      accumulating('one value a sequence', /labels.*9 values/, { labels: Float32Array.of(0, 1, 1) }),
      accumulating('doubles', /labels/, { labels: new Float64Array(9) }),
      accumulating('a label that is not a number', /labels\[4\]/, {
        labels: new Float32Array(9).fill(NaN, 4),
      }),
      accumulating('an infinite label', /labels\[8\]/, { labels: new Float32Array(9).fill(Infinity, 8) }),
    ]);
    await session.close();
  }
});

function dividing(divisor: unknown): Refusal {
  return [
    `divisor ${String(divisor)}`,
    /divisor/,
    (s) => s.accumulate(goodBatch(), { divisor: wrong(divisor) }),
  ];
}

function smoothing(value: unknown): Refusal {
  const options = { divisor: 1, labelSmoothing: wrong(value) };
  return [`label smoothing ${String(value)}`, /labelSmoothing/, (s) => s.accumulate(goodBatch(), options)];
}

function updating(name: keyof typeof ADAMW, value: unknown): Refusal {
  return [`${name} ${String(value)}`, new RegExp(name), (s) => s.update({ ...ADAMW, [name]: wrong(value) })];
}

await tap.test('a wrong option', async (t) => {
  const session = await seededSession(TINY, 0.3);
  await refusesAll(t, session, [
    ['no options', /options/, (s) => s.accumulate(goodBatch(), wrong(undefined))],
    ...[0, -1, NaN, Infinity, '3', undefined, null].map(dividing),
    ...[-0.1, 1.1, NaN, '0.1'].map(smoothing),
    ['an update before any gradient', /accumulate/, (s) => s.update(ADAMW)],
    ['an update without options', /options/, (s) => s.update(wrong(undefined))],
    ...[NaN, Infinity, -1e-5, '1e-3', undefined].map((value) => updating('learningRate', value)),
    ...[NaN, 1.5, -0.1].flatMap((value) => [updating('beta1', value), updating('beta2', value)]),
    ...[NaN, -1].flatMap((value) => [updating('epsilon', value), updating('weightDecay', value)]),
    ...[NaN, -1, undefined].map((value) => updating('maxGradNorm', value)),
    ['half a step', /step/, (s) => s.setProgress(0.5, 0, 0)],
    ['a negative count', /updates/, (s) => s.setProgress(1, -1, 0)],
    ['a loss that is no number', /loss/i, (s) => s.setProgress(1, 1, NaN)],
  ]);
  await session.close();
});

function writing(name: string, message: RegExp, tensor: unknown): Refusal {
  return [name, message, (s) => s.write(WEIGHT, wrong(tensor))];
}

await tap.test('a wrong tensor', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const data = new Uint8Array(16 * 16 * 4);
  const shape = [16, 16];
  await refusesAll(t, session, [
    ['reading an unknown name', /bert\.nothing/, (s) => s.read('bert.nothing')],
    ['reading a name of two lines', /./, (s) => s.read('two\nlines')],
    ['reading no name', /name/, (s) => s.read(wrong(undefined))],
    ['reading an unknown kind', /kind/, (s) => s.read(WEIGHT, wrong('momentum\n'))],
    ['reading a gradient that is not there', /gradient/, (s) => s.read(WEIGHT, 'gradient')],
    [
      'writing an unknown name',
      /bert\.nothing/,
      (s) => s.write('bert.nothing', { dtype: 'F32', shape, data }),
    ],
    [
      'writing a gradient',
      /gradient/,
      (s) => s.write(WEIGHT, { dtype: 'F32', shape, data }, wrong('gradient')),
    ],
    writing('no tensor', /tensor/, undefined),
    writing('another shape', /shape/, { dtype: 'F32', shape: [16, 8], data: data.subarray(0, 512) }),
    writing('the same size in another shape', /shape/, { dtype: 'F32', shape: [256], data }),
    writing('a scalar', /shape/, { dtype: 'F32', shape: [], data: data.subarray(0, 4) }),
    ...[
      [-1, /firstRow/],
      [0.5, /firstRow/],
      ['0', /firstRow/],
      [9, /shape .* from row 9/],
      [2 ** 31 - 1, /shape .* from row 2147483647/],
    ].map(([firstRow, message]) =>
      writing(`rows from ${firstRow} on`, message instanceof RegExp ? message : /./, {
        dtype: 'F32',
        shape: [8, 16],
        data: data.subarray(0, 512),
        firstRow,
      }),
    ),
    writing('rows of another width', /shape .* from row 0/, {
      dtype: 'F32',
      shape: [32, 8],
      data,
      firstRow: 0,
    }),
    writing('values as rows', /shape .* from row 0/, { dtype: 'F32', shape: [256], data, firstRow: 0 }),
    [
      'rows of a number',
      /shape .* from row 0/,
      (s) => s.write(WEIGHT, { dtype: 'F32', shape: [], data: data.subarray(0, 4), firstRow: 0 }, 'step'),
    ],
    writing('an unknown dtype', /dtype/, { dtype: 'F64', shape, data }),
    writing('a dtype that does not fit the bytes', /bytes/, { dtype: 'BF16', shape, data }),
    writing('too few bytes', /1024 bytes/, { dtype: 'F32', shape, data: data.subarray(1) }),
    writing('floats for bytes', /data/, { dtype: 'F32', shape, data: new Float32Array(256) }),
    writing('bytes in detached memory', /bytes/, {
      dtype: 'F32',
      shape,
      data: detached(new Uint8Array(1024)),
    }),
    writing('a shape that is no array', /shape/, { dtype: 'F32', shape: 'square', data }),
    writing('a negative size', /shape/, { dtype: 'F32', shape: [-16, -16], data }),
    writing('a fractional size', /shape/, { dtype: 'F32', shape: [16.5, 16], data }),
    writing('sizes that overflow', /./, {
      dtype: 'F32',
      shape: [2 ** 53 - 1, 2 ** 53 - 1, 2 ** 53 - 1],
      data,
    }),
    writing('sizes that overflow to nothing', /./, {
      dtype: 'F32',
      shape: [2 ** 53 - 1, 2 ** 53 - 1, 0],
      data: new Uint8Array(),
    }),
  ]);
  await session.close();
});

/** A copy of the spec with another value at a path such as `encoder.mlp.width`. */
function changed(path: string, value: unknown): SessionSpec {
  const spec = structuredClone(bertSpec(TINY));
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<object>((object, key) => Reflect.get(object, key), spec);
  Reflect.set(parent, last, value);
  return spec;
}

await tap.test('a wrong spec', async (t) => {
  const creating = (path: string, value: unknown, message: RegExp): Promise<void> =>
    refuses(t, `${path} ${JSON.stringify(value)}`, message, () =>
      Session.create(changed(path, wrong(value)), OPTIONS),
    );
  for (const path of ['hidden', 'heads', 'embeddings.width', 'embeddings.vocab', 'mlp.width'])
    for (const value of [0, -1, 1.5, NaN, '16', undefined])
      await creating(`encoder.${path}`, value, new RegExp(`encoder\\.${path.replaceAll('.', '\\.')}`));
  for (const path of [
    'embeddings.dropout',
    'attention.dropout',
    'mlp.innerDropout',
    'mlp.outputDropout',
    'embeddings.norm.eps',
  ])
    for (const value of [-0.1, NaN, 1.5, null])
      await creating(`encoder.${path}`, value, new RegExp(`encoder\\.${path.replaceAll('.', '\\.')}`));
  for (const path of [
    'attention.bias',
    'mlp.gated',
    'mlp.biasIn',
    'mlp.biasOut',
    'finalNorm',
    'embeddings.projection',
  ])
    for (const value of ['yes', 1, null])
      await creating(`encoder.${path}`, value, new RegExp(`true or false for encoder\\.${path}`));
  await creating('encoder.heads', 3, /divisor of hidden/);
  await creating('encoder.embeddings.width', 8, /projection/);
  await creating('encoder.embeddings.padId', 40, /encoder\.embeddings\.padId/);
  await creating('encoder.embeddings.positions', { rows: 4, first: 4 }, /positions\.first/);
  await creating('encoder.embeddings.tokenTypes', -1, /tokenTypes/);
  await creating('encoder.embeddings.norm', undefined, /encoder\.embeddings\.norm/);
  await creating('encoder.mlp.activation', 'gelly', /encoder\.mlp\.activation.*gelly/);
  await creating('encoder.mlp.activation', 'two\nlines', /activation/);
  await creating('encoder.order', 'middle', /post or pre/);
  await creating('encoder.layers', [], /at least one layer/);
  await creating('encoder.layers', [{}], /encoder\.layers\[0\]\.parameters/);
  const layer = { parameters: 'layers.0', attentionNorm: true, window: null, rotaryTheta: null };
  await creating('encoder.layers', [{ ...layer, parameters: 'layers.7' }], /no parameter named 'layers\.7\./);
  for (const [change, message] of [
    [{ attentionNorm: false }, /layers\[0\]\.attentionNorm.*/],
    [{ window: -1 }, /layers\[0\]\.window/],
    [{ window: 1.5 }, /layers\[0\]\.window/],
    [{ window: undefined }, /layers\[0\]\.window/],
    [{ rotaryTheta: 0 }, /a number above 0, for heads of an even size/],
    [{ rotaryTheta: '1' }, /layers\[0\]\.rotaryTheta/],
  ] as const)
    await creating('encoder.layers', [{ ...layer, ...change }], message);
  await creating('loss', 'guesswork', /loss.*guesswork/);
  await creating('head', [{ pool: 'last' }], /head\[0\]\.pool/);
  await creating('head', [{ pool: 'first' }, { pool: 'mean' }], /pool only once/);
  await creating('head', [{ linear: 'nothing' }], /no parameter named 'nothing\.weight'/);
  await creating('head', [{ linear: 'embeddings.norm' }], /2 dimensions/);
  await creating('head', [{}], /head\[0\]\.dropout/);
  await creating('head', [], /parameter bert\.pooler\.dense\.weight belongs to no part/);
  await creating('parameters', undefined, /parameters/);
  await creating('parameters', [], /no parameter named 'embeddings\.words\.weight'/);
  await creating('parameters.0.shape', [39, 16], /parameters\[0\]\.tensors/);
  await creating('parameters.0.shape', [40], /has shape \[40\]; it must be \[40, 16\]/);
  await creating('parameters.0.shape', [2 ** 31 - 1, 2 ** 31 - 1], /memory/);
  await creating('parameters.0.shape', [1, 1, 1], /at most 2/);
  await creating('parameters.0.name', 'embeddings.types.weight', /two parameters|no parameter/);
  await creating('parameters.0.decays', 'no', /parameters\[0\]\.decays/);
  await creating('parameters.0.initialisation', { kind: 'random' }, /initialisation\.kind/);
  await creating('parameters.0.initialisation', { kind: 'normal', std: -1 }, /initialisation\.std/);
  await creating('parameters.0.initialisation', { kind: 'normal', std: 1, zeroRow: 40 }, /zeroRow/);
  await creating(
    'parameters.0.tensors',
    [
      { name: 'a', rows: 40 },
      { name: 'b', rows: 1 },
    ],
    /40 rows together/,
  );
  const adapter = { linear: 'layers.0.mlpOut', firstRow: 0, rows: 16, a: 'a', b: 'b' };
  const lora = { rank: 2, scaling: 1, dropout: 0, adapters: [adapter] };
  await creating('lora', lora, /no parameter named 'a'/);
  await creating('lora', { ...lora, rank: 0 }, /lora\.rank/);
  await creating('lora', { ...lora, adapters: [{ ...adapter, rows: 17 }] }, /more than its 16/);
  await creating('lora', { ...lora, adapters: [adapter, adapter] }, /overlap|no parameter/);

  const opening = (changes: Record<string, unknown>, message: RegExp): Promise<void> => {
    const create = (): unknown => Session.create(bertSpec(TINY), wrong({ ...OPTIONS, ...changes }));
    return refuses(t, `options ${JSON.stringify(changes)}`, message, create);
  };
  for (const threads of [0, -1, 1.5, NaN, 1e9, '2']) await opening({ threads }, /threads/);
  for (const seed of [-1, 0.5, NaN, 2 ** 60, '1']) await opening({ seed }, /seed/);
  await opening({ device: 'tpu' }, /device.*tpu|tpu.*device/);
  await opening({ device: 'cpu\n' }, /device/);
  await opening({ dtype: 'float16' }, /dtype.*float16/);
  for (const tf32 of ['true', 1, null]) await opening({ tf32 }, /true or false for tf32/);
  if (!deviceInfo().cuda) await opening({ device: 'cuda' }, /CUDA|cuda/);
  await refuses(t, 'no spec', /spec/, () => Session.create(wrong(undefined), OPTIONS));
  await refuses(t, 'no options', /options/, () => Session.create(bertSpec(TINY), wrong(undefined)));
});

await tap.test('token types for a model that has one', async (t) => {
  const session = await Session.create(bertSpec({ ...TINY, typeVocabSize: 1 }), OPTIONS);
  t.teardown(() => session.close());
  const batch = goodBatch();
  await refuses(
    t,
    'a pair',
    /^tokenTypeIds\[\d+\] is 1, but the model has one token type, 0: leave tokenTypeIds out/,
    () => session.predict(batch),
  );
  const { tokenTypeIds: _, ...without } = batch;
  t.equal((await session.predict(without)).length, 9, 'three sequences without them, of three classes');
});
