// Every family as it is exported, in onnxruntime: whole models and adapters, against the logits of transformers and PEFT
// (scripts/reference/families.py and families_lora.py); activations and weights that came by training, against our own.
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import t from 'tap';

import { AutoModelForSequenceClassification, BertTokenizer, parseConfig } from '../../dist/index.js';
import { batches, expectedOf, folderOf, loraOf, maxRelative, problemIn } from '../fixtures/families.js';
import { FAMILIES, RUNTIME } from '../fixtures/family-sessions.js';
import { runOnnx } from '../fixtures/onnxruntime.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import { workspace } from '../fixtures/workspace.js';

const folder = t.testdir();

for (const family of FAMILIES)
  await t.test(family.name, async (t) => {
    for (const [form, steps] of Object.entries(expectedOf(family).steps)) {
      const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(family, form));
      await model.open(RUNTIME);
      const directory = join(folder, `${family.name}-${form}`);
      const { variants } = await model.exportOnnx(directory, { dtypes: ['fp32', 'fp16', 'q8', 'q4'] });
      await model.close();
      const differences = variants.map(({ figures }) => figures?.difference ?? NaN);
      t.ok((differences[0] ?? NaN) < 1e-5, `${form}: the check (${differences.join(', ')})`);
      t.same(
        variants.map(({ refusal }) => refusal),
        [null, null, null, null],
        'all are fit',
      );
      const path = join(directory, 'onnx/model.onnx');
      for (const kind of ['single', 'pairs', 'long'] as const) {
        const expected = steps[kind];
        if (expected === undefined) continue;
        const { ids, types } = batches[kind];
        const logits = (await runOnnx(path, { ids, types: family.hasTypes ? types : null })).flat();
        const error = maxRelative(logits, expected.logits);
        t.ok(error < 1e-5, `${form}, ${kind}: logits of transformers for ${problemIn(form)} (${error})`);
      }
    }
    const { logits: expected } = loraOf(family);
    const adapter = await AutoModelForSequenceClassification.fromPretrained(folderOf(family, 'adapter'), {
      baseModel: folderOf(family, 'model'),
    });
    const session = await adapter.open(RUNTIME);
    const before = await session.read(`${adapter.lora?.modules[0]}.lora_B.weight`);
    await adapter.exportOnnx(join(folder, `${family.name}-adapter`));
    const after = await session.read(`${adapter.lora?.modules[0]}.lora_B.weight`);
    t.ok(Math.hypot(...before) > 0);
    t.same(after, before, 'the adapter stays an adapter');
    await adapter.close();
    const path = join(folder, `${family.name}-adapter/onnx/model.onnx`);
    const logits = (await runOnnx(path, { ids: batches.single.ids })).flat();
    const error = maxRelative(logits, expected);
    t.ok(error < 1e-5, `the adapter's logits, of PEFT (${error})`);
  });

t.test('no token types where the tokenizer gives none', async (t) => {
  workspace(folder);
  const given = await BertTokenizer.fromPretrained(join(folder, 'model'));
  const none = BertTokenizer.fromSpec({
    ...given.spec,
    tokenizerConfig: { ...given.spec.tokenizerConfig, model_input_names: ['input_ids', 'attention_mask'] },
  });
  const config = parseConfig({ ...TOY_CONFIG, model_type: 'albert' }, 'a small ALBERT');
  const model = AutoModelForSequenceClassification.fromConfig(config, { numLabels: 3 });
  const session = await model.open(RUNTIME);
  const ids = [2, 7, 3, 9, 3];
  const expected = await session.predict({
    inputIds: Int32Array.from(ids),
    cuSeqlens: Int32Array.of(0, ids.length),
  });
  for (const [name, tokenizer, inputs] of [
    ['given', given, ['input_ids', 'attention_mask', 'token_type_ids']],
    ['none', none, ['input_ids', 'attention_mask']],
  ] as const) {
    await model.exportOnnx(join(folder, `types-${name}`), { tokenizer });
    const path = join(folder, `types-${name}/onnx/model.onnx`);
    const runtime = await ort.InferenceSession.create(path);
    t.same(runtime.inputNames, inputs);
    await runtime.release();
    const [logits = []] = await runOnnx(path, { ids: [ids] });
    t.ok(maxRelative(expected, logits) < 1e-5, `${name}: the logits without types`);
  }
  await model.close();
});

t.test('activations', async (t) => {
  for (const hidden_act of ['gelu', 'gelu_new', 'relu', 'silu', 'tanh']) {
    const config = parseConfig({ ...TOY_CONFIG, initializer_range: 0.2, hidden_act }, 'a small BERT');
    const model = AutoModelForSequenceClassification.fromConfig(config, { numLabels: 3 });
    await model.open(RUNTIME);
    const [fp32, q8] = (await model.exportOnnx(join(folder, hidden_act))).variants;
    t.ok((fp32?.figures?.difference ?? NaN) < 2e-5, `${hidden_act}: ${fp32?.figures?.difference}`);
    t.equal(q8?.refusal, null, `q8: ${q8?.figures?.difference}`);
    await model.close();
  }
});
