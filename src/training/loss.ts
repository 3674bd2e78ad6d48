// What a run's options make of the loss: factors by label, and what the sum of a step's losses is divided by.
import { countLabels, eachTargets, type TargetRows, type Task } from '../tasks/index.js';
import type { LabelledRows } from '../data/batch.js';
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { LossOptions, PackedBatch } from '../native/index.js';

/** The options of the loss with all weights as numbers. @throws UsageError where the labels do not suit them */
export function lossOptions(
  args: TrainingArguments,
  task: Task,
  rows: TargetRows & Pick<LabelledRows, 'hardLabels'>,
): LossOptions {
  const { labelSmoothingFactor: labelSmoothing, focalGamma = 0, classWeights, posWeight } = args;
  const { distillationTemperature: temperature = 1, distillationAlpha: alpha = 1 } = args;
  const shared = { labelSmoothing, focalGamma, temperature, alpha };
  if (focalGamma > 0) requireClassIds(task, rows);
  if (temperature !== 1) requireProbabilities('distillationTemperature', rows);
  if (alpha !== 1) {
    requireProbabilities('distillationAlpha', rows);
    if (rows.hardLabels === undefined)
      throw new UsageError(
        "distillationAlpha needs the rows' own labels beside those of the teacher; name their column with hardLabelColumn",
      );
  }
  if (classWeights !== undefined) {
    const weights = classWeights === 'balanced' ? balancedClassWeights(task, rows) : classWeights;
    return { ...shared, classWeights: Float32Array.from(weights) };
  }
  if (posWeight === undefined) return shared;
  const weights = posWeight === 'balanced' ? balancedPosWeight(task, rows) : posWeight;
  return { ...shared, posWeight: Float32Array.from(weights) };
}

/** A focal loss weighs a row by the probability of its class, of which probabilities name none. */
function requireClassIds({ kind }: Task, { size, labels }: TargetRows): void {
  if (kind.loss === 'cross_entropy' && size > 0 && labels([0]) instanceof Float32Array)
    throw new UsageError('focalGamma needs class ids as labels; leave it out where labels are probabilities');
}

/** Labels that are all zeros and ones are those of no teacher: the temperature would change the loss and soften nothing. */
function requireProbabilities(option: string, rows: TargetRows): void {
  for (const targets of eachTargets(rows))
    if (targets instanceof Float32Array && targets.some((target) => target > 0 && target < 1)) return;
  throw new UsageError(
    `${option} needs the probabilities of a teacher as labels, and the training rows have classes; ` +
      'give softLabels where the file has them, or leave it out',
  );
}

/** What the sum of some batches' losses is divided by; see `Task.lossDivisor`. 0 where they have no label. */
export function lossDivisor(
  task: Task,
  batches: readonly Pick<PackedBatch, 'labels'>[],
  { classWeights, alpha = 1 }: LossOptions,
): number {
  let divisor = 0;
  for (const { labels } of batches)
    if (labels !== undefined) divisor += task.lossDivisor(labels, classWeights) / (alpha === 1 ? 1 : 2);
  return divisor;
}

/** `n / (k * count)` for each class, as scikit-learn's `compute_class_weight('balanced')`. */
function balancedClassWeights(task: Task, rows: TargetRows): number[] {
  const { counts, total } = countLabels(task, rows);
  requireAll(task, counts, (count) => count > 0, 'classWeights', 'has no training row');
  return counts.map((count) => total / (task.numLabels * count));
}

/** Rows without a label by rows with it, for each label. */
function balancedPosWeight(task: Task, rows: TargetRows): number[] {
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
