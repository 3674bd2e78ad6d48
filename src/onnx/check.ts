// The check of an exported file: the same rows through onnxruntime, in padded batches, and through the model that was exported.
// onnxruntime-node is an optional peer dependency: 290 MB that nothing else here needs.
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { PackedBatch, SessionSpec } from '../native/index.js';
import { errorCode, messageOf, RunError } from '../util/errors.js';
import { randomNumbers } from '../util/random.js';
import type { LastToken } from './encoder.js';

interface Runtime {
  InferenceSession: {
    create(path: string, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  Tensor: new (type: 'int64', data: BigInt64Array, shape: readonly number[]) => Tensor;
}

/** One sequence of token ids and types. */
interface Row {
  readonly ids: readonly number[];
  readonly types: readonly number[];
}

/** Rows of one batch are of several lengths, so that most are padded. */
const SHORT = [2, 3, 5, 8, 13, 21, 34, 55];
const LONGEST = 512;

/** What is compared, and how. */
export interface Checked {
  readonly spec: Pick<SessionSpec, 'encoder'>;
  readonly temperature: number;
  readonly lastToken: LastToken | undefined;
  /** Logits of the model, [sequences * outputs]. */
  predict(batch: PackedBatch): Promise<Float32Array>;
  /** Largest difference of logits that may be, as a share of the largest logit where that is above 1. */
  readonly tolerance: number;
}

/**
 * Compares the logits of a file in onnxruntime with those of the model.
 *
 * @returns the largest difference and the number of rows; null where onnxruntime-node is not installed
 * @throws RunError when they differ by more than the tolerance, or onnxruntime cannot run the file
 */
export async function checkFile(
  path: string,
  checked: Checked,
): Promise<{ rows: number; difference: number } | null> {
  const runtime = await loadRuntime();
  if (runtime === null) return null;
  const batches = sampleBatches(checked);
  let [difference, largest] = [0, 1];
  const session = await ran(runtime.InferenceSession.create(path, { logSeverityLevel: 3 }));
  try {
    for (const rows of batches) {
      const ours = await checked.predict(packed(rows, checked.spec.encoder.embeddings.tokenTypes > 0));
      const theirs = await ran(padded(runtime, session, rows));
      for (const [i, logit] of ours.entries()) {
        const expected = logit / checked.temperature;
        const distance = Math.abs((theirs[i] ?? Number.NaN) - expected);
        if (!(distance <= difference)) difference = distance;
        largest = Math.max(largest, Math.abs(expected));
      }
    }
  } finally {
    await session.release();
  }
  if (difference <= checked.tolerance * largest)
    return { rows: batches.reduce((sum, rows) => sum + rows.length, 0), difference };
  throw new RunError(
    `The exported model was not written: in onnxruntime its logits differ from those of the model by up to ${difference.toPrecision(2)}, ` +
      `more than ${checked.tolerance * largest}; please report this with the config.json of the model`,
  );
}

async function ran<T>(call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    throw new RunError(`onnxruntime cannot run the exported model: ${messageOf(error)}`, { cause: error });
  });
}

async function loadRuntime(): Promise<Runtime | null> {
  try {
    return (await import('onnxruntime-node')).default;
  } catch (error) {
    if (errorCode(error) === 'ERR_MODULE_NOT_FOUND') return null;
    throw new RunError(`onnxruntime-node is installed but cannot be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Ids at random: what they mean makes no difference to the arithmetic. */
function sampleBatches({ spec, lastToken }: Checked): Row[][] {
  const { vocab, tokenTypes, positions } = spec.encoder.embeddings;
  const most = Math.min(LONGEST, positions === null ? LONGEST : positions.rows - positions.first);
  const random = randomNumbers(42);
  const below = (end: number): number => Math.floor(random() * end);
  const row = (length: number): Row => {
    const ids = Array.from({ length }, () => below(vocab));
    if (lastToken !== undefined) ids[length - 1] = lastToken.id; // as every text that is cut right
    return { ids, types: Array.from({ length }, () => below(tokenTypes)) };
  };
  const short = SHORT.filter((length) => length < most);
  return [short, [most, Math.ceil(most / 2)]]
    .filter((lengths) => lengths.length > 0)
    .map((lengths) => lengths.map(row));
}

async function padded(
  { Tensor }: Runtime,
  session: InferenceSession,
  rows: readonly Row[],
): Promise<ArrayLike<number>> {
  const length = Math.max(...rows.map(({ ids }) => ids.length));
  const input = (valuesOf: (row: Row) => readonly number[]): Tensor => {
    const data = new BigInt64Array(rows.length * length);
    for (const [i, row] of rows.entries())
      for (const [j, value] of valuesOf(row).entries()) data[i * length + j] = BigInt(value);
    return new Tensor('int64', data, [rows.length, length]);
  };
  const inputs = {
    input_ids: input(({ ids }) => ids),
    attention_mask: input(({ ids }) => ids.map(() => 1)),
    token_type_ids: input(({ types }) => types),
  };
  const named = Object.entries(inputs).filter(([name]) => session.inputNames.includes(name));
  const { logits } = await session.run(Object.fromEntries(named));
  if (!(logits?.data instanceof Float32Array)) throw new RunError('its logits are not float32');
  return isOfTokens(logits.dims) ? tokensOf(logits.data, logits.dims, rows) : logits.data;
}

function isOfTokens(dims: readonly number[]): boolean {
  return dims.length === 3;
}

/** Without the padding. */
function tokensOf(data: Float32Array, [, length = 0, outputs = 0]: readonly number[], rows: readonly Row[]) {
  return rows.flatMap(({ ids }, i) => {
    const begin = i * length * outputs;
    return [...data.subarray(begin, begin + ids.length * outputs)];
  });
}

function packed(rows: readonly Row[], hasTypes: boolean): PackedBatch {
  const cuSeqlens = new Int32Array(rows.length + 1);
  for (const [i, { ids }] of rows.entries()) cuSeqlens[i + 1] = (cuSeqlens[i] ?? 0) + ids.length;
  return {
    inputIds: Int32Array.from(rows.flatMap(({ ids }) => ids)),
    cuSeqlens,
    ...(hasTypes && { tokenTypeIds: Int32Array.from(rows.flatMap(({ types }) => types)) }),
  };
}
