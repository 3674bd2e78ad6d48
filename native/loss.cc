#include "loss.h"

#include <ATen/ATen.h>

namespace bertune {

at::Tensor lossSum(Problem problem, const at::Tensor& logits, const at::Tensor& labels,
                   double labelSmoothing) {
  switch (problem) {
    case Problem::SingleLabel:
      return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum, -100, labelSmoothing);
    case Problem::MultiLabel:
      return at::binary_cross_entropy_with_logits(logits, labels, {}, {}, at::Reduction::Sum);
    case Problem::Regression:
      return at::mse_loss(logits, labels, at::Reduction::Sum);
  }
  return {};
}

}  // namespace bertune
