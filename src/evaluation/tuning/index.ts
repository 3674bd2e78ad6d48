// What can be tuned on validation rows after training: thresholds and temperature.
import type { Calibration } from '../../formats/calibration.js';
import { DEFAULT_THRESHOLD, sigmoid } from '../probabilities.js';
import type { LabelledLogits } from './temperature.js';
import { bestThreshold, f1At } from './threshold.js';

export { bestTemperature, meanLoss, type LabelledLogits } from './temperature.js';
export { bestThreshold, f1At, type ChosenThreshold } from './threshold.js';

export const thresholdModes = ['global', 'per_label'] as const;
/** One threshold for all labels, for the highest micro F1; or one for each, for the highest F1 of that label. */
export type ThresholdMode = (typeof thresholdModes)[number];

/** Thresholds by label id, and the micro F1 over all labels with one half and with them. */
export interface TunedThresholds extends Required<Pick<Calibration, 'thresholds'>> {
  before: number;
  after: number;
}

/** @param data of a multi-label task */
export function tuneThresholds(
  { logits, labels, width }: LabelledLogits,
  mode: ThresholdMode,
): TunedThresholds {
  const all = { probabilities: Float64Array.from(logits, sigmoid), isTrue: Uint8Array.from(labels) };
  const before = f1At(DEFAULT_THRESHOLD, all.probabilities, all.isTrue);
  if (mode === 'global') {
    const { threshold, f1 } = bestThreshold(all.probabilities, all.isTrue);
    return { thresholds: Array.from({ length: width }, () => threshold), before, after: f1 };
  }
  const thresholds = Array.from({ length: width }, (_, label) => {
    const own = Uint32Array.from({ length: logits.length / width }, (_one, row) => row * width + label);
    const probabilities = Float64Array.from(own, (i) => all.probabilities[i] ?? 0);
    return bestThreshold(
      probabilities,
      Uint8Array.from(own, (i) => all.isTrue[i] ?? 0),
    ).threshold;
  });
  // Micro F1 of different thresholds is that of one, of what lies above it.
  const margins = all.probabilities.map((value, i) => value - (thresholds[i % width] ?? DEFAULT_THRESHOLD));
  return { thresholds, before, after: f1At(0, margins, all.isTrue) };
}
