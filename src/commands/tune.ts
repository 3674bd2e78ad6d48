// What `bertune evaluate` tunes besides: temperature and thresholds, from the logits of the evaluation.
import { lstat } from 'node:fs/promises';

import type { EvaluateOptions } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { EvalPrediction } from '../evaluation/evaluate.js';
import { bestTemperature, meanLoss, tuneThresholds } from '../evaluation/tuning.js';
import { writeCalibration, type Calibration, type Task } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import { checkOutputFolder } from './output.js';

type TuneOptions = Pick<EvaluateOptions, 'model' | 'tuneThresholds' | 'tuneTemperature'>;

/**
 * Makes sure, before the evaluation, that what is asked for can be tuned and saved.
 *
 * @throws UsageError when it cannot
 */
export async function requireTunable(options: TuneOptions, { problemType, kind }: Task): Promise<void> {
  const { model, tuneThresholds: mode, tuneTemperature } = options;
  if (mode === undefined && !tuneTemperature) return;
  if (mode !== undefined && !kind.tunable.includes('thresholds'))
    throw new UsageError(
      `--tune-thresholds is for models that give several labels a row, and ${model} is for ${problemType}`,
    );
  if (tuneTemperature && !kind.tunable.includes('temperature'))
    throw new UsageError(`--tune-temperature is for probabilities, and ${model} is for ${problemType}`);
  const folder = await lstat(model).catch(() => null);
  if (folder === null)
    throw new UsageError(
      `What is tuned is saved beside the weights, so that --model must be a folder, and ${model} is a hub id`,
    );
  await checkOutputFolder(model);
}

/**
 * Tunes what is asked for and saves it in the model's folder; what is not asked for stays as it was.
 *
 * @throws UsageError when these rows have no best temperature, after what else could be tuned was saved
 */
export async function tune(
  { model, tuneThresholds: mode, tuneTemperature }: TuneOptions,
  { task, calibration }: { task: Task; calibration: Calibration },
  evaluated: EvalPrediction,
  progress: Progress,
): Promise<void> {
  const { logits, labels, numLabels: width } = evaluated;
  const data = { logits, labels, width, loss: task.kind.loss };
  let tuned = calibration;
  const temperature = tuneTemperature ? bestTemperature(data) : undefined;
  if (temperature !== undefined) {
    tuned = { ...tuned, temperature };
    const [before, after] = [meanLoss(data, 1), meanLoss(data, temperature)];
    progress.line(
      `Temperature ${temperature.toFixed(4)}: the loss goes from ${before.toFixed(4)} to ${after.toFixed(4)}`,
    );
  }
  if (mode !== undefined) {
    const { thresholds, before, after } = tuneThresholds(data, mode);
    tuned = { ...tuned, thresholds };
    progress.line(`Thresholds (${mode}): micro F1 goes from ${before.toFixed(4)} to ${after.toFixed(4)}`);
  }
  if (tuned !== calibration)
    progress.line(`Saved for predict and classify: ${await writeCalibration(model, tuned, task)}`);
  if (tuneTemperature && temperature === undefined)
    throw new UsageError(
      'There is no best temperature: either all of these rows are predicted right, or the predictions have nothing ' +
        'to do with their labels. Use more rows, such as the model was not trained on.',
    );
}
