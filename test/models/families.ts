// Each family of models against transformers: its checkpoints in every form, logits, loss and gradients, a curve of AdamW, decay, and
// what we save. Expected values: scripts/reference/families.py.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import tap, { type Test } from 'tap';

import { AutoConfig, AutoModelForSequenceClassification, type PackedBatch } from '../../dist/index.js';
import {
  batches,
  divisorOf,
  expectedOf,
  folderOf,
  maxRelative,
  pack,
  problemIn,
  readJson,
  SINGLE,
  worst,
} from '../fixtures/families.js';
import {
  checkCurve,
  checkInPython,
  decayingIn,
  FAMILIES,
  readAll,
  RUNTIME,
  withModel,
  within,
  type Family,
  type Saved,
} from '../fixtures/family-sessions.js';

const output = tap.testdir();
const saved: Saved[] = [];

async function checkForms(t: Test, family: Family): Promise<void> {
  for (const [form, wanted] of Object.entries(expectedOf(family).forms)) {
    await withModel(folderOf(family, form), async (session, model) => {
      t.same(model.newlyInitialised.toSorted(), wanted.missing, `${form}: newly initialised`);
      t.same(model.unused.toSorted(), wanted.unexpected, `${form}: unused`);
      const tensors = await readAll(session, 'weight', Object.keys(wanted.tensors));
      const hashes = [...tensors].map(([name, values]) => {
        return [name, createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')] as const;
      });
      t.same(Object.fromEntries(hashes), wanted.tensors, `${form}: the tensors that are taken`);
      for (const name of wanted.missing)
        checkNew(t, name, await session.read(name, 'weight'), deviationOf(family, name));
    });
  }
  const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(family, 'model'), {
    numLabels: 5,
  });
  t.same(model.newlyInitialised.toSorted(), expectedOf(family).relabelled, 'for other labels');
  const { id2label, modelType } = await AutoConfig.fromPretrained(folderOf(family, 'model'));
  t.same(modelType, model.config.modelType);
  t.not(id2label.length, model.config.id2label.length, 'the config as it is in the file');
  await model.close();
  const all = expectedOf(family).parameters.map(([name, shape]) => ({ name, shape }));
  await withModel(folderOf(family, 'model'), async (session) => {
    const found = session.tensors().map(({ name, shape }) => ({ name, shape: [...shape] }));
    const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
    t.same(found.toSorted(byName), all.toSorted(byName), 'names and shapes of all parameters');
  });
}

/**
 * The deviation of HF's initial weights: initializer_range = 0.02. ModernBERT draws from the normal distribution cut at two
 * deviations, which leaves 0.88 of it, by the place of a matrix: here of 3 layers and 16 hidden values.
 */
function deviationOf({ name: family }: Family, name: string): number {
  if (!family.startsWith('modernbert')) return 0.02;
  if (name === 'classifier.weight') return 0.88 / Math.sqrt(16);
  return (0.88 * 0.02) / Math.sqrt(2 * 3);
}

/** Zero biases, norms of ones, and weights of this deviation; here at least 48 values. */
function checkNew(t: Test, name: string, values: Float32Array, expected: number): void {
  const deviation = Math.hypot(...values) / Math.sqrt(values.length);
  if (name.endsWith('.bias')) t.equal(deviation, 0, `${name} is new`);
  else if (name.endsWith('norm.weight')) t.ok(values.every((value) => value === 1));
  else t.ok(Math.abs(deviation / expected - 1) < 0.4, `${name} is new: deviation ${deviation}`);
}

/** Batches of a step; not every model takes the long texts. */
const KINDS = ['single', 'pairs', 'long'] as const;

