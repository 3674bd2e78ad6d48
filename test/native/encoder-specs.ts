// Sessions whose specs are no BERT's: norms before the layers, no biases, projections, positions from an offset, means, logits of
// tokens, shared layers, soft labels, adapters everywhere. Expected values are those of an interpreter of the same specs in
// PyTorch, float64 (scripts/reference/encoder_specs.py).
import { readFileSync } from 'node:fs';
import tap from 'tap';

import { Session, type LossOptions, type PackedBatch, type SessionSpec } from '../../dist/native/index.js';
import { digest, digestDistance, digestNorm, seededWeight } from '../fixtures/seeded.js';
import { OPTIONS, float32, maxRelative, sizeOf } from '../fixtures/session.js';

interface Case {
  name: string;
  spec: SessionSpec;
  batch: { inputIds: number[]; lengths: number[]; tokenTypeIds?: number[] };
  labels: number[];
  isClasses: boolean;
  options: { labelSmoothing?: number; classWeights?: number[] };
  logits: number[];
  loss: number;
  gradients: Record<string, number[]>;
}

const url = new URL('../fixtures/encoder-specs.json', import.meta.url);
const { scale, cases } = JSON.parse(readFileSync(url, 'utf8')) as { scale: number; cases: Case[] };

function caseOf(matches: (each: Case) => boolean): Case {
  const found = cases.find(matches);
  if (found === undefined) throw new Error('the fixture has no such case');
  return found;
}

function packed({ batch, labels, isClasses }: Case): PackedBatch {
  const { inputIds, lengths, tokenTypeIds } = batch;
  const cuSeqlens = Int32Array.from([0, ...lengths], (_, i) =>
    lengths.slice(0, i).reduce((sum, n) => sum + n, 0),
  );
  return {
    inputIds: Int32Array.from(inputIds),
    cuSeqlens,
    ...(tokenTypeIds && { tokenTypeIds: Int32Array.from(tokenTypeIds) }),
    labels: isClasses ? Int32Array.from(labels) : Float32Array.from(labels),
  };
}

function lossOptions({ options: { classWeights, ...others } }: Case): LossOptions {
  return { ...others, ...(classWeights && { classWeights: Float32Array.from(classWeights) }) };
}

async function open(spec: SessionSpec, dtype: 'float32' | 'bfloat16'): Promise<Session> {
  const session = await Session.create(spec, { ...OPTIONS, dtype });
  for (const { name, shape } of session.tensors())
    await session.write(name, float32(shape, seededWeight(name, sizeOf(shape), scale)));
  return session;
}

/** The distance of all gradients from what they must be, as a share of their norm. */
async function gradientError(session: Session, { gradients }: Case): Promise<number> {
  let [distance, norm] = [0, 0];
  for (const { name, shape } of session.tensors()) {
    const expected = gradients[name] ?? [];
    const found = digest(name, await session.read(name, 'gradient'));
    distance += digestDistance(sizeOf(shape), found, expected) ** 2;
    norm += digestNorm(sizeOf(shape), expected) ** 2;
  }
  return Math.sqrt(distance / norm);
}

for (const each of cases)
  await tap.test(each.name, async (t) => {
    // bfloat16 keeps 8 bits of each value between the layers.
    for (const [dtype, tolerance] of [
      ['float32', 2e-5],
      ['bfloat16', 5e-2],
    ] as const) {
      const session = await open(each.spec, dtype);
      const batch = packed(each);
      const logits = maxRelative(await session.predict(batch), each.logits);
      t.ok(logits < tolerance, `${dtype}: logits (${logits})`);
      for (const [way, options] of Object.entries({
        plain: {},
        checkpointed: { gradientCheckpointing: true },
      })) {
        await session.restart(options);
        await session.accumulate(batch, { divisor: 1, ...lossOptions(each) });
        const { loss } = await session.stats();
        t.ok(Math.abs(loss / each.loss - 1) < tolerance, `${dtype}, ${way}: loss ${loss}, not ${each.loss}`);
        const error = await gradientError(session, each);
        t.ok(error < 2 * tolerance, `${dtype}, ${way}: gradients (${error})`);
      }
      await session.close();
    }
  });

