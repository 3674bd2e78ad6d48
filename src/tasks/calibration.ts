// What was tuned on validation rows after training, in a file of our own beside config.json: the temperature of the
// probabilities, and the thresholds above which a multi-label model predicts a label.
import { join } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import { exists } from '../util/file-system.js';
import { writeFileAtomic } from '../util/files.js';
import { readJson } from '../util/json.js';
import type { Calibration } from './probabilities.js';
import { taskKinds } from './registry.js';
import type { TaskDescription } from './task.js';

const FILE = 'bertune_calibration.json';

const CALIBRATION = z.strictObject({
  temperature: z.number().positive().exactOptional(),
  thresholds: z.record(z.string(), z.number().min(0).lt(1)).exactOptional(),
});

/**
 * Reads what was tuned for the model of a folder; empty where nothing was.
 *
 * @throws UsageError when the file is damaged or belongs to a model with other labels
 */
export async function readCalibration(directory: string, task: TaskDescription): Promise<Calibration> {
  const path = join(directory, FILE);
  if (!(await exists(path))) return {};
  const parsed = CALIBRATION.safeParse(await readJson(path));
  const fault = parsed.success ? misfit(parsed.data, task) : z.prettifyError(parsed.error).split('\n', 1)[0];
  if (!parsed.success || fault !== undefined)
    throw new UsageError(
      `${path} does not fit the model: ${fault}. Remove it, or tune again with bertune evaluate.`,
    );
  const { thresholds, ...rest } = parsed.data;
  if (thresholds === undefined) return rest;
  return { ...rest, thresholds: task.labels.map((label) => thresholds[label] ?? 0.5) };
}

/** Writes it into the model's folder, whole or not at all. */
export async function writeCalibration(
  directory: string,
  { temperature, thresholds }: Calibration,
  { labels }: TaskDescription,
): Promise<string> {
  const path = join(directory, FILE);
  const byLabel = thresholds && Object.fromEntries(labels.map((label, id) => [label, thresholds[id]]));
  await writeFileAtomic(path, `${JSON.stringify({ temperature, thresholds: byLabel }, null, 2)}\n`);
  return path;
}

type CalibrationJson = z.output<typeof CALIBRATION>;

function misfit({ temperature, thresholds }: CalibrationJson, task: TaskDescription): string | undefined {
  const { tunable } = taskKinds[task.problemType];
  if (temperature !== undefined && !tunable.includes('temperature'))
    return `${task.problemType} has no temperature`;
  if (thresholds === undefined) return undefined;
  if (!tunable.includes('thresholds')) return `${task.problemType} has no thresholds`;
  const missing = task.labels.find((label) => !Object.hasOwn(thresholds, label));
  if (missing !== undefined) return `it has no threshold for the label ${JSON.stringify(missing)}`;
  const foreign = Object.keys(thresholds).find((label) => !task.labels.includes(label));
  return foreign === undefined ? undefined : `the model has no label ${JSON.stringify(foreign)}`;
}
