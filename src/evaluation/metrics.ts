// Metrics that stream: batches of logits and labels go in, a few bytes a row stay, the result equals scikit-learn's.
import type { Task } from '../data/index.js';
import { pearson, spearman } from './correlation.js';
import { binaryCrossEntropy, crossEntropy } from './row-loss.js';

/** Takes the batches of an evaluation, in any order and cut. */
export interface MetricAccumulator {
  /**
   * @param logits [rows * numLabels]
   * @param labels class ids [rows] (-100: a row without label), or [rows * numLabels] of 0 and 1, or of targets
   */
  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void;
  /**
   * The metrics of all rows so far. A metric that is not defined for them (a correlation with a constant, anything of
   * no rows) is NaN, as in scipy; JSON.stringify writes it as null.
   */
  result(): Record<string, number>;
}

/**
 * The names of each problem's metrics, in the order of `result()`. `loss` is the mean over all rows of the loss that
 * HF's model computes for them, without label smoothing.
 */
export const metricNames = {
  single_label_classification: ['loss', 'accuracy', 'f1_macro', 'f1_micro'],
  multi_label_classification: ['loss', 'subset_accuracy', 'f1_micro'],
  regression: ['loss', 'mse', 'mae', 'pearson', 'spearman'],
} as const;

/** Whether a greater value of the metric is a better one: true but for losses and errors. */
export function isGreaterBetter(metric: string): boolean {
  return !/(^|_)(loss|mse|mae)$/.test(metric);
}

/** An accumulator for the kind of problem that the model was trained for. */
export function createMetrics(task: Pick<Task, 'problemType' | 'labels'>): MetricAccumulator {
  const width = task.labels.length;
  if (task.problemType === 'regression') return new RegressionMetrics(width);
  const isMulti = task.problemType === 'multi_label_classification';
  return isMulti ? new MultiLabelMetrics(width) : new SingleLabelMetrics(width);
}

/** Keeps three counts a class. */
class SingleLabelMetrics implements MetricAccumulator {
  private rows = 0;
  private loss = 0;
  private readonly hits: Float64Array;
  private readonly predicted: Float64Array;
  private readonly labelled: Float64Array;

  constructor(private readonly classes: number) {
    this.hits = new Float64Array(classes);
    this.predicted = new Float64Array(classes);
    this.labelled = new Float64Array(classes);
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.classes, labels.length, rows);
    for (let row = 0; row < rows; row++) {
      const label = labels[row] ?? -100;
      if (label === -100) continue;
      const guess = largest(logits, row * this.classes, this.classes);
      this.rows += 1;
      this.loss += crossEntropy(logits, row * this.classes, this.classes, label);
      increment(this.predicted, guess);
      increment(this.labelled, label);
      if (guess === label) increment(this.hits, label);
    }
  }

  result(): Record<string, number> {
    const hits = this.hits.reduce((sum, n) => sum + n, 0);
    // As in scikit-learn, a class that was neither labelled nor predicted does not count in the mean.
    const present = [...this.hits.keys()].filter(
      (k) => (this.labelled[k] ?? 0) + (this.predicted[k] ?? 0) > 0,
    );
    const scores = present.map((k) => f1(this.hits[k] ?? 0, this.predicted[k] ?? 0, this.labelled[k] ?? 0));
    return {
      loss: this.loss / this.rows,
      accuracy: hits / this.rows,
      f1_macro: scores.reduce((sum, score) => sum + score, 0) / scores.length,
      // With one label a row, every wrong row is one false positive and one false negative: micro F1 is accuracy.
      f1_micro: hits / this.rows,
    };
  }
}

/** Keeps five numbers. A label is predicted when its logit is above 0, i.e. its probability above one half. */
class MultiLabelMetrics implements MetricAccumulator {
  private rows = 0;
  private loss = 0;
  private exact = 0;
  private hits = 0;
  private predicted = 0;
  private labelled = 0;

