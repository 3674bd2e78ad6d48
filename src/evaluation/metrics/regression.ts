// Metrics of problems whose labels are numbers.
import { GrowingArray } from '../../data/growing-array.js';
import { mean, pearson, spearman } from '../correlation.js';
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
