// Tensors between files and a session: weights and optimizer state, one at a time.
import { RunError, UsageError } from '../util/errors.js';
import { isFloat } from '../formats/safetensors-header.js';
import { openSafetensors, type TensorData, type TensorSource } from '../formats/safetensors.js';
import type { Session, StateKind } from '../native/index.js';

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

/** Writes a tensor of a file into a session. @throws RunError for a dtype that no weight has */
export async function writeTensor(
  session: Session,
  name: string,
  tensor: TensorSource,
  kind: 'weight' | StateKind,
): Promise<void> {
  const { dtype, shape } = tensor;
  if (!isFloat(dtype)) throw new RunError(`${tensor.name} has dtype ${dtype}; expected F32, F16 or BF16`);
  await session.write(name, { dtype, shape, data: await tensor.read() }, kind);
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
    for (const { name, shape } of trained.length > 0 ? trained : infos.slice(0, 1)) {
      for (const kind of stateKinds) {
        const tensor = file.tensors.get(`${kind}.${name}`);
        const expected = kind === 'step' ? [] : shape;
        if (tensor?.shape.join() !== expected.join())
          throw ofAnotherModel(path, `it has no tensor ${kind}.${name} of [${expected.join(', ')}]`);
        await writeTensor(session, name, tensor, kind);
      }
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
