// Low-rank adapters against PEFT (scripts/reference/lora.py): training steps, merged weights, and what stays.
import { readFileSync } from 'node:fs';
import tap from 'tap';

import type { Session } from '../../dist/native/index.js';
import { divisorOf, pack, worst, type Batch } from '../fixtures/parity.js';
import { masksOfTheStep } from '../fixtures/device.js';
import { OPTIONS, maxRelative, readAll, seededSession, TINY } from '../fixtures/session.js';
import { bertSpec, type BertShape } from '../fixtures/bert-spec.mjs';

interface Case {
  name: string;
  config: BertShape;
  scale: number;
  targets: string[];
  rank: number;
  alpha: number;
  batches: Batch[];
  options: Parameters<Session['update']>[0];
  losses: number[];
  gradNorms: number[];
  logits: number[];
  weights: Record<string, number[]>;
  rounding: { loss: number; gradNorm: number; logits: number; weight: number };
}

const { cases } = JSON.parse(
  readFileSync(new URL('../fixtures/lora.json', import.meta.url), 'utf8'),
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own script wrote it
) as { cases: Case[] };

/** The linear layers whose names end so, as PEFT matches a list of target modules. */
function modulesOf({ config, targets }: Pick<Case, 'config' | 'targets'>): string[] {
  const parts = [
    'attention.self.query',
    'attention.self.key',
    'attention.self.value',
    'attention.output.dense',
    'intermediate.dense',
    'output.dense',
  ];
  const layers = Array.from({ length: config.numHiddenLayers }, (_, i) => `bert.encoder.layer.${i}`);
  const linears = layers.flatMap((layer) => parts.map((part) => `${layer}.${part}`));
  return [...linears, 'bert.pooler.dense'].filter((name) =>
    targets.some((target) => name.endsWith(`.${target}`)),
  );
}

async function adapted(reference: Case): Promise<Session> {
  const { config, rank, alpha, scale } = reference;
  const lora = { modules: modulesOf(reference), rank, scaling: alpha / rank, dropout: 0 };
  const session = await seededSession({ ...config, lora }, scale);
  const frozen = session
    .tensors()
    .filter(({ name }) => !name.includes('.lora_') && !name.startsWith('classifier.'));
  await session.configure(frozen.map(({ name }) => ({ name, trainable: false })));
  return session;
}

for (const reference of cases)
  await tap.test(`steps equal PEFT's: ${reference.name}`, async (t) => {
    const { config, options, rounding, batches } = reference;
    const session = await adapted(reference);
    const before = await readAll(session);
    for (const [step, batch] of batches.entries()) {
      await session.accumulate(pack(config, batch), { divisor: divisorOf(batch) });
      await session.update(options);
      const { loss, gradNorm } = await session.stats();
      const lossError = Math.abs(loss - (reference.losses[step] ?? NaN));
      const normError = Math.abs(gradNorm / (reference.gradNorms[step] ?? NaN) - 1);
      t.ok(lossError + rounding.loss <= 1e-5, `step ${step}: the loss differs by ${lossError}`);
      t.ok(normError + rounding.gradNorm <= 1e-4, `step ${step}: the norm differs by ${normError}`);
    }
    const after = await readAll(session);
    const trained = Object.keys(reference.weights);
    t.same(
      trained.toSorted(),
      [...after.keys()].filter((name) => /\.lora_|^classifier\./.test(name)).toSorted(),
      'PEFT trains the same tensors',
    );
    const weight = worst(new Map([...after].filter(([name]) => trained.includes(name))), reference.weights);
    t.ok(weight.error + rounding.weight <= 1e-4, `weights differ by ${weight.error} (${weight.name})`);
    for (const [name, values] of after)
      if (!trained.includes(name)) t.same(values, before.get(name), `${name} keeps its bits`);
    const stateful = new Set((await session.optimizerState()).map(({ name }) => name));
    t.same([...stateful].toSorted(), trained.toSorted(), 'only what is trained has moments');

    const [first] = batches;
    if (first === undefined) throw new Error('a case has batches');
    const logits = await session.predict(pack(config, first));
    t.ok(maxRelative(logits, reference.logits) <= 1e-4, "the logits are PEFT's");
    await session.mergeAdapters();
    const merged = await session.predict(pack(config, first));
    t.ok(maxRelative(merged, reference.logits) <= 1e-4, 'merged weights alone give them too');
    for (const [name, values] of await readAll(session)) {
      if (name.endsWith('.lora_B.weight')) t.notOk(values.some(Boolean), `${name} is zero`);
      if (name.endsWith('self.query.weight')) t.notSame(values, before.get(name), `${name} has taken it up`);
    }
    await session.close();
  });

