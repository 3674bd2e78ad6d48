// What opening a model asks for beside its weights. A file of its own, since memory is measured of the whole process.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { AutoModelForSequenceClassification, deviceInfo, parseConfig } from '../../dist/index.js';
import { parameterShapes } from '../../dist/models/parameters.js';
import { formatHeader } from '../../dist/formats/safetensors-header.js';

const CONFIG = {
  model_type: 'bert',
  vocab_size: 400_000,
  hidden_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};
const MOST = 1.3; // times the weights

t.test('a model is opened without a second copy of its weights', async (t) => {
  const folder = t.testdir({ 'config.json': JSON.stringify(CONFIG) });
  const shapes = Array.from(parameterShapes(parseConfig(CONFIG, 'config.json')));
  const layout = shapes.map(([name, shape]) => ({ name, dtype: 'F32' as const, shape }));
  const { bytes: header, entries } = formatHeader(layout);
  const weights = Math.max(...entries.map(({ end }) => end));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, header);
  ftruncateSync(file, header.byteLength + weights); // zeros, which take no room on the disk
  closeSync(file);

  deviceInfo(); // LibTorch itself is not the model's
  const before = process.memoryUsage.rss();
  const model = await AutoModelForSequenceClassification.fromPretrained(folder);
  await model.open({ device: 'cpu', dtype: 'float32', threads: 1 });
  const asked = process.resourceUsage().maxRSS * 1024 - before;
  t.ok(asked > 0.9 * weights, 'all of the weights are in memory');
  t.ok(asked < MOST * weights, `${(asked / weights).toFixed(2)} times the weights`);
  await model.close();
});
