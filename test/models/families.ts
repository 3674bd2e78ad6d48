// Each family of models against transformers and PEFT: its checkpoints in every form, logits, loss and gradients, a curve of
// AdamW, decay, dropout, adapters, config.json, and what we save. Expected values: scripts/reference/families.py and
// families_lora.py.
//
// Errors are measured as in test/native/parity.ts: the fixtures hold float64 results and how far float32 transformers is
// from them (`rounding`); both distances together must stay within the tolerance.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap, { type Test } from 'tap';

import {
  AutoModelForSequenceClassification,
  BertForSequenceClassification,
  CamembertForSequenceClassification,
  DistilBertForSequenceClassification,
  ElectraForSequenceClassification,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
  type PackedBatch,
  type Session,
} from '../../dist/index.js';
import { configJson, parseConfig, sessionSpec } from '../../dist/models/index.js';
import { DEVICE } from '../fixtures/device.js';
import {
  batches,
  divisorOf,
  expectedOf,
  folderOf,
  loraOf,
  maxRelative,
  pack,
  problemIn,
  readJson,
  SINGLE,
  worst,
  type Curve,
  type Expected,
} from '../fixtures/families.js';

type Model = Awaited<ReturnType<typeof AutoModelForSequenceClassification.fromPretrained>>;

/** Whether token types are told apart, and how many tokens a table of 40 positions takes. */
const FAMILIES = [
  { name: 'bert', named: BertForSequenceClassification, hasTypes: true, longest: 40 },
  { name: 'roberta', named: RobertaForSequenceClassification, hasTypes: false, longest: 38 },
  { name: 'xlm-roberta', named: XLMRobertaForSequenceClassification, hasTypes: false, longest: 38 },
  { name: 'camembert', named: CamembertForSequenceClassification, hasTypes: false, longest: 36 },
  { name: 'distilbert', named: DistilBertForSequenceClassification, hasTypes: false, longest: 40 },
  { name: 'electra', named: ElectraForSequenceClassification, hasTypes: true, longest: 40 },
  { name: 'electra-projected', named: ElectraForSequenceClassification, hasTypes: true, longest: 40 },
] as const;
type Family = (typeof FAMILIES)[number];

// ---- sessions ----------------------------------------------------------------------------------------------

const RUNTIME = { device: DEVICE, dtype: 'float32', threads: 2, seed: 1 } as const;

/** Opens a folder of the family for as long as `use` takes. */
async function withModel<T>(
  folder: string,
  use: (session: Session, model: Model) => Promise<T>,
  options: Parameters<typeof AutoModelForSequenceClassification.fromPretrained>[1] = {},
): Promise<T> {
  const model = await AutoModelForSequenceClassification.fromPretrained(folder, options);
  try {
    return await use(await model.open(RUNTIME), model);
  } finally {
    await model.close();
  }
}

async function readAll(
  session: Session,
  kind: 'weight' | 'gradient',
  names = session.tensors().map(({ name }) => name),
): Promise<Map<string, Float32Array>> {
  const entries = names.map(async (name) => [name, await session.read(name, kind)] as const);
  return new Map(await Promise.all(entries));
}

function within(t: Test, label: string, error: number, rounding: number, tolerance: number): void {
  t.ok(error + rounding <= tolerance, `${label}: ${error.toExponential(1)} of ${tolerance}`);
}

/** The steps of Trainer without accumulation: losses, norms and final weights. */
async function checkCurve(t: Test, family: Family, session: Session, curve: Curve): Promise<void> {
  let [lossError, normError] = [0, 0];
  for (const [step, learningRate] of curve.learningRates.entries()) {
    const batch = batches.curve[step];
    if (batch === undefined) throw new Error(`no batch ${step}`);
    const packed = pack(family, batch, SINGLE);
    await session.accumulate(packed, { divisor: divisorOf(packed) });
    await session.update({ ...batches.options, learningRate, maxGradNorm: batches.maxGradNorm });
    const { loss, gradNorm } = await session.stats();
    lossError = Math.max(lossError, Math.abs(loss / (curve.losses[step] ?? NaN) - 1));
    normError = Math.max(normError, Math.abs(gradNorm / (curve.gradNorms[step] ?? NaN) - 1));
  }
  const weight = worst(await readAll(session, 'weight', Object.keys(curve.weights)), curve.weights);
  within(t, 'losses', lossError, curve.rounding.loss, 1e-4);
  within(t, 'norms', normError, curve.rounding.gradNorm, 1e-4);
  within(t, `weights (worst is ${weight.name})`, weight.error, curve.rounding.weight, 1e-4);
}

