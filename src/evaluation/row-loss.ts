// The losses of transformers' BertForSequenceClassification, of one row, in float64.

/** `logsumexp(logits) - logits[label]`, for the `width` logits from `offset` on. */
export function crossEntropy(logits: Float32Array, offset: number, width: number, label: number): number {
  return logSumExp(logits, offset, width) - (logits[offset + label] ?? Number.NaN);
}

/** Binary cross-entropy of one logit, in the form that cannot overflow. */
export function binaryCrossEntropy(logit: number, target: number): number {
  return Math.max(logit, 0) - logit * target + Math.log1p(Math.exp(-Math.abs(logit)));
}

/** The log of the sum of the powers of the `width` logits from `offset` on, but for the one at `except`. */
export function logSumExp(logits: Float32Array, offset: number, width: number, except = -1): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < width; i++) if (i !== except) top = Math.max(top, logits[offset + i] ?? Number.NaN);
  let sum = 0;
  for (let i = 0; i < width; i++) if (i !== except) sum += Math.exp((logits[offset + i] ?? Number.NaN) - top);
  return top + Math.log(sum);
}
