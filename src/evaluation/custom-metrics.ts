// Metrics of the caller's own, computed from all logits at once: HF's compute_metrics.
import { expected } from '../util/errors.js';

/** What a custom metric is computed from; HF's EvalPrediction. */
export interface EvalPrediction {
  /** [rows * numLabels] */
  logits: Float32Array;
  /** class ids [rows] (-100: a row without label), or values [rows * numLabels] */
  labels: Int32Array | Float32Array;
  rows: number;
  numLabels: number;
}

/** Metrics of all rows, by names with or without `eval_`. */
export type ComputeMetrics = (
  prediction: EvalPrediction,
) => Record<string, number> | Promise<Record<string, number>>;

/** Gathers the batches of an evaluation. */
export class CustomMetrics {
  readonly #compute: ComputeMetrics;
  readonly #numLabels: number;
  readonly #logits: Float32Array;
  #labels: Int32Array | Float32Array | undefined;
  #rows = 0;
  #labelled = 0;

  /** @param rows all rows of the evaluation */
  constructor(compute: ComputeMetrics, rows: number, numLabels: number) {
    this.#compute = compute;
    this.#numLabels = numLabels;
    this.#logits = new Float32Array(rows * numLabels);
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    const all = (this.#labels ??= this.#roomFor(labels, rows));
    this.#logits.set(logits, this.#rows * this.#numLabels);
    all.set(labels, this.#labelled);
    this.#rows += rows;
    this.#labelled += labels.length;
  }

  /** @throws UsageError when the caller's function gives anything but numbers */
  async result(): Promise<Record<string, number>> {
    const metrics: unknown = await this.#compute({
      logits: this.#logits.subarray(0, this.#rows * this.#numLabels),
      labels: this.#labels?.subarray(0, this.#labelled) ?? new Int32Array(),
      rows: this.#rows,
      numLabels: this.#numLabels,
    });
    if (typeof metrics !== 'object' || metrics === null)
      throw expected('an object of numbers', 'the result of computeMetrics', metrics);
    return Object.fromEntries(Object.entries(metrics).map(asMetric));
  }

  #roomFor(batch: Int32Array | Float32Array, rows: number): Int32Array | Float32Array {
    const length = (this.#logits.length / this.#numLabels) * (batch.length / rows);
    return batch instanceof Int32Array ? new Int32Array(length) : new Float32Array(length);
  }
}

function asMetric([name, value]: [string, unknown]): [string, number] {
  if (typeof value !== 'number') throw expected('a number', `${name} of computeMetrics`, value);
  return [name.startsWith('eval_') ? name : `eval_${name}`, value];
}
