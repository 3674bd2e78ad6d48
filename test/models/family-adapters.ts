// Adapters of each family against PEFT: default targets, all-linear, what is saved whole, a curve of AdamW, decay, and the files.
// Expected values: scripts/reference/families_lora.py.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tap, { type Test } from 'tap';

import { AutoModelForSequenceClassification } from '../../dist/index.js';
import {
  batches,
  expectedOf,
  folderOf,
  loraOf,
  maxRelative,
  pack,
  readJson,
  SINGLE,
  type Expected,
} from '../fixtures/families.js';
import {
  checkCurve,
  checkInPython,
  decayingIn,
  FAMILIES,
  withModel,
  within,
  type Family,
  type Saved,
} from '../fixtures/family-sessions.js';

const output = tap.testdir();
const saved: Saved[] = [];

/** The linear layers of the blocks, which are what `all-linear` can mean where PEFT refuses it. */
const linearsOfBlocks = ({ parameters }: Expected): string[] =>
  parameters
    .filter(([name, shape]) => /layer\.\d+\./.test(name) && shape.length === 2)
    .map(([name]) => name.replace(/\.weight$/, ''));

async function checkLora(t: Test, family: Family): Promise<void> {
  const expected = loraOf(family);
  const { chosen, allLinear, trained, curve } = expected;
  if ('error' in chosen) throw new Error(chosen.error);
  const base = folderOf(family, 'model');
  const fresh = await AutoModelForSequenceClassification.fromPretrained(base, {
    lora: { rank: expected.rank },
  });
  t.same(fresh.lora?.modules.toSorted(), chosen.modules.toSorted(), 'default targets');
  t.same(fresh.lora?.saved.toSorted(), chosen.saved, 'saved whole');
  if (!('error' in expected.default)) t.same(chosen, expected.default, "which are PEFT's");
  await fresh.close();
  const lora = { rank: expected.rank, targetModules: ['all-linear'] };
  const every = await AutoModelForSequenceClassification.fromPretrained(base, { lora });
  const linears = 'error' in allLinear ? linearsOfBlocks(expectedOf(family)) : allLinear.modules;
  t.same(every.lora?.modules.toSorted(), linears.toSorted(), 'all-linear');
  await every.close();

  const single = pack(family, batches.single, SINGLE);
  const plain = pack(family, { ...batches.single, types: null }, SINGLE);
  await withModel(folderOf(family, 'adapter'), async (session, model) => {
    within(
      t,
      'logits',
      maxRelative(await session.predict(single), expected.logits),
      expected.rounding.logits,
      1e-5,
    );
    const frozen = session.tensors().filter(({ name }) => !trained.includes(name));
    await session.configure(frozen.map(({ name }) => ({ name, trainable: false })));
    await checkCurve(t, family, session, curve);
    const stateful = new Set((await session.optimizerState()).map(({ name }) => name));
    t.same([...stateful].toSorted(), trained, 'what is trained');
    const directory = join(output, `${family.name}-adapter`);
    await model.savePretrained(directory);
    const written = readJson(join(directory, 'adapter_config.json')) as Record<string, unknown>;
    const kept = readJson(folderOf(family, 'adapter', 'adapter_config.json')) as Record<string, unknown>;
    for (const key of ['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'modules_to_save', 'task_type'])
      t.same(written[key], kept[key], key);
    t.same(
      namesInSafetensors(join(directory, 'adapter_model.safetensors')),
      expected.tensors,
      'names in the file',
    );
    saved.push({
      label: `${family.name}'s adapter`,
      model: base,
      adapter: directory,
      logits: await session.predict(plain),
    });
    t.same(await decayingIn(session, plain, trained), expected.decaying, 'what decays');
  });
}

function namesInSafetensors(path: string): string[] {
  const bytes = readFileSync(path);
  const header = bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString();
  return Object.keys(JSON.parse(header) as object)
    .filter((name) => name !== '__metadata__')
    .toSorted();
}

for (const family of FAMILIES) await tap.test(family.name, (t) => checkLora(t, family));

await tap.test('transformers and PEFT load what we save', async (t) => checkInPython(t, saved));