async function checkSteps(t: Test, family: Family): Promise<void> {
  for (const [folder, steps] of Object.entries(expectedOf(family).steps))
    for (const kind of KINDS) {
      if (steps[kind] === undefined) continue;
      const { logits, loss, gradients, fullGradients, rounding } = steps[kind];
      const packed = pack(family, batches[kind], problemIn(folder));
      await withModel(folderOf(family, folder), async (session) => {
        within(
          t,
          `${folder}, ${kind}: logits`,
          maxRelative(await session.predict(packed), logits),
          rounding.logits,
          1e-5,
        );
        await session.accumulate(packed, { divisor: divisorOf(packed) });
        const stats = await session.stats();
        within(t, `${folder}, ${kind}: loss`, Math.abs(stats.loss / loss - 1), rounding.loss, 1e-6);
        const found = await readAll(session, 'gradient');
        const { error, name } = worst(found, gradients);
        within(t, `${folder}, ${kind}: gradients (worst is ${name})`, error, rounding.gradient, 1e-4);
        t.same([...found.keys()].toSorted(), Object.keys(gradients).toSorted());
        for (const [full, values] of Object.entries(fullGradients))
          within(t, `${full} by value`, maxRelative(found.get(full) ?? [], values), rounding.gradient, 1e-4);
      });
    }
}

async function checkTraining(t: Test, family: Family): Promise<void> {
  const { curve, decaying } = expectedOf(family);
  const packed = pack(family, { ...batches.single, types: null }, SINGLE);
  await withModel(folderOf(family, 'model'), async (session, model) => {
    await checkCurve(t, family, session, curve);
    const trained = join(output, family.name);
    await model.savePretrained(trained);
    saved.push({ label: family.name, model: trained, adapter: null, logits: await session.predict(packed) });
    t.same(await decayingIn(session, packed), decaying, 'what decays');
  });
}

/** Every text may be as long as the table of positions allows, and no longer. */
async function checkLongest(t: Test, family: Family): Promise<void> {
  const ofLength = (length: number): PackedBatch => ({
    inputIds: new Int32Array(length + 2).fill(7),
    cuSeqlens: Int32Array.from([0, 2, length + 2]),
  });
  await withModel(folderOf(family, 'model'), async (session) => {
    const { longest } = family;
    const logits = await session.predict(ofLength(longest ?? 500));
    t.ok(logits.every(Number.isFinite), `${longest ?? 500} tokens`);
    if (longest !== null) await t.rejects(session.predict(ofLength(longest + 1)), `${longest + 1} tokens`);
  });
}

async function checkSaved(t: Test, family: Family): Promise<void> {
  for (const form of Object.keys(expectedOf(family).steps)) {
    const folder = folderOf(family, form);
    const copy = join(output, `${family.name}-${form}`);
    await withModel(folder, (_, model) => model.savePretrained(copy));
    t.same(readdirSync(copy).toSorted(), ['config.json', 'model.safetensors'], form);
    const [ours, theirs] = [copy, folder].map((from) => readFileSync(join(from, 'model.safetensors')));
    t.equal(ours?.compare(theirs ?? Buffer.of()), 0, `${form}: the same bytes`);
    t.same(
      readJson(join(copy, 'config.json')),
      readJson(join(folder, 'config.json')),
      `${form}: config.json`,
    );
  }
  const { single } = batches;
  const { logits } = expectedOf(family).steps['model']?.single ?? { logits: [] };
  const model = await family.named.fromPretrained(folderOf(family, 'model'));
  const session = await model.open(RUNTIME);
  const found = await session.predict(pack(family, single, SINGLE));
  t.ok(maxRelative(found, logits) <= 1e-5, `${family.named.name} opens it too`);
  await model.close();
}

for (const family of FAMILIES)
  await tap.test(family.name, async (t) => {
    await t.test('forms of its checkpoints', (t) => checkForms(t, family));
    await t.test('logits, loss and gradients', (t) => checkSteps(t, family));
    await t.test('20 steps of AdamW, and decay', (t) => checkTraining(t, family));
    await t.test('the longest text', (t) => checkLongest(t, family));
    await t.test('saved as transformers saves it', (t) => checkSaved(t, family));
  });

await tap.test('transformers loads what we save', async (t) => checkInPython(t, saved));
