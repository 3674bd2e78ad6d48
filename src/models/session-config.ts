// From a config as Hugging Face has it to what the addon makes a session of.
import { HIDDEN_ACTIVATIONS } from './activations.js';
import { scalingOf, type Lora } from './lora.js';
import type { BertConfig } from './config.js';
import type { SessionConfig } from '../native/index.js';
import { problemTypeOf } from './head.js';

/** The numbers of a config that the native session is made of. */
export function sessionConfig(config: BertConfig, lora?: Lora): SessionConfig {
  return {
    ...config,
    ...(lora !== undefined && { lora: sessionLora(lora) }),
    hiddenAct: HIDDEN_ACTIVATIONS[config.hiddenAct],
    classifierDropout: config.classifierDropout ?? config.hiddenDropoutProb,
    padTokenId: config.padTokenId ?? -1,
    problemType: problemTypeOf(config),
  };
}

function sessionLora(lora: Lora): NonNullable<SessionConfig['lora']> {
  return { modules: [...lora.modules], rank: lora.rank, scaling: scalingOf(lora), dropout: lora.dropout };
}
