#include "linear_composed.h"

#include <ATen/ATen.h>

#include "dropout.h"

namespace bertune {

at::Tensor linearComposed(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::Tensor y = at::linear(x, weights.weight, weights.bias);
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationComposed(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                    const at::Tensor& addend) {
  return activate(activation, linearComposed(x, weights, addend));
}

at::Tensor linearAddNormComposed(const at::Tensor& x, const at::Tensor& residual,
                                 const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                 const at::Tensor& addend) {
  const at::Tensor sum = dropoutAdd(linearComposed(x, weights, addend), residual, mask);
  return at::layer_norm(sum, {sum.size(1)}, norm.weight, norm.bias, norm.epsilon);
}

}  // namespace bertune
