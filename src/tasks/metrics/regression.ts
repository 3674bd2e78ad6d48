// Metrics of problems whose labels are numbers, equal to scikit-learn, the correlations to scipy.stats.
import { GrowingArray } from '../../util/growing-array.js';
import { checkLengths, undefinedMetrics, type MetricAccumulator } from './accumulator.js';

export const regressionMetrics = ['loss', 'mse', 'rmse', 'mae', 'r2', 'pearson', 'spearman'] as const;

/**
 * Keeps predictions and targets, 8 bytes a value, since ranks need all of them. With several outputs, a metric is the
 * mean of each output's.
 */
export class RegressionMetrics implements MetricAccumulator {
  private readonly predictions = new GrowingArray(Float32Array);
  private readonly targets = new GrowingArray(Float32Array);

  constructor(private readonly width: number) {}

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.width, labels.length, rows * this.width);
    for (const prediction of logits) this.predictions.push(prediction);
    for (const target of labels) this.targets.push(target);
  }

  result(): Record<(typeof regressionMetrics)[number], number> {
    if (this.targets.length === 0) return undefinedMetrics(regressionMetrics);
    const means = undefinedMetrics(regressionMetrics);
    const each = Array.from({ length: this.width }, (_, output) =>
      outputMetrics(this.column(this.predictions, output), this.column(this.targets, output)),
    );
    for (const name of regressionMetrics)
      means[name] = each.reduce((sum, metrics) => sum + metrics[name], 0) / this.width;
    return means;
  }

  details(): null {
    return null;
  }

  private column(values: GrowingArray, output: number): Float32Array {
    const column = new Float32Array(values.length / this.width);
    return column.map((_, row) => values.at(row * this.width + output));
  }
}

function outputMetrics(
  predictions: Float32Array,
  targets: Float32Array,
): Record<(typeof regressionMetrics)[number], number> {
  let squares = 0;
  let distances = 0;
  predictions.forEach((prediction, row) => {
    const error = prediction - (targets[row] ?? Number.NaN);
    squares += error ** 2;
    distances += Math.abs(error);
  });
  const mse = squares / targets.length;
  return {
    loss: mse,
    mse,
    rmse: Math.sqrt(mse),
    mae: distances / targets.length,
    r2: determination(squares, targets),
    pearson: pearson(predictions, targets),
    spearman: spearman(predictions, targets),
  };
}

/**
 * R2, the share of the targets' variance that is explained. Of constant targets 1 where they are met and else 0, as in
 * scikit-learn; NaN of fewer than two.
 */
function determination(squares: number, targets: Float32Array): number {
  if (targets.length < 2 || Number.isNaN(squares)) return Number.NaN;
  const [first] = targets;
  if (targets.every((target) => target === first)) return squares === 0 ? 1 : 0;
  const center = mean(targets);
  return 1 - squares / targets.reduce((total, target) => total + (target - center) ** 2, 0);
}

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

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return sum / values.length;
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}
