// The metrics of a model as it is, and beside them those that what was tuned for it changes.
import type { Calibration } from '../../formats/calibration.js';
import type { MetricAccumulator, MetricDetails } from './accumulator.js';
import { averagedScoreNames } from './class-counts.js';

/** What thresholds change: everything that looks at the labels that are given, and not at probabilities or ranks. */
const OF_THRESHOLDS = ['subset_accuracy', 'hamming_loss', ...averagedScoreNames];
/** What a temperature changes: everything that looks at probabilities, and not at labels or ranks. */
const OF_TEMPERATURE = ['loss', 'expected_calibration_error'];

/** The metrics that a calibration changes. */
export function tunedNames({ temperature, thresholds }: Calibration): string[] {
  return [
    ...(temperature === undefined ? [] : OF_TEMPERATURE),
    ...(thresholds === undefined ? [] : OF_THRESHOLDS),
  ];
}

/** Adds to the plain metrics the changed ones as `tuned_loss`, `tuned_f1_macro` ..., and in `details()` tuned_per_class. */
export class WithTunedMetrics implements MetricAccumulator {
  constructor(
    private readonly calibration: Calibration,
    private readonly plain: MetricAccumulator,
    private readonly tuned: MetricAccumulator,
  ) {}

  add(logits: Float32Array, labels: Int32Array | Float32Array, rows: number): void {
    this.plain.add(logits, labels, rows);
    this.tuned.add(logits, labels, rows);
  }

  result(): Record<string, number> {
    const tuned = this.tuned.result();
    const changed = tunedNames(this.calibration).flatMap((name) =>
      tuned[name] === undefined ? [] : [[`tuned_${name}`, tuned[name]] as const],
    );
    return { ...this.plain.result(), ...Object.fromEntries(changed) };
  }

  details(): MetricDetails | null {
    const plain = this.plain.details();
    const tuned = this.calibration.thresholds === undefined ? null : this.tuned.details();
    return plain === null || tuned === null ? plain : { ...plain, tuned_per_class: tuned.per_class };
  }
}
