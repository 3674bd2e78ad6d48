// Texts in, labels out: the call for scripts and services.
import type { EncoderModel } from '../models/encoder-model.js';
import { expected } from '../util/errors.js';
import type { BertTokenizer, TextExample } from '../tokenizer/index.js';
import { longTextsOf, textReading, type Pooling } from './long-texts.js';
import { predictRows } from './predict.js';
import { predictionOf, type Prediction } from './probabilities.js';

/**
 * Classifies texts or pairs in memory, in their order.
 *
 * @param texts strings, or `{text, textPair}` for pairs
 * @param options.batchSize texts a native call, default 32
 * @param options.maxLength tokens a text, default: all the model takes; longer texts are cut
 * @param options.stride reads longer texts whole instead, as windows of `maxLength` that share so many tokens
 * @param options.pooling what becomes of the windows' logits, default their mean
 * @throws UsageError when an input is not a text, or a pair with a stride
 */
export async function classify(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  texts: readonly (string | TextExample)[],
  options: { batchSize?: number; maxLength?: number; stride?: number; pooling?: Pooling } = {},
): Promise<Prediction[]> {
  if (!Array.isArray(texts)) throw expected('an array of texts', 'texts', texts);
  await model.open();
  const maxLength = options.maxLength ?? Math.min(model.maxTokens, tokenizer.modelMaxLength);
  const { stride, pooling } = options;
  const longTexts = longTextsOf(tokenizer, { maxLength, stride, pooling });
  const reading = textReading(tokenizer, { maxLength, workers: 0, longTexts });
  const examples = texts.map((text) => (typeof text === 'string' ? { text } : text));
  const data = {
    size: examples.length,
    read: (rows: ArrayLike<number>) =>
      Promise.resolve(Array.from(rows, (row) => examples[row] ?? { text: '' })),
  };
  const predictions: Prediction[] = [];
  const { task, calibration } = model;
  for await (const { rows, logits } of predictRows(model, data, {
    ...reading,
    batchSize: options.batchSize ?? 32,
  })) {
    for (let i = 0; i < rows; i++)
      predictions.push(
        predictionOf(logits.subarray(i * task.numLabels, (i + 1) * task.numLabels), task, calibration),
      );
  }
  return predictions;
}
