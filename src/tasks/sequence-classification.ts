// Classes of texts: one a row (cross-entropy over the classes), or any number of them (binary cross-entropy of each).
import { listed } from '../util/text.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import {
  MultiLabelMetrics,
  multiLabelMetrics,
  SingleLabelMetrics,
  singleLabelMetrics,
} from './metrics/classification.js';
import {
  indexOfLargest,
  isAboveThreshold,
  isPositive,
  requireFinite,
  sigmoid,
  softmax,
  type Calibration,
} from './probabilities.js';
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

const LABELS_SHOWN = 8;
/** How far a probability may be off: it may have been written with two digits. */
const ROUNDING = 0.005;
const LEAST_TOLERANCE = 0.01;

export const singleLabel: TaskKind = {
  problemType: 'single_label_classification',
  name: 'sequence-classification',
  columns: {
    startsAs: 'integer',
    reads: ['integer', 'string', 'probabilities'],
    ofSeveral: 'one',
    probabilities: 'distribution',
  },
  loss: 'cross_entropy',
  lossOptions: ['labelSmoothing', 'focalGamma', 'classWeights', 'temperature', 'alpha'],
  unit: 'sequence',
  hasClasses: true,
  metricNames: singleLabelMetrics,
  mainMetric: 'accuracy',
  tunable: ['temperature'],
  // Where all rows have one label the correlation is 0 too, however good the model is. And a model that gives all rows
  // one label may well tell them apart by its scores.
  chanceLevel: ({
    eval_matthews_correlation: correlation = 1,
    eval_balanced_accuracy: recall = 1,
    eval_roc_auc: ranks = 0.5,
  }) =>
    correlation <= 0 && recall <= 0.5 && !(ranks > 0.7)
      ? 'its labels agree with those of the rows no better than chance (Matthews correlation at most 0)'
      : null,
  create: (labels) => new SingleLabelTask(singleLabel, labels),
};

export const multiLabel: TaskKind = {
  problemType: 'multi_label_classification',
  name: 'sequence-classification',
  columns: {
    startsAs: 'list',
    reads: ['list', 'probabilities'],
    ofSeveral: 'any',
    probabilities: 'independent',
  },
  loss: 'binary_cross_entropy',
  lossOptions: ['labelSmoothing', 'focalGamma', 'posWeight', 'temperature', 'alpha'],
  unit: 'sequence',
  hasClasses: true,
  metricNames: multiLabelMetrics,
  mainMetric: 'f1_micro',
  tunable: ['temperature', 'thresholds'],
  chanceLevel: ({ eval_f1_micro: f1 = 1, eval_hamming_loss: wrong = 0 }) =>
    f1 === 0 && wrong > 0 ? 'it gives no label that is right (micro F1 of 0)' : null,
  create: (labels) => new MultiLabelTask(multiLabel, labels),
};

/** What both have in common. */
abstract class ClassificationTask extends TaskBase {
  describe(): string {
    return `${this.problemType} with the labels ${listed(this.labels, LABELS_SHOWN)}`;
  }

  protected byLabel(probabilities: readonly number[]): Record<string, number> {
    return Object.fromEntries(this.labels.map((label, id) => [label, probabilities[id] ?? 0]));
  }
}

class SingleLabelTask extends ClassificationTask implements Task {
  collate(targets: readonly Target[]): Targets {
    const [first] = targets;
    if (first !== undefined && 'values' in first) return valuesOf(targets, this.numLabels);
    return Int32Array.from(targets, (target) => ('ids' in target ? (target.ids[0] ?? -100) : -100));
  }

  classesOf(targets: Targets): number[][] {
    if (targets instanceof Int32Array) return Array.from(targets, (id) => (id === -100 ? [] : [id]));
    return rowsOf(targets, this.numLabels).map((row) => [indexOfLargest(row)]);
  }

  strata(targets: Iterable<Targets>): ArrayLike<number> {
    return Array.from(targets).flatMap((some) => this.classesOf(some).map(([id = -100]) => id));
  }

