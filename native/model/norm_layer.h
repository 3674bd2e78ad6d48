// LayerNorm with its parameters.
#pragma once

#include <ATen/ATen.h>

#include "core/parameters.h"
#include "ops/linear.h"

namespace bertune {

struct NormLayer {
  Parameter *weight = nullptr, *bias = nullptr;  // bias may be null
  double epsilon = 0;

  bool isTrained() const { return weight->isTrained() || (bias != nullptr && bias->isTrained()); }
  NormWeights weights() const {
    return {weight->value, bias == nullptr ? std::nullopt : std::optional(bias->value), epsilon};
  }
  at::Tensor apply(const at::Tensor& x) const {
    return at::layer_norm(x, weight->value.sizes(), weight->value, weights().bias, epsilon);
  }
};

}  // namespace bertune
