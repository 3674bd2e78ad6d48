// One pass over labelled rows, turned into HF's `eval_*` metrics as it goes.
import { ALONE, type World } from '../distributed/world.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { LabelledRows } from '../data/batch.js';
import { truncatedEntities } from '../data/token-labels.js';
import { createMetrics, maskedLm, requireTaskFits, type MetricAccumulator } from '../tasks/index.js';
import { expected, UsageError } from '../util/errors.js';
import { predictRows, type PredictedBatch, type PredictRowsOptions } from './predict.js';

/**
 * Metric names and values, as in HF's all_results.json.
 *
 * @example
 * ```ts
 * import type { Metrics } from 'bertune';
 *
 * const metrics: Metrics = { eval_loss: 0.21, eval_accuracy: 0.93 };
 * ```
 */
export type Metrics = Record<string, number>;

/**
 * What a custom metric is computed from; HF's EvalPrediction.
 *
 * @example
 * ```ts
 * import type { EvalPrediction } from 'bertune';
 *
 * const prediction: EvalPrediction = {
 *   logits: Float32Array.of(2, -1, 0.5, 1),
 *   labels: Int32Array.of(0, 1),
 *   rows: 2,
 *   numLabels: 2,
 * };
 * ```
 */
export interface EvalPrediction {
  /** [rows * numLabels]; a row is a text, or a token of a model that classifies them */
  logits: Float32Array;
  /** class ids [rows] (-100: a row without label), or values or probabilities [rows * numLabels] */
  labels: Int32Array | Float32Array;
  rows: number;
  numLabels: number;
}

/**
 * Metrics of the caller's own, from all logits at once, by names with or without `eval_`: HF's compute_metrics.
 *
 * @example
 * ```ts
 * import type { ComputeMetrics } from 'bertune';
 *
 * // How often the second of two classes is predicted.
 * const positives: ComputeMetrics = ({ logits, rows }) => {
 *   let count = 0;
 *   for (let row = 0; row < rows; row++) if ((logits[2 * row + 1] ?? 0) > (logits[2 * row] ?? 0)) count++;
 *   return { positives: count / rows };
 * };
 * ```
 */
export type ComputeMetrics = (
  prediction: EvalPrediction,
) => Record<string, number> | Promise<Record<string, number>>;

/** Of texts that were cut: how many of their entities are behind the cut, and count for nothing. */
export const TRUNCATED_ENTITIES = 'eval_truncated_entities';

const EVALUATION_REMEDY =
  'Evaluate a model that was trained on such labels; in a script, loadDataset takes the `problemType` of the model, and ' +
  'its labels as modelLabels.';

/**
 * Evaluates the model.
 *
 * @param options.computeMetrics metrics of the caller's own, which win over ours of the same name
 * @param options.signal aborts the evaluation, which rejects with the signal's reason
 * @param options.onBatch called after each batch with the number of rows done
 * @param options.onPredicted called with each batch, in the order of the rows; of several processes in that of rank 0
 * @param options.metrics in place of an accumulator of the call's own; its `details()` are there afterwards
 * @returns eval_loss, eval_accuracy and so on, eval_runtime (seconds), eval_samples, eval_samples_per_second,
 *   eval_steps_per_second; of tokens eval_truncated_entities, where texts were cut before some of their entities
 * @throws UsageError for data whose labels are not those of the model's task
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer } from 'bertune';
 * import { evaluateRows, loadDataset, textReading } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const { test } = await loadDataset({ test: 'test.csv' }, { modelLabels: model.task.labels });
 * await model.open();
 * const { tokenTypes } = model;
 * const reading = textReading(tokenizer, { maxLength: 128, workers: 1, longTexts: undefined, tokenTypes });
 * const { eval_accuracy: accuracy } = await evaluateRows(model, test, { ...reading, batchSize: 32 });
 * await reading.pool.close();
 * ```
 */
