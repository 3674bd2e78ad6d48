// What the metrics read from a row of class logits, in one pass over its powers and in float64.

export interface SoftmaxRow {
  /** The class with the highest logit: the first of them where several are. */
  guess: number;
  /** The softmax probability of the guess. */
  confidence: number;
  /** The log of the sum of the powers: less the logit of the label it is the cross-entropy. */
  logSum: number;
  /**
   * `log(p / (1 - p))` of each class: the logit less the `logSum` of the others. They rank rows as the softmax
   * probabilities do, but do not run together near 0 and 1, where a float32 cannot tell probabilities apart.
   */
  logOdds: Float64Array;
}

export function softmaxRow(logits: Float32Array | Float64Array): SoftmaxRow {
  const guess = indexOfLargest(logits);
  const top = logits[guess] ?? Number.NaN;
  const powers = new Float64Array(logits).map((logit) => Math.exp(logit - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  const logOdds = powers.map((power, id) => (logits[id] ?? Number.NaN) - (top + Math.log(sum - power)));
  // Of the sum without the guess itself nothing may be left, so that one is added up anew.
  logOdds[guess] = top - logSumOfOthers(logits, guess);
  return { guess, confidence: 1 / sum, logSum: top + Math.log(sum), logOdds };
}

function indexOfLargest(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

function logSumOfOthers(logits: ArrayLike<number>, except: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (i !== except) top = Math.max(top, logits[i] ?? Number.NaN);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) if (i !== except) sum += Math.exp((logits[i] ?? Number.NaN) - top);
  return top + Math.log(sum);
}
