// For tests: the linear layers of linear.h from ATen operators and autograd alone, in the type of what they
// are given. What both ways to compute them are held against.
#pragma once

#include "ops/linear.h"

namespace bertune {

at::Tensor linearReference(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend = {});
at::Tensor linearActivationReference(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                     const at::Tensor& addend = {});
at::Tensor linearAddNormReference(const at::Tensor& x, const at::Tensor& residual,
                                  const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                  const at::Tensor& addend = {});

}  // namespace bertune
