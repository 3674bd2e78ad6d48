// Whether a model that says 80% is right 80% of the time.

const BINS = 15;

/**
 * Guo et al.'s expected calibration error: in 15 equal bins of confidence, each with its upper edge, the distance
 * between mean confidence and accuracy, weighted by rows. Keeps one number a bin.
 */
export class CalibrationError {
  private rows = 0;
  /** What the confidences of the bin are above the hits, in sum. */
  private readonly surplus = new Float64Array(BINS);

  /** @param confidence the probability of the predicted class */
  add(confidence: number, isRight: boolean): void {
    this.rows += 1;
    const bin = Math.min(Math.max(Math.ceil(confidence * BINS) - 1, 0), BINS - 1);
    // A confidence that is NaN has no bin; it shows in the result all the same.
    const at = Number.isNaN(bin) ? 0 : bin;
    this.surplus[at] = (this.surplus[at] ?? 0) + confidence - (isRight ? 1 : 0);
  }

  result(): number {
    return this.surplus.reduce((total, surplus) => total + Math.abs(surplus), 0) / this.rows;
  }
}
