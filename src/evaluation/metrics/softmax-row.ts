// What is read from a row of class logits: the predicted class, how sure the model is of it, the odds of each class.
import { logSumExp } from '../row-loss.js';

/** The class with the highest of the `width` logits from `offset` on: the first of them where several are. */
export function predictedClass(logits: Float32Array, offset: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++) if ((logits[offset + i] ?? 0) > (logits[offset + best] ?? 0)) best = i;
  return best;
}

/** The softmax probability of the predicted class `best`. */
export function confidenceOf(logits: Float32Array, offset: number, width: number, best: number): number {
  return 1 / powersOver(logits, offset, width, best);
}

/**
 * `log(p / (1 - p))` of each class. They rank rows as the softmax probabilities do, but do not run together near 0
 * and 1, where a float32 cannot tell probabilities apart.
 */
export function logOdds(logits: Float32Array, offset: number, width: number, best: number): Float64Array {
  const odds = new Float64Array(width);
  const top = logits[offset + best] ?? Number.NaN;
  const sum = powersOver(logits, offset, width, best);
  for (let i = 0; i < width; i++) {
    const logit = logits[offset + i] ?? Number.NaN;
    // Of the sum without the best class itself nothing may be left, so that one is added up anew.
    const others =
      i === best ? logSumExp(logits, offset, width, best) : top + Math.log(sum - Math.exp(logit - top));
    odds[i] = logit - others;
  }
  return odds;
}

/** The sum of the powers of all logits, relative to the power of the best. */
function powersOver(logits: Float32Array, offset: number, width: number, best: number): number {
  const top = logits[offset + best] ?? Number.NaN;
  let sum = 0;
  for (let i = 0; i < width; i++) sum += Math.exp((logits[offset + i] ?? Number.NaN) - top);
  return sum;
}
