// The softmax over a vocabulary of a masked language model: logits x weight^T + bias with more columns than
// memory should hold, so that there is never more of them than a tile of rows and columns.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/linear.h"

namespace bertune {

// The sum of cross-entropy over the rows, a float32 scalar. x: float32 [rows, in]; labels: int64 [rows], each
// a row of the weight. Products are of the operands' type, sums in float32. The forward pass keeps one number
// a row, the backward pass computes the logits again.
at::Tensor vocabularyLoss(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& labels);

// float32 [rows, 2]: the cross-entropy of each row, and the place of its first largest logit.
at::Tensor vocabularyScores(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& labels);

// The first by LibTorch's operators alone, whatever the processor has.
at::Tensor vocabularyLossLibrary(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& labels);

}  // namespace bertune
