// How much a data file may ask for. The defaults are far above what a training needs; hostile files are what they are for.

/** Limits that a person can raise. */
export interface DataLimits {
  /** Bytes of one row of a text file, decompressed; a longer one is a bad row. */
  readonly maxRowBytes: number;
  /** How many times larger than the file its decompressed content may be, beyond the first 64 MiB. */
  readonly maxCompressionRatio: number;
}

export const DEFAULT_LIMITS: DataLimits = { maxRowBytes: 16 * 2 ** 20, maxCompressionRatio: 100 };

/** What may be decompressed whatever the ratio: small files of equal rows compress by thousands. */
const FREE_BYTES = 64 * 2 ** 20;

/** Bytes that so many compressed ones may become. */
export function mostDecompressed(compressed: number, { maxCompressionRatio }: DataLimits): number {
  return FREE_BYTES + compressed * maxCompressionRatio;
}
