// The linear layers by LibTorch's own operators, forward and backward written out: for devices without tiles
// of ours. On a GPU a step is short, and what it waits for is the host that launches it: below autograd a
// layer is about half as many operators as by autograd, each of them cheaper to call.
#pragma once

#include "ops/linear.h"

namespace bertune {

// As linear, linearActivation and linearAddNorm of linear.h.
at::Tensor linearLibrary(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend);
at::Tensor linearActivationLibrary(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend);
at::Tensor linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                                const NormWeights& norm, const Mask& mask, const at::Tensor& addend);

}  // namespace bertune
