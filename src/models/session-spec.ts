// From a config as Hugging Face has it to what a native session is made of.
import type { AdapterSpec, ParameterSpec, SessionSpec } from '../native/spec.js';
import { encoderOf, headOf, type ModelConfig } from './config.js';
import { lossOf, problemTypeOf } from './head.js';
import { scalingOf, type Lora } from './lora.js';
import { linearModules, modelParameters } from './parameters.js';

/** What a session of the model is made of. */
export function sessionSpec(config: ModelConfig, lora?: Lora): SessionSpec {
  const parameters = modelParameters(config);
  const adapters = lora === undefined ? [] : adaptersOf(parameters, lora);
  return {
    encoder: encoderOf(config),
    head: headOf('sequence', config),
    loss: lossOf(problemTypeOf(config)),
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