await tap.test('a new adapter changes nothing; its dropout is a function of the step', async (t) => {
  const query = 'bert.encoder.layer.1.attention.self.query';
  const lora = { modules: [query], rank: 3, scaling: 2, dropout: 0.5 };
  const batch = { name: 'fresh', lengths: [5, 9], pairs: false, labels: [2, 0] };
  const { Session } = await import('../../dist/native/index.js');
  const [plain, fresh] = [
    await Session.create(bertSpec(TINY), OPTIONS),
    await Session.create(bertSpec({ ...TINY, lora }), OPTIONS),
  ];
  t.same(await fresh.predict(pack(TINY, batch)), await plain.predict(pack(TINY, batch)));
  const a = await fresh.read(`${query}.lora_A.weight`);
  const bound = 1 / Math.sqrt(TINY.hiddenSize); // kaiming_uniform_(a=sqrt(5))
  t.equal(a.length, 3 * TINY.hiddenSize);
  t.ok(a.every((value) => Math.abs(value) <= bound) && Math.max(...a) > bound / 2);
  t.notOk((await fresh.read(`${query}.lora_B.weight`)).some(Boolean), 'B begins at zero');

  const gradientOf = async (
    step: number,
    parts: [number, number][],
    session = fresh,
  ): Promise<Float32Array> => {
    await session.restart();
    await session.setProgress(step, step, 0);
    for (const [from, to] of parts) await session.accumulate(pack(TINY, batch, from, to), { divisor: 2 });
    return session.read(`${query}.lora_B.weight`, 'gradient');
  };
  const whole = await gradientOf(0, [[0, 2]]);
  const split = await gradientOf(0, [
    [0, 1],
    [1, 2],
  ]);
  t.ok(maxRelative(split, whole) < 1e-5, 'micro-batches drop the same elements', masksOfTheStep);
  t.ok(maxRelative(await gradientOf(1, [[0, 2]]), whole) > 1e-2, 'another step drops others');
  const half = await Session.create(bertSpec({ ...TINY, lora }), { ...OPTIONS, dtype: 'bfloat16' });
  const rounded = await gradientOf(0, [[0, 2]], half);
  t.ok(maxRelative(rounded, whole) < 5e-2, `bfloat16 drops the same (${maxRelative(rounded, whole)})`);
  await Promise.all([plain.close(), fresh.close(), half.close()]);
});

await tap.test('adapters that cannot be', async (t) => {
  const { Session } = await import('../../dist/native/index.js');
  const lora = { modules: ['bert.encoder.layer.0.output.dense'], rank: 2, scaling: 1, dropout: 0 };
  const wrong: [Partial<NonNullable<BertShape['lora']>>, RegExp][] = [
    [{ modules: ['bert.nothing'] }, /no linear layer to adapt named 'bert.nothing'/],
    [{ rank: 0 }, /shape\[0\]/],
    [{ rank: 1.5 }, /shape\[0\]/],
    [{ scaling: NaN }, /scaling/],
    [{ dropout: 1 }, /dropout/],
  ];
  for (const [change, message] of wrong)
    await t.rejects(Session.create(bertSpec({ ...TINY, lora: { ...lora, ...change } }), OPTIONS), {
      message,
    });
});