export async function evaluateRows(
  model: EncoderModel,
  data: LabelledRows,
  options: PredictRowsOptions & {
    computeMetrics?: ComputeMetrics;
    signal?: AbortSignal;
    onBatch?: (rows: number) => void;
    metrics?: MetricAccumulator;
    onPredicted?: (batch: PredictedBatch) => void;
  },
): Promise<Metrics> {
  requireTaskFits(model.task, data, 'evaluation data', EVALUATION_REMEDY);
  if (options.computeMetrics !== undefined && model.task.problemType === maskedLm.problemType)
    throw new UsageError(
      'computeMetrics takes logits, which a masked language model does not give; leave it out',
    );
  const started = performance.now();
  const { computeMetrics, metrics = createMetrics(model.task), world = ALONE } = options;
  const custom = computeMetrics && new CustomMetrics(computeMetrics, model.task.numLabels);
  let [batches, truncated] = [0, 0];
  const needed = options.onPredicted === undefined ? 'labels' : 'all';
  const take = (batch: PredictedBatch): void => {
    const { logits, labels, bounds, examples, encodings } = batch;
    options.onPredicted?.(batch);
    if (labels !== undefined) {
      const count = bounds.at(-1) ?? 0;
      metrics.add(logits, labels, count, bounds);
      custom?.add(logits, labels, count);
    }
    if (model.task.kind.unit === 'token')
      for (const [row, { offsets = [] }] of encodings.entries())
        truncated += truncatedEntities(examples[row] ?? { text: '' }, offsets);
  };
  for await (const batch of predictRows(model, data, {
    ...options,
    ofOthers: world.isMain ? needed : 'nothing',
  })) {
    options.signal?.throwIfAborted();
    if (world.isMain) take(batch);
    batches += 1;
    options.onBatch?.(batch.first + batch.rows);
  }
  return metricsOfMain(world, async () => {
    const seconds = (performance.now() - started) / 1000;
    const named = Object.entries(metrics.result()).map(([name, value]) => [`eval_${name}`, value] as const);
    return {
      ...Object.fromEntries(named),
      ...(await custom?.result()),
      ...(truncated > 0 && { [TRUNCATED_ENTITIES]: truncated }),
      eval_runtime: seconds,
      eval_samples: data.size,
      eval_samples_per_second: data.size / seconds,
      eval_steps_per_second: batches / seconds,
    };
  });
}

/** Rank 0 has all logits and labels, and what it makes of them is what all have: no process can decide otherwise. */
async function metricsOfMain(world: World, make: () => Promise<Metrics>): Promise<Metrics> {
  if (world.size === 1) return make();
  // As texts, since JSON has neither NaN nor infinity.
  const told = await world.fromMain(async () =>
    Object.entries(await make()).map(([name, value]): [string, string] => [name, String(value)]),
  );
  return Object.fromEntries(told.map(([name, value]) => [name, Number(value)]));
}

/** Gathers the batches of an evaluation. */
class CustomMetrics {
  readonly #compute: ComputeMetrics;
  readonly #numLabels: number;
  readonly #logits: Float32Array[] = [];
  readonly #labels: (Int32Array | Float32Array)[] = [];
  #rows = 0;

  constructor(compute: ComputeMetrics, numLabels: number) {
    this.#compute = compute;
    this.#numLabels = numLabels;
  }

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    this.#logits.push(logits);
    this.#labels.push(labels);
    this.#rows += rows;
  }

  /** @throws UsageError when the caller's function gives anything but numbers */
  async result(): Promise<Record<string, number>> {
    const metrics: unknown = await this.#compute({
      logits: joined(this.#logits, new Float32Array(this.#rows * this.#numLabels)),
      labels: joined(this.#labels, this.#roomForLabels()),
      rows: this.#rows,
      numLabels: this.#numLabels,
    });
    if (typeof metrics !== 'object' || metrics === null)
      throw expected('an object of numbers', 'the result of computeMetrics', metrics);
    return Object.fromEntries(Object.entries(metrics).map(asMetric));
  }

  #roomForLabels(): Int32Array | Float32Array {
    const length = this.#labels.reduce((sum, labels) => sum + labels.length, 0);
    return this.#labels[0] instanceof Float32Array ? new Float32Array(length) : new Int32Array(length);
  }
}

function joined<T extends Int32Array | Float32Array>(
  parts: readonly (Int32Array | Float32Array)[],
  all: T,
): T {
  let length = 0;
  for (const part of parts) {
    all.set(part, length);
    length += part.length;
  }
  return all;
}

function asMetric([name, value]: [string, unknown]): [string, number] {
  if (typeof value !== 'number') throw expected('a number', `${name} of computeMetrics`, value);
  return [name.startsWith('eval_') ? name : `eval_${name}`, value];
}