  /** With probabilities torch divides by the rows, whatever the weights of the classes. */
  lossDivisor(targets: Targets, classWeights?: Float32Array): number {
    if (targets instanceof Float32Array) return targets.length / this.numLabels;
    let divisor = 0;
    for (const id of targets)
      if (id !== -100) divisor += classWeights === undefined ? 1 : (classWeights[id] ?? 0);
    return divisor;
  }

  accumulator(calibration: Calibration): MetricAccumulator {
    return new SingleLabelMetrics(this.labels, calibration);
  }

  decode(logits: ArrayLike<number>, { temperature = 1 }: Calibration = {}): Prediction {
    requireFinite(logits);
    const values = Array.from(logits);
    const probabilities = softmax(values.map((logit) => logit / temperature));
    // By the logits: a high temperature may round different ones to equal probabilities.
    const label = this.labels[values.indexOf(Math.max(...values))] ?? '';
    return { label, score: Math.max(...probabilities), probabilities: this.byLabel(probabilities) };
  }

  accepts(data: TaskDescription | Targets): boolean {
    if (data instanceof Int32Array) return data.length === 1;
    if (data instanceof Float32Array) return data.length === this.numLabels && isDistribution(data);
    return data.labels.length <= this.numLabels && isSameProblem(this, data);
  }
}

class MultiLabelTask extends ClassificationTask implements Task {
  override get labelType(): Task['labelType'] {
    return { of: 'text', isList: true };
  }

  collate(targets: readonly Target[]): Targets {
    const [first] = targets;
    if (first !== undefined && 'values' in first) return valuesOf(targets, this.numLabels);
    const hot = new Float32Array(targets.length * this.numLabels);
    for (const [row, target] of targets.entries())
      for (const id of 'ids' in target ? target.ids : []) hot[row * this.numLabels + id] = 1;
    return hot;
  }

  classesOf(targets: Targets): number[][] {
    return rowsOf(targets, this.numLabels).map((row) =>
      Array.from(row).flatMap((target, id) => (isPositive(target) ? [id] : [])),
    );
  }

  /** Combinations of labels; those of one row together. */
  strata(targets: Iterable<Targets>): ArrayLike<number> {
    const combinations: string[] = [];
    const counts = new Map<string, number>();
    for (const some of targets)
      for (const ids of this.classesOf(some)) {
        const combination = ids.join();
        combinations.push(combination);
        counts.set(combination, (counts.get(combination) ?? 0) + 1);
      }
    const numbers = new Map(Array.from(counts, ([one, count], i) => [one, count > 1 ? i + 1 : 0]));
    return combinations.map((one) => numbers.get(one) ?? 0);
  }

  lossDivisor(targets: Targets): number {
    return targets.length;
  }

  accumulator(calibration: Calibration): MetricAccumulator {
    return new MultiLabelMetrics(this.labels, calibration);
  }

  decode(logits: ArrayLike<number>, { temperature = 1, thresholds }: Calibration = {}): Prediction {
    requireFinite(logits);
    const probabilities = Array.from(logits, (logit) => sigmoid(logit / temperature));
    return {
      label: this.labels.filter((_, id) => isAboveThreshold(logits[id] ?? 0, thresholds?.[id])),
      score: Math.max(...probabilities),
      probabilities: this.byLabel(probabilities),
    };
  }

  accepts(data: TaskDescription | Targets): boolean {
    if (data instanceof Int32Array) return false;
    if (data instanceof Float32Array) return data.length === this.numLabels;
    return data.labels.length === this.numLabels && isSameProblem(this, data);
  }
}

/** Whether the probabilities of a row add up to one. */
export function isDistribution(probabilities: ArrayLike<number>): boolean {
  const sum = Array.from(probabilities).reduce((total, probability) => total + probability, 0);
  const tolerance = Math.max(LEAST_TOLERANCE, ROUNDING * probabilities.length);
  return Math.abs(sum - 1) <= tolerance + 1e-6;
}

/** [rows * width] */
function valuesOf(targets: readonly Target[], width: number): Float32Array {
  const all = new Float32Array(targets.length * width);
  for (const [row, target] of targets.entries()) if ('values' in target) all.set(target.values, row * width);
  return all;
}

function rowsOf(values: Targets, width: number): Targets[] {
  return Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width),
  );
}
