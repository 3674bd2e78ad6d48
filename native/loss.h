// The loss of a batch as a sum over its labels, so that micro-batches add up exactly.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace bertune {

enum class Problem { SingleLabel, MultiLabel, Regression };

struct LossOptions {
  double labelSmoothing = 0;
  double focalGamma = 0;            // 0 is no focal loss
  std::vector<float> classWeights;  // [numLabels] or empty: a factor by class, for single label
  std::vector<float> posWeight;     // [numLabels] or empty: a factor of the positive term, for multi-label
};

// logits: float [sequences, numLabels]. Returns a scalar: the sum of cross-entropy over labels that are not
// -100, of binary cross-entropy, or of squared errors. Smoothing and weights are those of
// torch.nn.CrossEntropyLoss and BCEWithLogitsLoss; a focal loss (Lin et al. 2017) takes no smoothing.
at::Tensor lossSum(Problem problem, const at::Tensor& logits, const at::Tensor& labels,
                   const LossOptions& options);

}  // namespace bertune
