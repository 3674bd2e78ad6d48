// The loss of a batch as a sum over its labels, so that micro-batches add up exactly.
#pragma once

#include <ATen/core/Tensor.h>

namespace bertune {

enum class Problem { SingleLabel, MultiLabel, Regression };

// logits: float [sequences, numLabels]. Returns a scalar: the sum of cross-entropy over labels that are not
// -100 (with torch's label smoothing, which equals HF's LabelSmoother), of binary cross-entropy, or of
// squared errors.
at::Tensor lossSum(Problem problem, const at::Tensor& logits, const at::Tensor& labels,
                   double labelSmoothing);

}  // namespace bertune
