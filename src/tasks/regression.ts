// Numbers: the mean squared error of each logit from its target.
import { requireFinite } from './probabilities.js';
import { counted } from '../util/text.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import { RegressionMetrics, regressionMetrics } from './metrics/regression.js';
import {
  isSameProblem,
  TaskBase,
  type Prediction,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
} from './task.js';

export const regression: TaskKind = {
  problemType: 'regression',
  name: 'sequence-classification',
  columns: { startsAs: 'float', reads: ['float', 'integer'], ofSeveral: 'numbers', probabilities: null },
  loss: 'mean_squared_error',
  lossOptions: [],
  unit: 'sequence',
  hasClasses: false,
  metricNames: regressionMetrics,
  mainMetric: 'r2',
  tunable: [],
  chanceLevel: ({ eval_r2: r2 = 1 }) =>
    r2 <= 0 ? 'it predicts no better than the mean of the values would (R2 at most 0)' : null,
  create: (labels) => new RegressionTask(regression, labels),
};

class RegressionTask extends TaskBase implements Task {
  override get labelType(): Task['labelType'] {
    return { of: 'number', isList: this.numLabels > 1 };
  }

  collate(targets: readonly Target[]): Targets {
    const all = new Float32Array(targets.length * this.numLabels);
    for (const [row, target] of targets.entries())
      if ('values' in target) all.set(target.values, row * this.numLabels);
    return all;
  }

  classesOf(targets: Targets): number[][] {
    return Array.from({ length: targets.length / this.numLabels }, () => []);
  }

  /** Deciles of the first value. */
  strata(targets: Iterable<Targets>): ArrayLike<number> {
    const first = (some: Targets): number[] => Array.from(some).filter((_, i) => i % this.numLabels === 0);
    return quantileStrata(Array.from(targets).flatMap(first));
  }

  lossDivisor(targets: Targets): number {
    return targets.length;
  }

  accumulator(): MetricAccumulator {
    return new RegressionMetrics(this.numLabels);
  }

  decode(logits: ArrayLike<number>): Prediction {
    requireFinite(logits);
    const values = Array.from(logits);
    const [value = Number.NaN] = values;
    return { label: values.length === 1 ? value : values, score: value, probabilities: {} };
  }

  describe(): string {
    return `regression with ${counted(this.numLabels, 'value')} a row`;
  }

  accepts(data: TaskDescription | Targets): boolean {
    if (data instanceof Int32Array) return false;
    if (data instanceof Float32Array) return data.length === this.numLabels;
    return data.labels.length === this.numLabels && isSameProblem(this, data);
  }
}

/** Numbers cut into strata of about equal size by their rank, ten at most: what stratifying means for regression. */
export function quantileStrata(values: ArrayLike<number>): Uint8Array {
  const order = Array.from({ length: values.length }, (_, row) => row).toSorted(
    (a, b) => (values[a] ?? 0) - (values[b] ?? 0),
  );
  const strata = new Uint8Array(values.length);
  const bins = Math.min(10, Math.max(1, Math.floor(values.length / 2)));
  order.forEach((row, rank) => (strata[row] = Math.floor((rank * bins) / order.length)));
  return strata;
}
