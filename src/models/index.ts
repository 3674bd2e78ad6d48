// Models: families of encoders, their configs, and classifiers made of them.
export {
  configJson,
  encoderOf,
  maxTokensOf,
  parseBertConfig,
  parseConfig,
  withLabels,
  type BertConfig,
  type ModelConfig,
} from './config.js';
export { EncoderModel, requireDevice, type Runtime } from './encoder-model.js';
export { otherTaskOf, type HeadOptions } from './head.js';
export { areDefaultLabels } from './labels.js';
export { adapterShapes, type Lora, type LoraOptions } from './lora.js';
export { parameterShapes } from './parameters.js';
export { readBertConfig, readConfig, type AdapterOptions, type PretrainedOptions } from './pretrained.js';
export { FAMILIES, familyOf } from './registry.js';
export * from './sequence-classification.js';
export { fingerprintFields, sessionSpec } from './session-spec.js';
export { matchingNames } from './tensor-patterns.js';
