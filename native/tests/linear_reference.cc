#include "tests/linear_reference.h"

#include <ATen/ATen.h>

#include "ops/dropout.h"

namespace bertune {

at::Tensor linearReference(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::Tensor y = at::linear(x, weights.weight.narrow(0, weights.firstRow, weights.rows), weights.bias);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationReference(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                     const at::Tensor& addend) {
  return activate(activation, linearReference(x, weights, addend));
}

at::Tensor linearAddNormReference(const at::Tensor& x, const at::Tensor& residual,
                                  const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                  const at::Tensor& addend) {
  const at::Tensor sum = dropoutAdd(linearReference(x, weights, addend), residual, mask);
  return at::layer_norm(sum, {sum.size(1)}, norm.weight, norm.bias, norm.epsilon);
}

}  // namespace bertune
