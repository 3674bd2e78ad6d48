// The losses of transformers' BertForSequenceClassification, of one row, in float64.

/** `logsumexp(logits) - logits[label]`, for the `width` logits from `offset` on. */
export function crossEntropy(logits: Float32Array, offset: number, width: number, label: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < width; i++) top = Math.max(top, logits[offset + i] ?? Number.NaN);
  let sum = 0;
  for (let i = 0; i < width; i++) sum += Math.exp((logits[offset + i] ?? Number.NaN) - top);
  return top + Math.log(sum) - (logits[offset + label] ?? Number.NaN);
}

/** Binary cross-entropy of one logit, in the form that cannot overflow. */
export function binaryCrossEntropy(logit: number, target: number): number {
  return Math.max(logit, 0) - logit * target + Math.log1p(Math.exp(-Math.abs(logit)));
}
