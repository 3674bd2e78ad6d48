// The activation between the two matrices of a feed-forward block, and its derivative, through ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/spec.h"

namespace bertune {

// `inPlace`: the result takes the memory of `x`, which nothing may need for a gradient.
at::Tensor activate(Activation activation, at::Tensor x, bool inPlace = false);

// The gradient of z from that of activation(z), which is `y`, and its sums over rows in float32, undefined
// unless `wantsSums`: by a fused kernel where the device has them.
std::pair<at::Tensor, at::Tensor> activateBackward(Activation activation, const at::Tensor& dY,
                                                   const at::Tensor& z, const at::Tensor& y, bool wantsSums);

// The first of these by LibTorch's operators.
at::Tensor activateBackwardLibrary(Activation activation, const at::Tensor& dY, const at::Tensor& z,
                                   const at::Tensor& y);

// activation(z[:, :n]) * z[:, n:] of z [rows, 2 n], as gated linear units have it (Shazeer 2020,
// arXiv 2002.05202). Returns [rows, n].
at::Tensor gatedActivation(Activation activation, const at::Tensor& z);

}  // namespace bertune
