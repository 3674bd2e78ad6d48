// What a run's options make of the loss: factors by label, and what the sum of a step's losses is divided by.
import { labelCount, type LabelledRows } from '../data/batch.js';
import { countLabels } from '../data/label-counts.js';
import type { TrainingArguments } from '../options/index.js';
import type { Task } from '../data/index.js';
import { UsageError } from '../util/errors.js';
import type { LossOptions, PackedBatch } from '../native/index.js';

/** The options of the loss with all weights as numbers. @throws UsageError when balanced weights cannot be had */
export function lossOptions(args: TrainingArguments, task: Task, rows: LabelledRows): LossOptions {
  const { labelSmoothingFactor: labelSmoothing, focalGamma = 0, classWeights, posWeight } = args;
  const shared = { labelSmoothing, focalGamma };
  if (classWeights !== undefined) {
    const weights = classWeights === 'balanced' ? balancedClassWeights(task, rows) : classWeights;
    return { ...shared, classWeights: Float32Array.from(weights) };
  }
  if (posWeight === undefined) return shared;
  const weights = posWeight === 'balanced' ? balancedPosWeight(task, rows) : posWeight;
  return { ...shared, posWeight: Float32Array.from(weights) };
}

/**
 * What the sum of an optimizer step's losses is divided by: its labels, or with class weights the sum of the weights
 * of its labels (torch's weighted mean), over all micro-batches.
 */
export function lossDivisor(batches: readonly PackedBatch[], { classWeights }: LossOptions): number {
  let divisor = 0;
  for (const { labels } of batches) {
    if (labels === undefined) continue;
    if (classWeights === undefined) divisor += labelCount(labels);
    else for (const label of labels) divisor += classWeights[label] ?? 0; // -100 has no weight
  }
  return divisor > 0 ? divisor : 1;
}

/** `n / (k * count)` for each class, as scikit-learn's `compute_class_weight('balanced')`. */
function balancedClassWeights(task: Task, rows: LabelledRows): number[] {
  const { counts, total } = countLabels(task, rows);
  requireAll(task, counts, (count) => count > 0, 'classWeights', 'has no training row');
  return counts.map((count) => total / (task.numLabels * count));
}

/** Rows without a label by rows with it, for each label. */
function balancedPosWeight(task: Task, rows: LabelledRows): number[] {
  const { counts } = countLabels(task, rows);
  requireAll(task, counts, (count) => count > 0, 'posWeight', 'has no training row');
  requireAll(task, counts, (count) => count < rows.size, 'posWeight', 'is in every training row');
  return counts.map((count) => (rows.size - count) / count);
}

function requireAll(
  { labels }: Task,
  counts: readonly number[],
  holds: (count: number) => boolean,
  option: string,
  what: string,
): void {
  const wrong = counts.findIndex((count) => !holds(count));
  if (wrong === -1) return;
  throw new UsageError(
    `${option} cannot be balanced: the label ${JSON.stringify(labels[wrong] ?? wrong)} ${what}; give a number for each label`,
  );
}
