// Pearson's and Spearman's correlation, equal to scipy.stats.

/**
 * Pearson's r, in two passes as scipy computes it. NaN for fewer than two values, for a constant side and for NaN input,
 * as in scipy (which refuses fewer than two).
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  if (x.length < 2 || isConstant(x) || isConstant(y)) return Number.NaN;
  const meanX = mean(x);
  const meanY = mean(y);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    const dx = (x[i] ?? 0) - meanX;
    const dy = (y[i] ?? 0) - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // The root of each sum by itself: their product can leave the range of doubles.
  return Math.max(-1, Math.min(1, xy / (Math.sqrt(xx) * Math.sqrt(yy))));
}

/** Spearman's rho: Pearson's r of the ranks. NaN where `pearson` is. */
export function spearman(x: Float32Array, y: Float32Array): number {
  if (x.some(Number.isNaN) || y.some(Number.isNaN)) return Number.NaN;
  return pearson(ranks(x), ranks(y));
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function ranks(values: Float32Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).toSorted((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    const value = values[order[start] ?? 0];
    let end = start + 1;
    while (end < order.length && values[order[end] ?? 0] === value) end++;
    const shared = (start + 1 + end) / 2;
    for (let i = start; i < end; i++) result[order[i] ?? 0] = shared;
    start = end;
  }
  return result;
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return sum / values.length;
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}
