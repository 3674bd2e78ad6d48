// The classifiers of tokens of each family against transformers: logits, loss and gradients, and files that go both ways. Expected
// values: scripts/reference/token_heads.py.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { AutoModelForTokenClassification, readConfig, type EncoderModel } from '../../dist/index.js';
import {
  batches,
  folderOf,
  maxRelative,
  pack,
  readJson,
  SINGLE,
  worst,
  type Digests,
} from '../fixtures/families.js';
import { FAMILIES, readAll, RUNTIME, within } from '../fixtures/family-sessions.js';

interface Case {
  logits: number[];
  loss: number;
  gradients: Digests;
  rounding: { logits: number; loss: number; gradient: number };
}
const fixture: { labels: string[]; targets: number[][]; families: Record<string, Case> } = JSON.parse(
  readFileSync(new URL('../fixtures/token-heads.json', import.meta.url), 'utf8'),
);
const { labels, targets } = fixture;
const NO_CASE: Case = { logits: [], loss: 0, gradients: {}, rounding: { logits: 1, loss: 1, gradient: 1 } };

/** With the classifier of the reference, which is a formula. */
async function withClassifier(model: EncoderModel): Promise<void> {
  const session = await model.open(RUNTIME);
  const { length } = await session.read('classifier.weight');
  const float32 = (values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
  const weight = Array.from({ length }, (_, i) => Math.sin(Math.fround(i * Math.fround(0.7))));
  const shape = [labels.length, length / labels.length];
  await session.write('classifier.weight', { dtype: 'F32', shape, data: float32(weight) });
  const bias = labels.map((_, i) => Math.cos(i));
  await session.write('classifier.bias', { dtype: 'F32', shape: [labels.length], data: float32(bias) });
}

const saved: { folder: string; name: string }[] = [];
const output = t.testdir();

for (const family of FAMILIES)
  t.test(family.name, async (t) => {
    const { logits, loss, gradients, rounding } = fixture.families[family.name] ?? NO_CASE;
    const model = await AutoModelForTokenClassification.fromPretrained(folderOf(family, 'model'), { labels });
    t.same(model.newlyInitialised, ['classifier.weight', 'classifier.bias']);
    await withClassifier(model);
    const { session } = model;
    const packed = {
      ...pack(family, { ...batches.single, types: null }, SINGLE),
      labels: Int32Array.from(targets.flat()),
    };
    within(t, 'logits', maxRelative(await session.predict(packed), logits), rounding.logits, 1e-5);
    await session.accumulate(packed, { divisor: targets.flat().filter((label) => label !== -100).length });
    const stats = await session.stats();
    within(t, 'loss', Math.abs(stats.loss / loss - 1), rounding.loss, 1e-6);
    const found = await readAll(session, 'gradient');
    const { error, name } = worst(found, gradients);
    within(t, `gradients (worst is ${name})`, error, rounding.gradient, 1e-4);
    t.same([...found.keys()].toSorted(), Object.keys(gradients).toSorted());

    const folder = join(output, family.name);
    await model.savePretrained(folder);
    await model.close();
    const config = await readConfig(folder);
    t.equal(config.problemType, 'token_classification');
    t.match(readJson(join(folder, 'config.json')), {
      architectures: [/ForTokenClassification$/],
      problem_type: undefined,
    });
    const again = await AutoModelForTokenClassification.fromPretrained(folder);
    t.same(again.newlyInitialised, []);
    t.same(again.task.labels, labels);
    const reopened = await again.open(RUNTIME);
    within(
      t,
      'logits of the saved model',
      maxRelative(await reopened.predict(packed), logits),
      rounding.logits,
      1e-5,
    );
    await again.close();
    saved.push({ folder, name: family.name });
  });

const PYTHON = process.env['BERTUNE_PYTHON'];
const LOAD = `
import json, sys, torch
from transformers import AutoConfig, AutoModelForTokenClassification
answers = {}
for one in json.load(sys.stdin):
    model, info = AutoModelForTokenClassification.from_pretrained(one["folder"], output_loading_info=True)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        logits = model.eval()(ids).logits.ravel().tolist()
    answers[one["name"]] = {"missing": sorted(info["missing_keys"]), "unexpected": sorted(info["unexpected_keys"]), "class": type(model).__name__, "labels": list(model.config.id2label.values()), "logits": logits}
print(json.dumps(answers))
`;

t.test(
  'transformers loads what was saved',
  { skip: PYTHON === undefined && 'BERTUNE_PYTHON is not set' },
  async (t) => {
    const answers: Record<
      string,
      { missing: string[]; unexpected: string[]; class: string; labels: string[]; logits: number[] }
    > = JSON.parse(
      execFileSync(PYTHON ?? '', ['-c', LOAD], {
        input: JSON.stringify(saved),
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'ignore'],
      }),
    );
    for (const { folder, name } of saved) {
      const answer = answers[name];
      t.match(answer, { missing: [], unexpected: [], class: /ForTokenClassification$/ }, name);
      t.same(answer?.labels, labels);
      const model = await AutoModelForTokenClassification.fromPretrained(folder);
      const session = await model.open(RUNTIME);
      const own = await session.predict({
        inputIds: Int32Array.of(5, 6, 7, 8, 9),
        cuSeqlens: Int32Array.of(0, 5),
      });
      within(t, name, maxRelative(own, answer?.logits ?? []), 0, 1e-4);
      await model.close();
    }
  },
);
