// safetensors files taken apart and checked without the product's code, by the format's own rules
// (https://github.com/huggingface/safetensors#format).
import { mutateBytes, replaced } from './mutate-bytes.mjs';
import { mutateJson } from './mutate-json.mjs';
import { NUMBERS } from './edge-cases.mjs';

/** @typedef {import('./seeded-random.mjs').SeededRandom} SeededRandom */
/** @typedef {{ dtype: string, shape: number[], bytes: Uint8Array }} Tensor */

const SIZES = new Map(
  Object.entries({
    BOOL: 1,
    U8: 1,
    I8: 1,
    I16: 2,
    U16: 2,
    F16: 2,
    BF16: 2,
    I32: 4,
    U32: 4,
    F32: 4,
    F64: 8,
    I64: 8,
    U64: 8,
    C64: 8,
  }),
);

/**
 * Header, length or data spoiled.
 *
 * @param {Uint8Array} bytes
 * @param {SeededRandom} random
 * @returns {Uint8Array}
 */
export function mutateSafetensors(bytes, random) {
  if (bytes.length < 16 || random.chance(0.1))
    return mutateBytes(bytes.length > 0 ? bytes : Uint8Array.of(0), random);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = bytes.subarray(8, 8 + length);
  const data = bytes.subarray(8 + length);
  const kind = random.below(8);
  if (kind === 0) return withLength(bytes, random.pick(NUMBERS));
  if (kind === 1) return withLength(bytes, BigInt(length + random.below(65) - 32));
  if (kind === 2)
    return joined(
      header,
      random.chance(0.5)
        ? data.subarray(0, random.below(data.length + 1))
        : replaced(data, 0, 0, new Uint8Array(random.below(64))),
    );
  if (kind === 3) return joined(mutateBytes(header.length > 0 ? header : Uint8Array.of(0), random), data);
  return joined(mutateJson(header, random), data);
}

/** @param {Uint8Array} header @param {Uint8Array} data */
function joined(header, data) {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  return new Uint8Array(Buffer.concat([length, header, data]));
}

/** @param {Uint8Array} bytes @param {bigint} length */
function withLength(bytes, length) {
  const changed = Uint8Array.from(bytes);
  new DataView(changed.buffer).setBigUint64(0, BigInt.asUintN(64, length), true);
  return changed;
}

/**
 * The tensors of a file that keeps every rule.
 *
 * @param {Uint8Array} bytes
 * @returns {Map<string, Tensor> | string} the rule that is broken, if one is
 */
export function soundTensors(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true);
  if (length > BigInt(bytes.length - 8)) return 'the header ends after the file';
  const text = Buffer.from(bytes.subarray(8, 8 + Number(length))).toString();
  const header =
    /** @type {Record<string, { dtype: string, shape: number[], data_offsets: [number, number] }>} */ (
      JSON.parse(text)
    );
  if (hasKeyTwice(text)) return 'the header has a duplicate key';
  const data = bytes.subarray(8 + Number(length));
  const tensors = new Map();
  let end = 0n;
  const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
  for (const [name, entry] of entries.toSorted(
    ([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  )) {
    const [from, to] = entry.data_offsets.map(BigInt);
    if (from === undefined || to === undefined || from !== end)
      return `${name} does not begin where the one before ends`;
    const size = entry.shape.reduce(
      (product, dimension) => product * BigInt(dimension),
      BigInt(SIZES.get(entry.dtype) ?? 1),
    );
    if (to - from !== size) return `${name} has another size than its shape`;
    tensors.set(name, {
      dtype: entry.dtype,
      shape: entry.shape,
      bytes: data.subarray(Number(from), Number(to)),
    });
    end = to;
  }
  return end === BigInt(data.length) ? tensors : 'data that belong to no tensor';
}

/**
 * What is wrong with a tensor that a model claims to have loaded.
 *
 * @param {string} name
 * @param {Float32Array} values what the model holds
 * @param {Tensor | undefined} tensor what the file has
 */
export function faultOfLoaded(name, values, tensor) {
  if (tensor === undefined) return `claims to have loaded ${name}, which is not in the file`;
  const isHeld = Buffer.from(values.buffer, values.byteOffset, values.byteLength).equals(tensor.bytes);
  return tensor.dtype === 'F32' && !isHeld ? `${name} differs from the file` : null;
}

/** @param {string} text valid JSON */
function hasKeyTwice(text) {
  /** @type {Set<string>[]} */
  const open = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token.endsWith(':')) {
      const key = /** @type {string} */ (JSON.parse(token.replace(/\s*:$/, '')));
      const keys = open.at(-1);
      if (keys?.has(key)) return true;
      keys?.add(key);
    }
  }
  return false;
}
