// One pass over labelled rows, turned into HF's `eval_*` metrics as it goes.
import type { EncoderModel } from '../models/encoder-model.js';
import type { LabelledRows } from '../data/batch.js';
import { requireTaskFits } from '../data/task-fit.js';
import { CustomMetrics, type ComputeMetrics } from './custom-metrics.js';
import { createMetrics, type MetricAccumulator } from './metrics.js';
import { predictRows, type PredictRowsOptions } from './predict.js';

/** Metric names and values, as in HF's all_results.json. */
export type Metrics = Record<string, number>;

const EVALUATION_REMEDY =
  'Evaluate a model that was trained on such labels; in a script, loadDataset takes the problemType of the model, and ' +
  'its labels as modelLabels.';

/**
 * Evaluates the model.
 *
 * @param options.computeMetrics metrics of the caller's own, which win over ours of the same name
 * @param options.signal breaks the evaluation off: it rejects with the signal's reason
 * @param options.onBatch called after each batch with the number of rows done
 * @param options.metrics in place of an accumulator of the call's own; its `details()` are there afterwards
 * @returns eval_loss, eval_accuracy and so on, eval_runtime (seconds), eval_samples, eval_samples_per_second,
 *   eval_steps_per_second
 * @throws UsageError for data whose labels are not those of the model's task
 */
export async function evaluateRows(
  model: EncoderModel,
  data: LabelledRows,
  options: PredictRowsOptions & {
    computeMetrics?: ComputeMetrics;
    signal?: AbortSignal;
    onBatch?: (rows: number) => void;
    metrics?: MetricAccumulator;
  },
): Promise<Metrics> {
  requireTaskFits(model.task, data, 'evaluation data', EVALUATION_REMEDY);
  const started = performance.now();
  const { computeMetrics, metrics = createMetrics(model.task) } = options;
  const custom = computeMetrics && new CustomMetrics(computeMetrics, data.size, model.task.numLabels);
  let batches = 0;
  for await (const { first, rows, logits, labels } of predictRows(model, data, options)) {
    options.signal?.throwIfAborted();
    if (labels !== undefined) {
      metrics.add(logits, labels, rows);
      custom?.add(logits, labels, rows);
    }
    batches += 1;
    options.onBatch?.(first + rows);
  }
  const seconds = (performance.now() - started) / 1000;
  const named = Object.entries(metrics.result()).map(([name, value]) => [`eval_${name}`, value] as const);
  return {
    ...Object.fromEntries(named),
    ...(await custom?.result()),
    eval_runtime: seconds,
    eval_samples: data.size,
    eval_samples_per_second: data.size / seconds,
    eval_steps_per_second: batches / seconds,
  };
}
