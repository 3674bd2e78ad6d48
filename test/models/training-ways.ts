// Each family in other ways of training: with gradient checkpointing, with frozen tensors, in bfloat16. What they must give follows from
// plain training, which families.ts holds against transformers.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap, { type Test } from 'tap';

import { AutoModelForSequenceClassification, type Session } from '../../dist/index.js';
import {
  batches,
  divisorOf,
  expectedOf,
  folderOf,
  maxRelative,
  pack,
  readJson,
  SINGLE,
} from '../fixtures/families.js';
import { FAMILIES, readAll, RUNTIME, withModel, type Family } from '../fixtures/family-sessions.js';
import { ADAMW, weightBits } from '../fixtures/session.js';

const folder = tap.testdir();

/** Names of tensors that are trained, for each family: the lowest, all of one layer, and what layers share. */
const TRAINED: Readonly<Record<string, readonly RegExp[]>> = {
  albert: [/embedding_hidden_mapping_in/, /ffn_output/],
  'albert-groups': [/groups\.1\.albert_layers\.0/, /groups\.0\.albert_layers\.1\.attention/],
  mpnet: [/relative_attention_bias/, /layer\.1\.attention/],
};

const namesOf = (session: Session): string[] => session.tensors().map(({ name }) => name);

async function freezeBut(session: Session, trained: RegExp): Promise<void> {
  const frozen = namesOf(session).filter((name) => !trained.test(name));
  await session.configure(frozen.map((name) => ({ name, trainable: false })));
}

/** The model of a family with dropout everywhere. */
function withDropout({ name }: Family): string {
  const copy = join(folder, name);
  cpSync(folderOf({ name }, 'model'), copy, { recursive: true });
  const config = readJson(join(copy, 'config.json')) as Record<string, unknown>;
  const dropouts = Object.keys(config).filter((key) => /dropout/.test(key) && config[key] === 0);
  writeFileSync(
    join(copy, 'config.json'),
    JSON.stringify({ ...config, ...Object.fromEntries(dropouts.map((key) => [key, 0.2])) }),
  );
  return copy;
}

/** The bits of all weights after three steps of two micro-batches. */
async function trainedBits(family: Family, from: string, checkpoints: boolean, trained: RegExp) {
  return withModel(from, async (session) => {
    await session.restart({ gradientCheckpointing: checkpoints });
    await freezeBut(session, trained);
    for (let step = 0; step < 3; step++) {
      for (const batch of [batches.single, batches.pairs]) {
        const packed = pack(family, batch, SINGLE);
        await session.accumulate(packed, { divisor: 9 });
      }
      await session.update(ADAMW);
    }
    return JSON.stringify([await weightBits(session), await session.stats()]);
  });
}

async function checkCheckpointing(t: Test, family: Family): Promise<void> {
  const from = withDropout(family);
  for (const trained of [/./, ...(TRAINED[family.name] ?? [])]) {
    const [plain, checkpointed] = [
      await trainedBits(family, from, false, trained),
      await trainedBits(family, from, true, trained),
    ];
    t.ok(plain === checkpointed, `gradient checkpointing gives the same bits, training ${trained}`);
    t.not(plain, await trainedBits(family, from, true, /^$|classifier/), 'and they change');
  }
}

/** A frozen tensor changes nothing in the gradients of others. */
async function checkFrozen(t: Test, family: Family): Promise<void> {
  const packed = pack(family, batches.single, SINGLE);
  await withModel(folderOf(family, 'model'), async (session) => {
    await session.accumulate(packed, { divisor: divisorOf(packed) });
    const all = await readAll(session, 'gradient');
    for (const trained of TRAINED[family.name] ?? []) {
      await session.restart();
      await freezeBut(session, trained);
      await session.accumulate(packed, { divisor: divisorOf(packed) });
      const names = namesOf(session).filter((name) => trained.test(name));
      t.ok(names.length > 0, `${trained}`);
      for (const [name, gradient] of await readAll(session, 'gradient', names)) {
        t.ok(Math.hypot(...gradient) > 0, name);
        t.same(gradient, all.get(name), `${name} has the gradient of plain training`);
      }
    }
  });
}

/** bfloat16 has 8 bits: logits within a few of their last, and a curve of losses beside that of transformers. */
async function checkBfloat16(t: Test, family: Family): Promise<void> {
  const { steps, curve } = expectedOf(family);
  const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(family, 'model'));
  const session = await model.open({ ...RUNTIME, dtype: 'bfloat16' });
  for (const kind of ['single', 'pairs', 'long'] as const) {
    const expected = steps['model']?.[kind];
    if (expected === undefined) continue;
    const error = maxRelative(await session.predict(pack(family, batches[kind], SINGLE)), expected.logits);
    t.ok(error < 0.03, `${kind}: logits differ by ${error}`);
  }
  let worst = 0;
  for (const [step, learningRate] of curve.learningRates.entries()) {
    const packed = pack(family, batches.curve[step] ?? batches.single, SINGLE);
    await session.accumulate(packed, { divisor: divisorOf(packed) });
    await session.update({ ...batches.options, learningRate, maxGradNorm: batches.maxGradNorm });
    const { loss } = await session.stats();
    worst = Math.max(worst, Math.abs(loss / (curve.losses[step] ?? NaN) - 1));
  }
  t.ok(worst < 0.03, `losses of ${curve.losses.length} steps differ by ${worst}`);
  await model.close();
}

for (const family of FAMILIES)
  await tap.test(family.name, async (t) => {
    await checkCheckpointing(t, family);
    await checkFrozen(t, family);
    await checkBfloat16(t, family);
  });