/** The tensors that an update shrinks where it does nothing else: the gradient is all but nothing beside epsilon. */
async function decayingIn(session: Session, batch: PackedBatch, names?: string[]): Promise<string[]> {
  await session.restart();
  const before = await readAll(session, 'weight', names);
  await session.accumulate(batch, { divisor: 1e20 });
  await session.update({ ...batches.options, learningRate: 1, epsilon: 1, weightDecay: 0.5, maxGradNorm: 0 });
  const after = await readAll(session, 'weight', names);
  const factors = [...before].map(([name, values]) => {
    return [name, Math.hypot(...(after.get(name) ?? [])) / Math.hypot(...values)] as const;
  });
  const odd = factors.find(([, factor]) => Math.abs(factor - 0.5) > 1e-6 && Math.abs(factor - 1) > 1e-6);
  if (odd !== undefined) throw new Error(`${odd[0]} is ${odd[1]} times what it was`);
  return factors.flatMap(([name, factor]) => (factor < 0.75 ? [name] : [])).toSorted();
}

const output = tap.testdir();
/** Folders in `output`, and our logits, for the last test. */
const saved: { label: string; model: string; adapter: string | null; logits: Float32Array }[] = [];

// ---- the tests of a family ----------------------------------------------------------------------------------------------

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
      for (const name of wanted.missing) checkNew(t, name, await session.read(name, 'weight'));
    });
  }
  const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(family, 'model'), {
    numLabels: 5,
  });
  t.same(model.newlyInitialised.toSorted(), expectedOf(family).relabelled, 'for other labels');
  await model.close();
  const all = expectedOf(family).parameters.map(([name, shape]) => ({ name, shape }));
  await withModel(folderOf(family, 'model'), async (session) => {
    const found = session.tensors().map(({ name, shape }) => ({ name, shape: [...shape] }));
    const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
    t.same(found.toSorted(byName), all.toSorted(byName), 'names and shapes of all parameters');
  });
}

/** HF's initialisation: zero biases, weights normal(0, initializer_range = 0.02); here at least 48 values. */
function checkNew(t: Test, name: string, values: Float32Array): void {
  const deviation = Math.hypot(...values) / Math.sqrt(values.length);
  if (name.endsWith('.bias')) t.equal(deviation, 0, `${name} is new`);
  else t.ok(deviation > 0.012 && deviation < 0.028, `${name} is new: deviation ${deviation}`);
}

async function checkSteps(t: Test, family: Family): Promise<void> {
  for (const [folder, steps] of Object.entries(expectedOf(family).steps))
    for (const kind of ['single', 'pairs'] as const) {
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
    const logits = await session.predict(ofLength(family.longest));
    t.ok(logits.every(Number.isFinite), `${family.longest} tokens`);
    await t.rejects(session.predict(ofLength(family.longest + 1)), `${family.longest + 1} tokens`);
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

/** The dropouts of a step in the order in which transformers calls them, and the head's linear layers among them. */
function dropoutsOf(config: Record<string, unknown>): (number | string)[] {
  const { encoder, head } = sessionSpec(parseConfig(config, 'config.json'));
  const { attention, mlp } = encoder;
  const block = [attention.dropout, attention.outputDropout, mlp.outputDropout];
  const stages = head.flatMap((stage): (number | string)[] => {
    if ('linear' in stage) return [stage.linear];
    return 'dropout' in stage ? [stage.dropout] : [];
  });
  return [encoder.embeddings.dropout, ...encoder.layers.flatMap(() => block), ...stages].filter(
    (p) => p !== 0,
  );
}

function checkConfig(t: Test, family: Family): void {
  const { dropouts, configs } = expectedOf(family);
  for (const { config, calls } of dropouts) {
    const wanted = calls.map((call) => ('linear' in call ? call.linear : call.dropout));
    t.same(dropoutsOf(config), wanted, 'places and probabilities of dropout');
  }
  for (const { file, written } of configs)
    t.same(configJson(parseConfig(file, 'config.json')), written, `config.json of ${JSON.stringify(file)}`);
}

for (const family of FAMILIES)
  await tap.test(family.name, async (t) => {
    await t.test('forms of its checkpoints', (t) => checkForms(t, family));
    await t.test('logits, loss and gradients', (t) => checkSteps(t, family));
    await t.test('20 steps of AdamW, and decay', (t) => checkTraining(t, family));
    await t.test('the longest text', (t) => checkLongest(t, family));
    await t.test('saved as transformers saves it', (t) => checkSaved(t, family));
    await t.test('adapters', (t) => checkLora(t, family));
    await t.test('dropout and config.json', async (t) => checkConfig(t, family));
  });

await tap.test('transformers and PEFT load what we save', async (t) => {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: not loaded with transformers');
  const script = fileURLToPath(new URL('../../scripts/reference/check_family.py', import.meta.url));
  const folders = JSON.stringify(saved.map(({ model, adapter }) => [model, adapter]));
  const stdout = execFileSync(python, [script, folders, '--ids', JSON.stringify(batches.single.ids)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const reports = JSON.parse(stdout) as { logits: number[][]; [key: string]: unknown }[];
  t.equal(reports.length, 2 * FAMILIES.length);
  for (const [i, { label, logits }] of saved.entries()) {
    const { logits: theirs, class: _, ...rest } = reports[i] ?? { logits: [] };
    t.same(rest, { missing: [], unexpected: [], mismatched: [], warnings: [] }, label);
    const error = maxRelative(logits, theirs.flat());
    t.ok(error <= 1e-5, `${label}: the logits differ by ${error}`);
  }
});
