// Masked language models of each family against transformers: logits, losses and gradients, the tied table included, and what we
// save. Expected values: scripts/reference/masked_lm.py.
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

import {
  AutoModelForMaskedLM,
  AutoModelForSequenceClassification,
  type EncoderModel,
  type PackedBatch,
  type Session,
} from '../../dist/index.js';
import { maxRelative, readJson, worst, type Digests } from '../fixtures/families.js';
import { readAll, RUNTIME, within } from '../fixtures/family-sessions.js';

interface Expected {
  className: string;
  parameters: [name: string, shape: number[]][];
  batch: { ids: number[][]; labels: number[][] };
  logits: number[];
  loss: number;
  gradients: Digests;
  rounding: { logits: number; loss: number; gradient: number };
}

const fixtures = fileURLToPath(new URL('../fixtures/masked-lm/', import.meta.url));
const wantedOf = readJson(join(fixtures, 'expected.json')) as Record<string, Expected>;
const output = tap.testdir();
const NONE = -100;

function packed({ ids, labels }: Expected['batch']): PackedBatch & { labels: Int32Array } {
  const cuSeqlens = new Int32Array(ids.length + 1);
  for (const [row, sequence] of ids.entries()) cuSeqlens[row + 1] = (cuSeqlens[row] ?? 0) + sequence.length;
  return { inputIds: Int32Array.from(ids.flat()), cuSeqlens, labels: Int32Array.from(labels.flat()) };
}

async function withModel<T>(
  folder: string,
  use: (session: Session, model: EncoderModel) => Promise<T>,
): Promise<T> {
  const model = await AutoModelForMaskedLM.fromPretrained(folder);
  try {
    return await use(await model.open(RUNTIME), model);
  } finally {
    await model.close();
  }
}

for (const [family, wanted] of Object.entries(wantedOf)) {
  tap.test(`${family} as a masked language model`, async (t) => {
    const folder = join(fixtures, family);
    await withModel(folder, async (session, model) => {
      t.same(model.newlyInitialised, [], 'all of it is in the file');
      t.same(model.unused, [], 'and all of the file is used');
      const found = session.tensors().map(({ name, shape }) => [name, [...shape]]);
      t.same(
        found.toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
        wanted.parameters.toSorted(([a], [b]) => (a < b ? -1 : 1)),
        'names and shapes of all parameters',
      );
      const batch = packed(wanted.batch);
      const masked = [...batch.labels.entries()].filter(([, label]) => label !== NONE);
      const { labels: _, ...unlabelled } = batch;
      const logits = await session.predict(unlabelled);
      const vocabulary = logits.length / batch.inputIds.length;
      const own = masked.flatMap(([place]) => [
        ...logits.subarray(place * vocabulary, (place + 1) * vocabulary),
      ]);
      within(t, 'logits of masked tokens', maxRelative(own, wanted.logits), wanted.rounding.logits, 1e-5);
      const scores = await session.predict(batch);
      t.equal(scores.length, 2 * masked.length, 'two scores a masked token');
      const losses = masked.map((_, i) => scores[2 * i] ?? NaN);
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      within(
        t,
        'mean of the losses',
        Math.abs(mean - wanted.loss) / Math.max(1, wanted.loss),
        wanted.rounding.loss,
        1e-6,
      );
      for (const i of masked.keys()) {
        const row = wanted.logits.slice(i * vocabulary, (i + 1) * vocabulary);
        t.equal(scores[2 * i + 1], row.indexOf(Math.max(...row)), 'the most probable word');
      }
      await session.accumulate(batch, { divisor: masked.length });
      const { loss } = await session.stats();
      within(t, 'loss', Math.abs(loss - wanted.loss) / Math.max(1, wanted.loss), wanted.rounding.loss, 1e-6);
      const { error, name } = worst(
        await readAll(session, 'gradient', Object.keys(wanted.gradients)),
        wanted.gradients,
      );
      within(t, `gradient of ${name}`, error, wanted.rounding.gradient, 1e-4);
      await model.savePretrained(join(output, family));
    });
    const [written, theirs] = [output, fixtures].map((root): Record<string, unknown> => {
      return JSON.parse(readFileSync(join(root, family, 'config.json'), 'utf8')) as Record<string, unknown>;
    });
    t.same(written, theirs, 'config.json as transformers writes it');
    const classifier = await AutoModelForSequenceClassification.fromPretrained(join(output, family), {
      numLabels: 2,
    });
    t.ok(classifier.newlyInitialised.length > 0, 'a classifier gets a new head');
    t.notOk(
      classifier.newlyInitialised.some((name) => /embeddings|layer/.test(name)),
      'and the encoder',
    );
    await classifier.close();
  });
}

tap.test('a step in parts has the gradients of the whole', async (t) => {
  const wanted = wantedOf['bert'];
  if (wanted === undefined) throw new Error('no bert');
  const batch = packed(wanted.batch);
  const divisor = batch.labels.filter((label) => label !== NONE).length;
  const gradientsOf = (batches: readonly PackedBatch[]): Promise<Map<string, Float32Array>> =>
    withModel(join(fixtures, 'bert'), async (session) => {
      for (const each of batches) await session.accumulate(each, { divisor });
      return readAll(session, 'gradient');
    });
  const whole = await gradientsOf([batch]);
  const parts = wanted.batch.ids.map((ids, row) =>
    packed({ ids: [ids], labels: [wanted.batch.labels[row] ?? []] }),
  );
  const all = Math.hypot(...[...whole.values()].map((values) => Math.hypot(...values)));
  for (const [name, values] of await gradientsOf(parts)) {
    const own = whole.get(name) ?? new Float32Array();
    const size = Math.hypot(...own);
    const difference = Math.hypot(...values.map((value, i) => value - (own[i] ?? NaN)));
    t.ok(difference <= 1e-5 * size + 1e-7 * all, `${name}: ${difference} of ${size}`);
  }
  // The first text has no label at all.
  t.ok(parts[0]?.labels?.every((label) => label === NONE) ?? false);
});

tap.test(
  'transformers loads what we saved',
  { skip: process.env['BERTUNE_PYTHON'] === undefined },
  async (t) => {
    const script = `
import json, sys
from transformers import AutoModelForMaskedLM
for folder in sys.argv[1:]:
    model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    print(json.dumps([type(model).__name__, sorted(info["missing_keys"]), sorted(info["unexpected_keys"])]))
`;
    const families = Object.keys(wantedOf);
    const lines = execFileSync(
      process.env['BERTUNE_PYTHON'] ?? 'python',
      ['-c', script, ...families.map((family) => join(output, family))],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    for (const [i, line] of lines.trim().split('\n').entries())
      t.same(JSON.parse(line), [wantedOf[families[i] ?? '']?.className, [], []], families[i] ?? line);
  },
);
