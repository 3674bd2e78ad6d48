// model.safetensors, alone or in shards behind an index, on the way into a session.
import { BertForSequenceClassification } from '../../../dist/models/sequence-classification.js';
import { defineFormat, utf8 } from '../format.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { faultOfLoaded, mutateSafetensors, soundTensors } from '../safetensors-file.mjs';
import { loadedWeights, modelFiles } from '../tiny-model.mjs';

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

export const safetensors = defineFormat({
  name: 'safetensors',
  async seeds() {
    const files = await modelFiles();
    const { [WEIGHTS]: weights = new Uint8Array(), ...others } = files;
    const names = Object.keys(JSON.parse(headerOf(weights))).filter((name) => name !== '__metadata__');
    const map = Object.fromEntries(names.map((name) => [name, 'a.safetensors']));
    const index = utf8(JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));
    return [files, { ...others, [INDEX]: index, 'a.safetensors': weights }];
  },
  mutate(files, random) {
    const name = random.pick(Object.keys(files).filter((file) => file !== 'config.json'));
    const bytes = files[name] ?? new Uint8Array();
    return {
      ...files,
      [name]: name === INDEX ? mutateJson(bytes, random) : mutateSafetensors(bytes, random),
    };
  },
  async read(folder) {
    const model = await BertForSequenceClassification.fromPretrained(folder);
    try {
      return { weights: await loadedWeights(model), fresh: model.newlyInitialised };
    } finally {
      await model.close();
    }
  },
  check({ weights, fresh }, files) {
    const tensors = soundTensors(files[WEIGHTS] ?? files['a.safetensors'] ?? new Uint8Array());
    if (typeof tensors === 'string') return `loaded although ${tensors}`;
    for (const [name, values] of weights) {
      if (fresh.includes(name)) continue;
      const fault = faultOfLoaded(name, values, tensors.get(name));
      if (fault !== null) return fault;
    }
    return null;
  },
});

/** @param {Uint8Array} bytes */
function headerOf(bytes) {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return Buffer.from(bytes.subarray(8, 8 + length)).toString();
}
