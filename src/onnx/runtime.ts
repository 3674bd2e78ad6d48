// Exported files in onnxruntime-node, as others run them: padded batches with a mask. It is an optional peer dependency: 290 MB that
// nothing else here needs.
import { errorCode, messageOf, RunError } from '../util/errors.js';

/** One text as tokens; without types they are all 0. */
export interface Row {
  readonly ids: ArrayLike<number>;
  readonly typeIds: ArrayLike<number> | null;
  /** The tokens whose logits are asked for, where each has some; all of them where it is left out. */
  readonly places?: readonly number[];
}

/** onnxruntime-node, as far as it is used: its own types need those of a browser, and it may not be installed. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(path: string, options: { logSeverityLevel: 3 }): Promise<InferenceSession>;
  };
  readonly Tensor: new (type: 'int64', data: BigInt64Array, shape: readonly number[]) => Tensor;
}

interface Tensor {
  readonly dims: readonly number[];
  readonly data: unknown;
}

interface InferenceSession {
  readonly inputNames: readonly string[];
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  release(): Promise<void>;
}

/** A file that is loaded. */
export interface OnnxSession {
  /** Logits of texts, or of their tokens that are asked for, and of no padding: [texts or tokens * outputs]. */
  predict(rows: readonly Row[]): Promise<Float32Array>;
  close(): Promise<void>;
}

/** @returns null where it is not installed @throws RunError where it cannot be loaded */
export async function loadOnnxRuntime(): Promise<OnnxRuntime | null> {
  try {
    return (await import('onnxruntime-node')).default;
  } catch (error) {
    if (errorCode(error) === 'ERR_MODULE_NOT_FOUND') return null;
    throw new RunError(`onnxruntime-node is installed but cannot be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** @throws RunError, as the session's methods do, where onnxruntime cannot run the file */
export async function openOnnx(runtime: OnnxRuntime, path: string): Promise<OnnxSession> {
  const session = await ran(runtime.InferenceSession.create(path, { logSeverityLevel: 3 }));
  return {
    predict: (rows) => ran(predict(runtime, session, rows)),
    close: () => session.release(),
  };
}

async function ran<T>(call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    throw new RunError(`onnxruntime cannot run the exported model: ${messageOf(error)}`, { cause: error });
  });
}

async function predict(
  { Tensor }: OnnxRuntime,
  session: InferenceSession,
  rows: readonly Row[],
): Promise<Float32Array> {
  const length = Math.max(...rows.map(({ ids }) => ids.length));
  const input = (valueOf: (row: Row, token: number) => number): Tensor => {
    const data = new BigInt64Array(rows.length * length);
    for (const [i, row] of rows.entries())
      for (let token = 0; token < row.ids.length; token++)
        data[i * length + token] = BigInt(valueOf(row, token));
    return new Tensor('int64', data, [rows.length, length]);
  };
  const inputs = {
    input_ids: input(({ ids }, token) => ids[token] ?? 0),
    attention_mask: input(() => 1),
    token_type_ids: input(({ typeIds }, token) => typeIds?.[token] ?? 0),
  };
  const named = Object.entries(inputs).filter(([name]) => session.inputNames.includes(name));
  const { logits } = await session.run(Object.fromEntries(named));
  if (!(logits?.data instanceof Float32Array)) throw new RunError('its logits are not float32');
  const [, tokens = 0, outputs] = logits.dims;
  if (outputs === undefined) return logits.data;
  return logitsAt(
    logits.data,
    rows,
    rows.map((_, i) => i * tokens),
    outputs,
  );
}

/**
 * Those of the tokens that are asked for.
 *
 * @param logits [tokens * outputs]
 * @param starts the first token of each row
 */
export function logitsAt(
  logits: Float32Array,
  rows: readonly Row[],
  starts: readonly number[],
  outputs: number,
): Float32Array {
  const places = rows.map(({ ids, places: own }) => own ?? Array.from({ length: ids.length }, (_, i) => i));
  const result = new Float32Array(places.reduce((sum, own) => sum + own.length * outputs, 0));
  let end = 0;
  for (const [i, own] of places.entries())
    for (const place of own) {
      const begin = ((starts[i] ?? 0) + place) * outputs;
      result.set(logits.subarray(begin, begin + outputs), end);
      end += outputs;
    }
  return result;
}