await tap.test('micro-batches add up', async (t) => {
  for (const each of cases) {
    const session = await open(each.spec, 'float32');
    const whole = packed(each);
    const rows = each.labels.length / (each.isClasses ? 1 : each.logits.length / rowsOf(each));
    const isPerToken = rows === each.batch.inputIds.length;
    for (const [from, to] of [
      [0, 2],
      [2, 4],
    ] as const)
      await session.accumulate(part(whole, from, to, isPerToken), { divisor: 1, ...lossOptions(each) });
    const error = await gradientError(session, each);
    t.ok(error < 4e-5, `${each.name} (${error})`);
    await session.close();
  }
});

/** Rows of logits: sequences, or tokens. */
function rowsOf({ spec, batch }: Case): number {
  return spec.head.some((stage) => 'pool' in stage) ? batch.lengths.length : batch.inputIds.length;
}

/** The sequences from `from` to before `to`. */
function part(batch: PackedBatch, from: number, to: number, isPerToken: boolean): PackedBatch {
  const { inputIds, cuSeqlens, tokenTypeIds, labels = new Int32Array() } = batch;
  const first = cuSeqlens[from] ?? 0;
  const last = cuSeqlens[to] ?? 0;
  const rows = isPerToken ? inputIds.length : cuSeqlens.length - 1;
  const [firstRow, lastRow] = isPerToken ? [first, last] : [from, to];
  const values = labels.length / rows;
  return {
    inputIds: inputIds.slice(first, last),
    cuSeqlens: cuSeqlens.slice(from, to + 1).map((offset) => offset - first),
    ...(tokenTypeIds && { tokenTypeIds: tokenTypeIds.slice(first, last) }),
    labels: labels.slice(firstRow * values, lastRow * values),
  };
}

await tap.test('what a batch of such a session must be', async (t) => {
  const refused = async (
    name: string,
    changes: Partial<PackedBatch>,
    options: LossOptions,
    message: RegExp,
  ) => {
    const each = caseOf((other) => other.name === name);
    const session = await open(each.spec, 'float32');
    const call = session.accumulate({ ...packed(each), ...changes }, { divisor: 1, ...options });
    await t.rejects(call, { message }, `${name}: ${message}`);
    t.equal((await session.predict(packed(each))).length, each.logits.length, 'the session works on');
    await session.close();
  };
  const types = new Int32Array(31);
  await refused('no positions, no types, no norm, no padding', { tokenTypeIds: types }, {}, /no token types/);
  const long = {
    inputIds: new Int32Array(25),
    cuSeqlens: Int32Array.of(0, 25),
    tokenTypeIds: new Int32Array(25),
  };
  const shifted = /sequence 0 has 25 tokens; the model has 24 positions/; // of 26 rows, from 2 on
  await refused('positions from 2 on', { ...long, labels: Int32Array.of(0) }, {}, shifted);
  await refused('labels of tokens', { labels: new Int32Array(4) }, {}, /each of the 31 tokens/);
  await refused('several values', { labels: new Float32Array(4) }, {}, /16 values: 4 sequences x 4 labels/);
  await refused('probabilities', { labels: new Float32Array(4) }, {}, /12 values/);
  await refused('probabilities', {}, { focalGamma: 2 }, /focalGamma needs class ids/);
});

await tap.test('a sequence longer than any table, where there are no positions', async (t) => {
  const each = caseOf(({ spec }) => spec.encoder.embeddings.positions === null);
  const session = await open(each.spec, 'float32');
  const inputIds = Int32Array.from({ length: 700 }, (_, i) => i % 40);
  t.equal((await session.predict({ inputIds, cuSeqlens: Int32Array.of(0, 700) })).length, 3);
  await session.close();
});
