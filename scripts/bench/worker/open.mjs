// A model folder with random weights, and opening one.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  classify,
  deviceInfo,
  parseConfig,
} from '../../../dist/index.js';
import { modelConfig } from '../shape.mjs';
import { peakBytes, timed } from './measures.mjs';

/** @param {{ shape: import('../shape.mjs').Shape, vocabSize: number, tokenizer: string, model: string }} job */
export async function makeModel({ shape, vocabSize, tokenizer: source, model: folder }) {
  const tokenizer = await AutoTokenizer.fromPretrained(source);
  const config = modelConfig(shape, Math.max(vocabSize, tokenizer.vocabSize), ['0', '1']);
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'the bench'));
  await model.open({ device: 'cpu', dtype: 'float32' });
  await model.savePretrained(folder);
  await model.close();
  await tokenizer.savePretrained(folder);
  return { weightBytes: (await stat(join(folder, 'model.safetensors'))).size };
}

/**
 * From the folder to a first prediction. `openedBytes`: what opening took beyond the loaded libraries.
 *
 * @param {{ model: string } & import('./inputs.mjs').Runtime} job
 */
export async function open({ model: folder, threads, device, dtype }) {
  deviceInfo(); // loads LibTorch
  const loaded = peakBytes(device);
  let openedBytes = NaN;
  const { seconds } = await timed(device, async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const model = await AutoModelForSequenceClassification.fromPretrained(folder);
    await model.open({ device, dtype, threads });
    openedBytes = peakBytes(device) - loaded;
    await classify(model, tokenizer, ['What a film!']);
    await model.close();
  });
  return { seconds, openedBytes, peakBytes: peakBytes(device) };
}
