// The model layer of a person's script: BertForSequenceClassification and what it is made of.
export { freshLora, type LoraOptions } from './adapter.js';
export { BertForSequenceClassification, type AdapterOptions } from './bert-for-sequence-classification.js';
export type { HeadOptions } from './head.js';
export { requireDevice, type Runtime } from './runtime.js';
export { sessionConfig } from './session-config.js';
export { loadOptimizerState, tensorOf } from './session-tensors.js';