  constructor(private readonly width: number) {}

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.width, labels.length, rows * this.width);
    for (let row = 0; row < rows; row++) {
      let wrong = 0;
      for (let i = row * this.width; i < (row + 1) * this.width; i++) {
        const logit = logits[i] ?? Number.NaN;
        const target = labels[i] ?? 0;
        const guess = logit > 0 ? 1 : 0;
        this.loss += binaryCrossEntropy(logit, target);
        this.hits += guess * target;
        this.predicted += guess;
        this.labelled += target;
        if (guess !== target) wrong += 1;
      }
      if (wrong === 0) this.exact += 1;
    }
    this.rows += rows;
  }

  result(): Record<string, number> {
    return {
      loss: this.loss / (this.rows * this.width),
      subset_accuracy: this.exact / this.rows,
      f1_micro: this.rows === 0 ? Number.NaN : f1(this.hits, this.predicted, this.labelled),
    };
  }
}

/** Keeps predictions and targets, 8 bytes a value, since ranks need all of them. */
class RegressionMetrics implements MetricAccumulator {
  private readonly predictions: FloatList[];
  private readonly targets: FloatList[];
  private squares = 0;
  private distances = 0;

  constructor(private readonly width: number) {
    this.predictions = Array.from({ length: width }, () => new FloatList());
    this.targets = Array.from({ length: width }, () => new FloatList());
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    checkLengths(logits.length, rows * this.width, labels.length, rows * this.width);
    for (let i = 0; i < logits.length; i++) {
      const prediction = logits[i] ?? Number.NaN;
      const target = labels[i] ?? Number.NaN;
      this.squares += (prediction - target) ** 2;
      this.distances += Math.abs(prediction - target);
      this.predictions[i % this.width]?.push(prediction);
      this.targets[i % this.width]?.push(target);
    }
  }

  result(): Record<string, number> {
    const values = (this.predictions[0]?.values().length ?? 0) * this.width;
    const mse = this.squares / values;
    return {
      loss: mse,
      mse,
      mae: this.distances / values,
      pearson: this.overOutputs(pearson),
      spearman: this.overOutputs(spearman),
    };
  }

  /** With several outputs, the mean of each output's correlation. */
  private overOutputs(correlation: (x: Float32Array, y: Float32Array) => number): number {
    const each = this.predictions.map((list, i) =>
      correlation(list.values(), this.targets[i]?.values() ?? new Float32Array()),
    );
    return each.reduce((sum, r) => sum + r, 0) / this.width;
  }
}

/** Floats that are appended; the room for them doubles. */
class FloatList {
  private room = new Float32Array(1024);
  private length = 0;

  push(value: number): void {
    if (this.length === this.room.length) {
      const larger = new Float32Array(this.room.length * 2);
      larger.set(this.room);
      this.room = larger;
    }
    this.room[this.length++] = value;
  }

  values(): Float32Array {
    return this.room.subarray(0, this.length);
  }
}

/** 2TP / (2TP + FP + FN); 0 when there is nothing to find and nothing was found, as scikit-learn says it. */
function f1(hits: number, predicted: number, labelled: number): number {
  return predicted + labelled === 0 ? 0 : (2 * hits) / (predicted + labelled);
}

/** The index, from `offset`, of the first of the largest values. */
function largest(values: Float32Array, offset: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if ((values[offset + i] ?? 0) > (values[offset + best] ?? 0)) best = i;
  return best;
}

function increment(counts: Float64Array, index: number): void {
  counts[index] = (counts[index] ?? 0) + 1;
}

function checkLengths(logits: number, expectedLogits: number, labels: number, expectedLabels: number): void {
  if (logits === expectedLogits && labels === expectedLabels) return;
  throw new RangeError(
    `Expected ${expectedLogits} logits and ${expectedLabels} labels but received ${logits} and ${labels}`,
  );
}
