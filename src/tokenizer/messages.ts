// What the tokenizer pool and its worker threads say to each other.
import type { Encoding } from './sequence-encoder.js';
import type { TokenizerSpec } from './tokenizer-json.js';

export interface TextExample {
  text: string;
  textPair?: string;
}

export interface WorkerSetup {
  spec: TokenizerSpec;
  truncation: { maxLength?: number };
}

export interface WorkerRequest {
  job: number;
  examples: readonly TextExample[];
}

export type WorkerReply = { job: number; packed: PackedEncodings } | { job: number; error: string };

/** Encodings of a list of examples end to end, so that they cross threads as two or three buffers. */
export interface PackedEncodings {
  /** [all tokens] */
  ids: Int32Array<ArrayBuffer>;
  /** [examples]: where each example's tokens end. */
  ends: Int32Array<ArrayBuffer>;
  /** [all tokens], 0 where an example has none; null when no example is a pair. */
  typeIds: Int32Array<ArrayBuffer> | null;
  /** Which examples are pairs. */
  pairs: readonly boolean[];
}

export function packEncodings(encodings: readonly Encoding[]): PackedEncodings {
  const total = encodings.reduce((sum, { ids }) => sum + ids.length, 0);
  const pairs = encodings.map(({ typeIds }) => typeIds !== null);
  const ids = new Int32Array(total);
  const typeIds = pairs.includes(true) ? new Int32Array(total) : null;
  const ends = new Int32Array(encodings.length);
  let end = 0;
  for (const [index, encoding] of encodings.entries()) {
    ids.set(encoding.ids, end);
    if (encoding.typeIds !== null) typeIds?.set(encoding.typeIds, end);
    end += encoding.ids.length;
    ends[index] = end;
  }
  return { ids, ends, typeIds, pairs };
}

/** The encodings again, as views of the packed buffers. */
export function unpackEncodings({ ids, ends, typeIds, pairs }: PackedEncodings): Encoding[] {
  return pairs.map((isPair, index) => {
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0);
    const end = ends[index] ?? 0;
    return {
      ids: ids.subarray(start, end),
      typeIds: isPair ? (typeIds?.subarray(start, end) ?? null) : null,
    };
  });
}
