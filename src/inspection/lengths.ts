// How long the texts are in tokens, and how many of them a limit would cut.

/** Limits that people choose from. */
const LIMITS = [64, 128, 256, 512] as const;

export interface LengthReport {
  /** Tokens of all rows, uncut. */
  total: number;
  mean: number;
  /** By name, e.g. `median`; the nearest-rank value. */
  quantiles: Record<'min' | 'median' | 'p90' | 'p95' | 'p99' | 'max', number>;
  /** The share of the rows that is longer, for each limit. */
  cutAt: Record<string, number>;
}

/**
 * @param lengths tokens of each row, special tokens included
 * @param limit another limit, if requested
 */
export function describeLengths(lengths: Uint16Array, limit?: number): LengthReport {
  const sorted = lengths.toSorted();
  const at = (share: number): number => sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? 0;
  const total = sorted.reduce((sum, length) => sum + length, 0);
  const limits = [...LIMITS, ...(limit === undefined ? [] : [limit])].toSorted((a, b) => a - b);
  const longer = (most: number): number => sorted.length - countUpTo(sorted, most);
  return {
    total,
    mean: total / sorted.length,
    quantiles: { min: at(0), median: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: at(1) },
    cutAt: Object.fromEntries(limits.map((most) => [most, longer(most) / sorted.length])),
  };
}

/** Tokens of all rows when each is cut at a limit. */
export function tokensUpTo(lengths: Uint16Array, limit: number): number {
  return lengths.reduce((sum, length) => sum + Math.min(length, limit), 0);
}

function countUpTo(sorted: Uint16Array, limit: number): number {
  const first = sorted.findIndex((length) => length > limit);
  return first === -1 ? sorted.length : first;
}
