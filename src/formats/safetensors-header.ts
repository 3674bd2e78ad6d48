// The header of a safetensors file and the element types in it: parsed with suspicion, formatted as the Rust writer formats it.
// Format: 8 bytes little-endian header length, JSON header, tensor data without holes or overlaps
// (https://github.com/huggingface/safetensors#format).

import { messageOf, UsageError } from '../util/errors.js';
import { surveyJson } from '../util/json.js';
import { oneLine, quoted } from '../util/text.js';

/**
 * Bytes of one element, per safetensors dtype, in the order of the format's own enumeration (the writer
 * sorts tensors by it, as the Rust writer does). The sub-byte F4 and F6 types are left out: no encoder has them.
 * Source: safetensors 0.8, `tensor.rs`, `enum Dtype`.
 */
const DTYPE_BYTES = {
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
function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

const FLOATS = new Set<string>(['F32', 'F16', 'BF16']);

/** Whether weights of this dtype are read. */
export function isFloat(dtype: DType): dtype is 'F32' | 'F16' | 'BF16' {
  return FLOATS.has(dtype);
}

/** The dtype's place in the format's enumeration; larger comes first in a file. */
function dtypeRank(dtype: DType): number {
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

/** The Rust reader allows 100 MB, which may become gigabytes in memory; an encoder of 1000 layers needs 3 MB. */
export const MAX_HEADER_BYTES = 32 * 2 ** 20;

/** A tensor's layout and its place: byte offsets from the end of the header. */
export interface TensorEntry extends TensorLayout {
  begin: number;
  end: number;
}

export interface Header {
  entries: TensorEntry[];
  metadata: Record<string, string>;
}

/**
 * Parses and checks a header.
 *
 * @param bytes the JSON header, without its length
 * @param dataBytes how many bytes of tensor data follow it in the file
 * @param path the file, for messages
 * @throws UsageError naming the file and the first fault
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string): Header {
  const json = parseJson(bytes, path);
  const { __metadata__: metadata = {}, ...tensors } = json;
  if (!isStrings(metadata)) {
    throw badFile(path, '__metadata__ in the header is not an object of strings');
  }
  const entries = Object.entries(tensors).map(([name, value]) => parseEntry(name, value, path));
  checkCoverage(entries, dataBytes, path);
  return { entries, metadata };
}

/**
 * Lays tensors out and formats their header as the Rust writer does: by dtype, widest first, then by name;
 * JSON padded with spaces to a multiple of 8 bytes.
 *
 * @returns the file's first bytes (length and header) and the tensors' places, in file order
 */
export function formatHeader(
  layout: readonly TensorLayout[],
  metadata?: Readonly<Record<string, string>>,
): { bytes: Uint8Array; entries: TensorEntry[] } {
  const sorted = layout.toSorted(
    (a, b) => dtypeRank(b.dtype) - dtypeRank(a.dtype) || (a.name < b.name ? -1 : Number(a.name > b.name)),
  );
  let end = 0;
  const entries = sorted.map(({ name, dtype, shape }) => {
    const begin = end;
    end += byteLength({ dtype, shape });
    return { name, dtype, shape, begin, end };
  });
  // Joined by hand: in an object, names that look like integers would move to the front.
  const members = entries.map(({ name, dtype, shape, begin, end: stop }) => {
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, stop] })}`;
  });
  if (metadata) members.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const json = Buffer.from(`{${members.join(',')}}`);
  const bytes = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  json.copy(bytes, 8);
  return { bytes, entries };
}

/** The error for a file that is not what a safetensors file must be. */
export function badFile(path: string, fault: string): UsageError {
  return new UsageError(`${path} is not a usable safetensors file: ${fault}; download or save it again`);
}

function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw badFile(path, 'its header is not UTF-8');
  }
  const { excess, members } = surveyJson(bytes);
  if (excess !== null) throw badFile(path, `its header is too much: ${excess}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw badFile(path, `its header is not JSON (${oneLine(messageOf(error))})`);
  }
  if (!isRecord(json)) throw badFile(path, 'its header is not a JSON object');
  // JSON.parse keeps the last of them; the format forbids it.
  if (memberCount(json) !== members) throw badFile(path, 'its header has a key twice');
  return json;
}

/** The members of a value and of all that is in it. */
function memberCount(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce<number>((sum, item) => sum + memberCount(item), own);
}

function parseEntry(name: string, value: unknown, path: string): TensorEntry {
  const tensor = `tensor ${quoted(name)}`;
  if (!isRecord(value)) throw badFile(path, `${tensor} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDType(dtype)) throw badFile(path, `${tensor} has the unknown dtype ${quoted(dtype)}`);
  if (!isCounts(shape)) throw badFile(path, `the shape of ${tensor} is not a list of whole numbers from 0`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw badFile(path, `data_offsets of ${tensor} is not a pair of whole numbers from 0`);
  }
  const [begin = 0, end = 0] = offsets;
  const bytes = byteLength({ dtype, shape });
  if (Number.isNaN(bytes)) throw badFile(path, `the size of ${tensor} overflows`);
  if (end - begin !== bytes) {
    const stated = `${dtype} [${shape.join(', ')}] takes ${bytes} bytes but its offsets span ${end - begin}`;
    throw badFile(path, `${tensor}: ${stated}`);
  }
  return { name, dtype, shape, begin, end };
}

/** Every byte of the data belongs to exactly one tensor. */
function checkCoverage(entries: readonly TensorEntry[], dataBytes: number, path: string): void {
  let covered = 0;
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    const tensor = `tensor ${quoted(name)}`;
    if (begin < covered) throw badFile(path, `${tensor} overlaps the one before it`);
    if (begin > covered)
      throw badFile(path, `the ${begin - covered} bytes before ${tensor} belong to no tensor`);
    if (end > dataBytes) {
      throw badFile(
        path,
        `${tensor} ends at byte ${end} of the data, which has only ${dataBytes} (cut short?)`,
      );
    }
    covered = end;
  }
  if (covered < dataBytes) throw badFile(path, `its last ${dataBytes - covered} bytes belong to no tensor`);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((item) => typeof item === 'string');
}
