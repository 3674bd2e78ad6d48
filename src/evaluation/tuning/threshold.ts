// The probability above which a label is given, chosen so that F1 is highest.
import { DEFAULT_THRESHOLD } from '../probabilities.js';

/** A threshold, and the F1 that it has on the rows it was chosen on. */
export interface ChosenThreshold {
  threshold: number;
  f1: number;
}

/**
 * Tries each cut between neighbouring probabilities: halfway between the two, or halfway to 0 below the smallest. Of
 * several with the same F1 the lowest is taken; a label that no row has keeps one half.
 *
 * @param probabilities [n]
 * @param isTrue [n], 1 where the label is right
 */
export function bestThreshold(probabilities: Float64Array, isTrue: Uint8Array): ChosenThreshold {
  const positives = isTrue.reduce((sum, one) => sum + one, 0);
  const order = Uint32Array.from(probabilities, (_, i) => i).toSorted(
    (a, b) => (probabilities[a] ?? 0) - (probabilities[b] ?? 0),
  );
  let best: ChosenThreshold = { threshold: DEFAULT_THRESHOLD, f1: 0 };
  let given = probabilities.length;
  let hits = positives;
  let below = 0;
  for (const i of order) {
    const above = probabilities[i] ?? 0;
    // Equal probabilities stand on the same side of every cut.
    if (above > below) {
      const f1 = (2 * hits) / (given + positives);
      if (f1 > best.f1) best = { threshold: between(below, above), f1 };
    }
    below = above;
    given -= 1;
    hits -= isTrue[i] ?? 0;
  }
  return best;
}

/** F1 of the labels that a threshold gives; 0 where there are none, right or given. */
export function f1At(threshold: number, probabilities: Float64Array, isTrue: Uint8Array): number {
  let [hits, given, positives] = [0, 0, 0];
  for (let i = 0; i < isTrue.length; i++) {
    const isGiven = (probabilities[i] ?? 0) > threshold ? 1 : 0;
    const truth = isTrue[i] ?? 0;
    hits += isGiven * truth;
    given += isGiven;
    positives += truth;
  }
  return hits === 0 ? 0 : (2 * hits) / (given + positives);
}

/** Halfway, unless rounding takes that to the upper one, which then would not be above. */
function between(below: number, above: number): number {
  const middle = (below + above) / 2;
  return middle < above ? middle : below;
}
