// The gradient of the weight in y = x weight^T.
#pragma once

#include <ATen/core/Tensor.h>

namespace bertune {

// gradient = dY^T x, or what is added to it where it `adds`. gradient: float32 [out, in]; dY: [rows, out] of
// a type with tile products; x: [rows, in] of that type, or float32, which is rounded to it.
void weightGradient(at::Tensor& gradient, const at::Tensor& dY, const at::Tensor& x, bool adds);

}  // namespace bertune
