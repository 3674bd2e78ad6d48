// The element types of the safetensors format and their sizes.

/**
 * Bytes of one element, per safetensors dtype, in the order of the format's own enumeration (the writer
 * sorts tensors by it, as the Rust writer does). The sub-byte F4 and F6 types are left out: no BERT has them.
 * Source: safetensors 0.8, `tensor.rs`, `enum Dtype`.
 */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** A safetensors dtype name, e.g. `F32` or `BF16`. */
export type DType = keyof typeof DTYPE_BYTES;

const DTYPES = Object.keys(DTYPE_BYTES);

/** Whether a value is the name of a known dtype. */
export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

/** The dtype's place in the format's enumeration; larger comes first in a file. */
export function dtypeRank(dtype: DType): number {
  return DTYPES.indexOf(dtype);
}

/** Name, dtype and shape of a tensor: all that a file's header needs to know of it. */
export interface TensorLayout {
  name: string;
  dtype: DType;
  shape: readonly number[];
}

/**
 * Size of a tensor in bytes. A scalar (shape `[]`) has one element.
 *
 * @returns a whole number, or NaN when it is too large for a double to count exactly
 */
export function byteLength({ dtype, shape }: Pick<TensorLayout, 'dtype' | 'shape'>): number {
  let bytes: number = DTYPE_BYTES[dtype];
  for (const size of shape) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes)) return Number.NaN;
  }
  return bytes;
}
