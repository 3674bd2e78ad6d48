#pragma once

#include <ATen/core/Tensor.h>

namespace bertune {

// The Euclidean norm of a flat float32 tensor, as a float32 scalar on its device. The order of its sums
// depends on nothing but the size.
at::Tensor gradientNorm(const at::Tensor& gradients);

}  // namespace bertune
