// The kinds of tasks by the names that config.json and problemType give them.
import { WithTunedMetrics, tunedNames, type MetricAccumulator } from './metrics/accumulator.js';
import type { Calibration } from './probabilities.js';
import { maskedLm } from './masked-lm.js';
import { regression } from './regression.js';
import { multiLabel, singleLabel } from './sequence-classification.js';
import type { ProblemType, Task, TaskDescription, TaskKind } from './task.js';
import { tokenClassification } from './token-classification.js';

export const taskKinds: Readonly<Record<ProblemType, TaskKind>> = {
  single_label_classification: singleLabel,
  multi_label_classification: multiLabel,
  regression,
  token_classification: tokenClassification,
  masked_lm: maskedLm,
};

/**
 * A task of that kind with these labels.
 *
 * @example
 * ```ts
 * import { taskOf } from 'bertune';
 *
 * const task = taskOf('multi_label_classification', ['film', 'music']);
 * console.log(task.decode([2, -3]).label); // ['film']
 * ```
 */
export function taskOf(problemType: ProblemType, labels: readonly string[]): Task {
  return taskKinds[problemType].create(labels);
}

/** The task that a script describes; a task as it is. */
export function asTask(task: TaskDescription | Task): Task {
  return 'kind' in task ? task : taskOf(task.problemType, task.labels);
}

/** What a config without a problem type means: HF's rule. */
export function impliedProblemType(numLabels: number): ProblemType {
  return numLabels === 1 ? 'regression' : 'single_label_classification';
}

/**
 * An accumulator of the task's metrics. `loss` is the mean over all rows of the loss that HF's model computes for them,
 * without label smoothing.
 *
 * @param calibration what was tuned for the model: the metrics that it changes are given both without it and, as
 *   `tuned_f1_macro` and so on, with it
 *
 * @example
 * ```ts
 * import { createMetrics } from 'bertune';
 *
 * const metrics = createMetrics({ problemType: 'single_label_classification', labels: ['neg', 'pos'] });
 * metrics.add(Float32Array.of(2, -1, 0.5, 1), Int32Array.of(0, 1), 2);
 * console.log(metrics.result()['accuracy']); // 1
 * ```
 */
export function createMetrics(task: TaskDescription, calibration: Calibration = {}): MetricAccumulator {
  const own = asTask(task);
  const plain = own.accumulator({});
  if (tunedNames(calibration).length === 0) return plain;
  return new WithTunedMetrics(calibration, plain, own.accumulator(calibration));
}

/** The names of the metrics of some kinds of tasks, each once. */
export function metricNamesOf(kinds: readonly TaskKind[] = Object.values(taskKinds)): string[] {
  return [...new Set(kinds.flatMap(({ metricNames }) => metricNames))];
}

const headlines: ReadonlySet<string> = new Set([
  'loss',
  'perplexity',
  'accuracy',
  'subset_accuracy',
  'f1_macro',
  'f1_micro',
  'f1',
  'precision',
  'recall',
  'mae',
  'r2',
  'pearson',
  'spearman',
]);

/** The metrics that a line about an evaluation leaves out, so that it stays readable. */
export const detailMetrics: readonly string[] = metricNamesOf().filter((name) => !headlines.has(name));

/** Whether a greater value of the metric is a better one: true but for losses and errors. */
export function isGreaterBetter(metric: string): boolean {
  return !/(^|_)(loss|perplexity|mse|mae|rmse|error)$/.test(metric);
}
