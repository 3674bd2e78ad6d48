// The gradient of the weight in y = x weight^T.
#pragma once

#include <ATen/core/Tensor.h>

namespace bertune {

// dY^T x as float32 [out, in]. dY: [rows, out] of a type with tile products; x: [rows, in] of that type, or
// float32, which is rounded to it.
at::Tensor weightGradient(const at::Tensor& dY, const at::Tensor& x);

}  // namespace bertune
