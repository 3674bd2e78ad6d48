// ModernBERT at the lengths that it is for, beside the same texts alone, and in bfloat16. Its results beside transformers' are in
// families.ts.
import tap, { type Test } from 'tap';

import {
  AutoModelForSequenceClassification,
  parseConfig,
  type PackedBatch,
  type Session,
} from '../../dist/index.js';
import { folderOf, readJson } from '../fixtures/families.js';
import { seededBatch } from '../fixtures/seeded.js';
import { ADAMW, maxRelative, normRelative, OPTIONS, readAll } from '../fixtures/session.js';

/** Its windows begin and end within tiles of 64, and see several of them. */
const CONFIG = {
  ...(readJson(folderOf({ name: 'modernbert' }, 'model', 'config.json')) as Record<string, unknown>),
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 2,
  local_attention: 150,
  max_position_embeddings: 8192,
  rope_parameters: {
    full_attention: { rope_type: 'default', rope_theta: 160_000 },
    sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
  },
  initializer_range: 0.4,
};
const LENGTHS = [1, 8192, 2, 63, 64, 65, 1500, 127, 3, 300];

async function open(t: Test, dtype: 'float32' | 'bfloat16'): Promise<Session> {
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(CONFIG, 'the test'));
  t.teardown(() => model.close());
  return model.open({ ...OPTIONS, dtype });
}

/** Texts of these lengths, or the one of them, with labels in turns. */
function batchOf(lengths: readonly number[], only?: number): PackedBatch {
  const { inputIds, cuSeqlens } = seededBatch({ name: 'long', lengths, pairs: false, vocabSize: 100 });
  const labels = Int32Array.from(lengths, (_, i) => i % 3);
  if (only === undefined) return { inputIds, cuSeqlens, labels };
  const [start = 0, end = 0] = cuSeqlens.subarray(only, only + 2);
  return {
    inputIds: inputIds.slice(start, end),
    cuSeqlens: Int32Array.of(0, end - start),
    labels: labels.slice(only, only + 1),
  };
}

await tap.test('texts of 1 to 8,192 tokens in one batch are as they are alone', async (t) => {
  const session = await open(t, 'float32');
  const together = batchOf(LENGTHS);
  const logits = await session.predict(together);
  await session.accumulate(together, { divisor: LENGTHS.length });
  const gradients = await readAll(session, 'gradient');
  await session.restart();
  const rows: number[] = [];
  for (const i of LENGTHS.keys()) {
    const alone = batchOf(LENGTHS, i);
    rows.push(...(await session.predict(alone)));
    await session.accumulate(alone, { divisor: LENGTHS.length });
  }
  const error = maxRelative(logits, rows);
  t.ok(error <= 1e-5, `logits: ${error.toExponential(1)}`);
  t.ok(new Set(rows.map((value) => value.toFixed(3))).size > LENGTHS.length, 'which tell the texts apart');
  for (const [name, alone] of await readAll(session, 'gradient')) {
    const distance = normRelative(gradients.get(name) ?? [], alone);
    t.ok(distance <= 1e-4, `gradient of ${name}: ${distance.toExponential(1)}`);
  }
});

await tap.test('bfloat16 tracks float32 over 20 steps', async (t) => {
  const lengths = [200, 1, 37, 64, 130, 16, 90, 5];
  const run = async (dtype: 'float32' | 'bfloat16'): Promise<number[]> => {
    const session = await open(t, dtype);
    const losses: number[] = [];
    for (let step = 0; step < 20; step++) {
      await session.accumulate(batchOf(lengths), { divisor: lengths.length });
      await session.update(ADAMW);
      losses.push((await session.stats()).loss);
    }
    return losses.map((loss, step) => loss - (losses[step - 1] ?? 0)); // the sum of all steps so far is read
  };
  const [exact, rounded] = [await run('float32'), await run('bfloat16')];
  const error = maxRelative(rounded, exact);
  t.ok(error <= 2e-2, `losses differ by up to ${error.toExponential(1)}`);
  t.ok(error > 1e-5, 'the computation is not float32');
  t.ok((exact.at(-1) ?? NaN) < 0.7 * (exact[0] ?? NaN), `the loss falls: ${exact[0]} to ${exact.at(-1)}`);
});
