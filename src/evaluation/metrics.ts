// Metrics that stream: batches of logits and labels go in, a few bytes a row stay, the result equals scikit-learn's.
import type { Task } from '../data/index.js';
import type { Calibration } from '../formats/calibration.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import { multiLabelMetrics, MultiLabelMetrics } from './metrics/multi-label.js';
import { regressionMetrics, RegressionMetrics } from './metrics/regression.js';
import { singleLabelMetrics, SingleLabelMetrics } from './metrics/single-label.js';
import { tunedNames, WithTunedMetrics } from './metrics/tuned.js';

export type { MetricAccumulator, MetricDetails } from './metrics/accumulator.js';

/**
 * The names of each problem's metrics, in the order of `result()`. `loss` is the mean over all rows of the loss that
 * HF's model computes for them, without label smoothing.
 */
export const metricNames = {
  single_label_classification: singleLabelMetrics,
  multi_label_classification: multiLabelMetrics,
  regression: regressionMetrics,
} as const;

const headlines = new Set<string>([
  'loss',
  'accuracy',
  'subset_accuracy',
  'f1_macro',
  'f1_micro',
  'mae',
  'r2',
  'pearson',
  'spearman',
]);

/** The metrics that a line about an evaluation leaves out, so that it stays readable. */
export const detailMetrics: readonly string[] = [...new Set(Object.values(metricNames).flat())].filter(
  (name) => !headlines.has(name),
);

/** Whether a greater value of the metric is a better one: true but for losses and errors. */
export function isGreaterBetter(metric: string): boolean {
  return !/(^|_)(loss|mse|mae|rmse|error)$/.test(metric);
}

/**
 * An accumulator for the kind of problem that the model was trained for.
 *
 * @param calibration what was tuned for the model: the metrics that it changes are given both without it and, as
 *   `tuned_f1_macro` and so on, with it
 */
export function createMetrics(
  task: Pick<Task, 'problemType' | 'labels'>,
  calibration: Calibration = {},
): MetricAccumulator {
  const plain = accumulatorOf(task, {});
  if (tunedNames(calibration).length === 0) return plain;
  return new WithTunedMetrics(calibration, plain, accumulatorOf(task, calibration));
}

function accumulatorOf(
  { problemType, labels }: Pick<Task, 'problemType' | 'labels'>,
  calibration: Calibration,
): MetricAccumulator {
  if (problemType === 'regression') return new RegressionMetrics(labels.length);
  const isMulti = problemType === 'multi_label_classification';
  return isMulti ? new MultiLabelMetrics(labels, calibration) : new SingleLabelMetrics(labels, calibration);
}
