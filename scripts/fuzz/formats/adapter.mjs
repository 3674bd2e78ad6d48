// adapter_config.json and adapter_model.safetensors on a good base.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BertForSequenceClassification } from '../../../dist/models/sequence-classification.js';
import { defineFormat } from '../format.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { faultOfLoaded, mutateSafetensors, soundTensors } from '../safetensors-file.mjs';
import { filesOf, loadedWeights, modelFiles, RUNTIME } from '../tiny-model.mjs';

const WEIGHTS = 'adapter_model.safetensors';

/** Where the adapter's config finds its base; the input may change that path. */
let base = '';

export const adapter = defineFormat({
  name: 'adapter',
  async seeds() {
    base = mkdtempSync(join(tmpdir(), 'bertune-fuzz-base-'));
    for (const [name, bytes] of Object.entries(await modelFiles())) writeFileSync(join(base, name), bytes);
    const model = await BertForSequenceClassification.fromPretrained(base, {
      lora: { rank: 2, baseName: base },
    });
    await model.open(RUNTIME);
    const files = await filesOf((folder) => model.savePretrained(folder));
    await model.close();
    const { 'config.json': _, ...asPeft } = files;
    return [files, asPeft];
  },
  mutate(files, random) {
    const name = random.pick(Object.keys(files));
    const bytes = files[name] ?? new Uint8Array();
    return {
      ...files,
      [name]: name === WEIGHTS ? mutateSafetensors(bytes, random) : mutateJson(bytes, random),
    };
  },
  async read(folder) {
    const model = await BertForSequenceClassification.fromPretrained(folder, { baseModel: base });
    try {
      return { weights: await loadedWeights(model), fresh: model.newlyInitialised };
    } finally {
      await model.close();
    }
  },
  check({ weights, fresh }, files) {
    const tensors = soundTensors(files[WEIGHTS] ?? new Uint8Array());
    if (typeof tensors === 'string') return `loaded although ${tensors}`;
    for (const [name, values] of weights) {
      if (!name.includes('.lora_') || fresh.includes(name)) continue;
      const tensor = tensors.get(`base_model.model.${name}`) ?? tensors.get(name);
      const fault = faultOfLoaded(name, values, tensor);
      if (fault !== null) return fault;
    }
    return null;
  },
});
