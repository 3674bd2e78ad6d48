// For tests: the dense layers of linear.h from ATen operators and autograd alone, in the type of what they
// are given. The yardstick of both ways to compute them.
#pragma once

#include "linear.h"

namespace bertune {

at::Tensor linearComposed(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend = {});
at::Tensor linearActivationComposed(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                    const at::Tensor& addend = {});
at::Tensor linearAddNormComposed(const at::Tensor& x, const at::Tensor& residual,
                                 const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                 const at::Tensor& addend = {});

}  // namespace bertune
