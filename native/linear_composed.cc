#include <ATen/ATen.h>

#include "dropout.h"
#include "linear.h"

namespace bertune {

at::Tensor linearComposed(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend) {
  const at::ScalarType type = weights.type;
  const at::Tensor y = at::linear(x.to(type), weights.weight.to(type), weights.bias.to(type));
  return addend.defined() ? y + addend : y;
}

at::Tensor linearActivationComposed(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                    const at::Tensor& addend) {
  return activate(activation, linearComposed(x, weights, addend));
}

at::Tensor linearAddNormComposed(const at::Tensor& x, const at::Tensor& residual,
                                 const LinearWeights& weights, const NormWeights& norm, const Mask& mask,
                                 const at::Tensor& addend) {
  const at::Tensor products = linearComposed(x, weights, addend).to(residual.scalar_type());
  return at::layer_norm(dropoutAdd(products, residual, mask), {residual.size(1)}, norm.weight, norm.bias,
                        norm.epsilon);
}

}  // namespace bertune
