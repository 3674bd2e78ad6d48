// Where else the logs of a training go: HF's report_to.
import type { TrainingArguments } from '../../options/index.js';
import type { TrainerCallback } from '../callbacks.js';
import { LogFileCallback } from './log-file.js';
import { TensorBoardCallback } from './tensorboard.js';

/** The callbacks that `reportTo` asks for. */
export function reporters({ reportTo, outputDir }: TrainingArguments): TrainerCallback[] {
  return reportTo.map((to) =>
    to === 'tensorboard' ? new TensorBoardCallback(outputDir) : new LogFileCallback(outputDir, to),
  );
}
