// From Hugging Face's files to a native session: what a config makes it of, and tensors between files and a session.
import type { AdapterSpec, ParameterSpec, SessionSpec } from '../native/spec.js';
import { taskOf } from '../tasks/index.js';
import { encoderOf, headOf, type ModelConfig, problemTypeOf } from './config.js';
import { camelCased, keysOf } from './family.js';
import { scalingOf, type Lora } from './lora.js';
import { linearModules, modelParameters } from './parameters.js';
import { familyOf } from './registry.js';
import { RunError, UsageError } from '../util/errors.js';
import { byteLength, isFloat } from '../formats/safetensors-header.js';
import { openSafetensors, type TensorData, type TensorSource } from '../formats/safetensors.js';
import type { Session, StateKind } from '../native/index.js';

/**
 * What a session of the model is made of, also for scripts that run steps of their own. Its weights are random at first.
 *
 * @example
 * ```ts
 * import { parseConfig, Session, sessionSpec } from 'bertune';
 *
 * const config = parseConfig({ model_type: 'bert', num_hidden_layers: 2, vocab_size: 100 }, 'a small BERT');
 * const session = await Session.create(sessionSpec(config), {
 *   device: 'cpu',
 *   dtype: 'float32',
 *   threads: 1,
 *   seed: 42,
 * });
 * ```
 */
export function sessionSpec(config: ModelConfig, lora?: Lora): SessionSpec {
  const parameters = modelParameters(config);
  const adapters = lora === undefined ? [] : adaptersOf(parameters, lora);
  return {
    encoder: encoderOf(config),
    head: headOf(config),
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

/** With zeros for the parameters all of whose tensors are `loaded` afterwards: to draw values takes long. */
export function withoutInitialValues(spec: SessionSpec, loaded: ReadonlyMap<string, unknown>): SessionSpec {
  const parameters = spec.parameters.map((parameter) =>
    parameter.tensors.every(({ name }) => loaded.has(name))
      ? { ...parameter, initialisation: { kind: 'zeros' as const } }
      : parameter,
  );
  return { ...spec, parameters };
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

/** A tensor of a session as it is in a file; the name of optimizer state begins with its kind. */
export async function tensorOf(
  session: Session,
  { name, shape }: { name: string; shape: readonly number[] },
  kind: 'weight' | StateKind,
): Promise<TensorData> {
  const values = await session.read(name, kind);
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name: kind === 'weight' ? name : `${kind}.${name}`, dtype: 'F32', shape, data };
}

/** Bytes read at once; at least one row. */
const MOST_BYTES = 4 * 2 ** 20;

/**
 * Writes tensors of files into a session by their names there, some rows at a time: of a large tensor there is no second copy.
 * Where a file cannot be read to its end, the tensors before are written, and of one perhaps some rows.
 *
 * @throws RunError for a dtype that no weight has
 */
export async function writeTensors(
  session: Session,
  tensors: Iterable<readonly [name: string, tensor: TensorSource]>,
  kind: 'weight' | StateKind = 'weight',
): Promise<void> {
  let memory = new Uint8Array();
  for (const [name, tensor] of tensors) {
    const { dtype, shape } = tensor;
    if (!isFloat(dtype)) throw new RunError(`${tensor.name} has dtype ${dtype}; expected F32, F16 or BF16`);
    const [rows = 1, ...row] = shape;
    const rowBytes = byteLength({ dtype, shape: row });
    const most = Math.max(1, Math.floor(MOST_BYTES / rowBytes));
    for (let firstRow = 0; firstRow < rows; firstRow += most) {
      const count = Math.min(most, rows - firstRow);
      if (memory.length < count * rowBytes) memory = new Uint8Array(count * rowBytes);
      const data = memory.subarray(0, count * rowBytes);
      await tensor.read(data, firstRow * rowBytes);
      await session.write(
        name,
        rows === count ? { dtype, shape, data } : { dtype, shape: [count, ...row], data, firstRow },
        kind,
      );
    }
  }
}

/**
 * Writes the optimizer state in a safetensors file into the session. Tensors that were frozen have none.
 *
 * @throws UsageError for the file of another model or optimizer, or one that is damaged
 */
export async function loadOptimizerState(session: Session, path: string): Promise<void> {
  const file = await openSafetensors(path);
  try {
    const { stateKinds } = session;
    const infos = session.tensors();
    const trained = infos.filter(({ name }) =>
      stateKinds.some((kind) => file.tensors.has(`${kind}.${name}`)),
    );
    const expected = trained.length > 0 ? trained : infos.slice(0, 1);
    for (const kind of stateKinds) {
      const tensors = expected.map(({ name, shape: own }) => {
        const tensor = file.tensors.get(`${kind}.${name}`);
        const shape = kind === 'step' ? [] : own;
        if (tensor?.shape.join() !== shape.join())
          throw ofAnotherModel(path, `it has no tensor ${kind}.${name} of [${shape.join(', ')}]`);
        return [name, tensor] as const;
      });
      await writeTensors(session, tensors, kind);
    }
  } finally {
    await file.close();
  }
}

/** @throws UsageError for tensors of other names or shapes than the model in training has */
export function requireSameShapes(
  directory: string,
  found: ReadonlyMap<string, readonly number[]>,
  own: ReadonlyMap<string, readonly number[]>,
): void {
  const shapeOf = (shapes: typeof own, name: string): string => shapes.get(name)?.join(', ') ?? '';
  for (const name of new Set([...own.keys(), ...found.keys()])) {
    const [theirs, ours] = [shapeOf(found, name), shapeOf(own, name)];
    if (theirs !== ours) throw ofAnotherModel(directory, `its ${name} is [${theirs}], not [${ours}]`);
  }
}

/** The error for a folder or file that is not a checkpoint of the model in training. */
export function ofAnotherModel(path: string, difference: string): UsageError {
  return new UsageError(
    `${path} does not belong to the model in training: ${difference}. Use a checkpoint of this run.`,
  );
}
