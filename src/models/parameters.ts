// The tensors of a BERT classifier: their Hugging Face names and shapes.

import type { BertConfig } from './config.js';

/**
 * Every parameter of `BertForSequenceClassification` in the order of its `named_parameters()`. Weights of
 * linear layers are `[outputs, inputs]`. Source: transformers 5.18, `modeling_bert.py`.
 */
export function parameterShapes(config: BertConfig): Map<string, number[]> {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const shapes = new Map<string, number[]>();
  const linear = (name: string, outputs: number, inputs: number) =>
    shapes.set(`${name}.weight`, [outputs, inputs]).set(`${name}.bias`, [outputs]);
  const layerNorm = (name: string) =>
    shapes.set(`${name}.LayerNorm.weight`, [hidden]).set(`${name}.LayerNorm.bias`, [hidden]);

  shapes.set('bert.embeddings.word_embeddings.weight', [config.vocabSize, hidden]);
  shapes.set('bert.embeddings.position_embeddings.weight', [config.maxPositionEmbeddings, hidden]);
  shapes.set('bert.embeddings.token_type_embeddings.weight', [config.typeVocabSize, hidden]);
  layerNorm('bert.embeddings');
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const prefix = `bert.encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) linear(`${prefix}.attention.self.${part}`, hidden, hidden);
    linear(`${prefix}.attention.output.dense`, hidden, hidden);
    layerNorm(`${prefix}.attention.output`);
    linear(`${prefix}.intermediate.dense`, inner, hidden);
    linear(`${prefix}.output.dense`, hidden, inner);
    layerNorm(`${prefix}.output`);
  }
  linear('bert.pooler.dense', hidden, hidden);
  linear('classifier', config.numLabels, hidden);
  return shapes;
}
