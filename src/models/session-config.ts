// From a BERT's config to what the addon makes a session of, until it takes a SessionSpec.
import type { SessionConfig } from '../native/index.js';
import { ACTIVATIONS } from './config-keys.js';
import type { BertConfig } from './config.js';
import { problemTypeOf } from './head.js';
import { scalingOf, type Lora } from './lora.js';

export function sessionConfig(config: BertConfig, lora?: Lora): SessionConfig {
  const activation = ACTIVATIONS[config.hiddenAct];
  return {
    ...config,
    ...(lora !== undefined && {
      lora: {
        modules: [...lora.modules],
        rank: lora.rank,
        scaling: scalingOf(lora),
        dropout: lora.dropout,
      },
    }),
    hiddenAct: activation === 'gelu_tanh' ? 'gelu_pytorch_tanh' : activation,
    classifierDropout: config.classifierDropout ?? config.hiddenDropoutProb,
    padTokenId: config.padTokenId ?? -1,
    problemType: problemTypeOf(config),
  };
}
