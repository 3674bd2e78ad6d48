// Several repetitions as one figure, and figures as a table.

/** @typedef {{ median: number, min: number, max: number }} Summary */

/** @param {readonly number[]} values at least one @returns {Summary} */
export function summary(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = NaN, high = NaN] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return { median: (low + high) / 2, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

/** `2063 (2010 to 2100)`. @param {Summary} summary @param {(value: number) => string} format */
export function withSpread({ median, min, max }, format) {
  return min === max ? format(median) : `${format(median)} (${format(min)} to ${format(max)})`;
}

/**
 * Lines of aligned columns: the first to the left, the others to the right.
 *
 * @param {readonly (readonly string[])[]} rows the first one is the heading
 */
export function table(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  );
}

/** @param {number} value */
export const whole = (value) => value.toFixed(0);
/** @param {number} value */
export const decimals = (value) => value.toFixed(2);
/** @param {number} value */
export const percent = (value) => `${(value * 100).toFixed(1)} %`;
/** @param {number} flops a second */
export const gigaflops = (flops) => (flops / 1e9).toFixed(0);
/** @param {number} bytes */
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
/** Three significant digits. @param {number} value */
export const seconds = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
/** @param {number} ratio */
export const times = (ratio) => `${ratio.toFixed(2)}x`;

/** For people. @param {number} count @param {number} threads each */
export function processes(count, threads) {
  return `${count} ${count === 1 ? 'process' : 'processes'} of ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}
