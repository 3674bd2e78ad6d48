// From a config as Hugging Face has it to what a native session is made of.
import type { AdapterSpec, ParameterSpec, SessionSpec } from '../native/spec.js';
import { taskOf } from '../tasks/index.js';
import { encoderOf, headOf, type ModelConfig } from './config.js';
import { camelCased, keysOf } from './family.js';
import { problemTypeOf } from './head.js';
import { scalingOf, type Lora } from './lora.js';
import { linearModules, modelParameters } from './parameters.js';
import { familyOf } from './registry.js';

/** What a session of the model is made of, also for scripts that run steps of their own. Its weights are random at first. */
export function sessionSpec(config: ModelConfig, lora?: Lora): SessionSpec {
  const parameters = modelParameters(config);
  const adapters = lora === undefined ? [] : adaptersOf(parameters, lora);
  return {
    encoder: encoderOf(config),
    head: headOf('sequence', config),
    loss: taskOf(problemTypeOf(config), config.id2label).kind.loss,
    parameters: [...parameters, ...adapters.flatMap(({ parameters: own }) => own)],
    ...(lora !== undefined && {
      lora: {
        rank: lora.rank,
        scaling: scalingOf(lora),
        dropout: lora.dropout,
        adapters: adapters.map(({ adapter }) => adapter),
      },
    }),
  };
}

/** Initial values as PEFT has them: kaiming_uniform with a = sqrt(5) for A, zeros for B. */
function adaptersOf(
  parameters: readonly ParameterSpec[],
  { modules, rank }: Lora,
): { adapter: AdapterSpec; parameters: ParameterSpec[] }[] {
  const adapted = linearModules(parameters).filter(({ name }) => modules.includes(name));
  return adapted.map(({ name, linear, firstRow, rows, inputs }) => {
    const [a, b] = [`${name}.lora_A.weight`, `${name}.lora_B.weight`];
    return {
      adapter: { linear, firstRow, rows, a, b },
      parameters: [
        matrix(a, [rank, inputs], { kind: 'uniform', bound: 1 / Math.sqrt(inputs) }),
        matrix(b, [rows, rank], { kind: 'zeros' }),
      ],
    };
  });
}

function matrix(
  name: string,
  shape: [number, number],
  initialisation: ParameterSpec['initialisation'],
): ParameterSpec {
  return { name, shape, initialisation, decays: true, tensors: [{ name, rows: shape[0] }] };
}

/** Fields of a config that change nothing in a step. */
const OF_NO_EFFECT = new Set(['bosTokenId', 'eosTokenId']);

/**
 * What of a config decides the steps of a training, by the names of its fields, for a resumed run to be compared with the first.
 * Values are written as earlier versions wrote them, so that their checkpoints resume.
 */
export function fingerprintFields(config: ModelConfig, lora?: Lora): Record<string, unknown> {
  const fields = camelCased(keysOf(familyOf(config.modelType).schema, config));
  const own = Object.entries(fields).filter(([name, value]) => {
    return typeof value !== 'boolean' && !OF_NO_EFFECT.has(name);
  });
  const { activation } = encoderOf(config).mlp;
  const { classifierDropout, hiddenDropoutProb, padTokenId } = config;
  return {
    ...Object.fromEntries(own),
    ...('hiddenAct' in fields && {
      hiddenAct: activation === 'gelu_tanh' ? 'gelu_pytorch_tanh' : activation,
    }),
    ...('classifierDropout' in fields && { classifierDropout: classifierDropout ?? hiddenDropoutProb }),
    padTokenId: padTokenId ?? -1,
    problemType: problemTypeOf(config),
    ...(lora !== undefined && {
      lora: { modules: lora.modules, rank: lora.rank, scaling: scalingOf(lora), dropout: lora.dropout },
    }),
  };
}
