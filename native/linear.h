// The dense layers of the encoder, each one differentiable operator on any device: y = x weight^T + bias,
// alone or with what follows it in BERT. On the CPU they run tile by tile, elsewhere by LibTorch's operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "activation.h"
#include "packing.h"
#include "random.h"

namespace bertune {

// Copies of weight and bias in the type of the products.
struct RoundedWeights {
  at::Tensor weight, bias;
};

// `weight` [out, in] and `bias` [out] are the float32 parameters that get gradients. The right-hand side of
// the products is `packed` where there are tile products, else `rounded`.
struct LinearWeights {
  at::Tensor weight;
  at::Tensor bias;
  PackedWeight packed;
  RoundedWeights rounded = {};
};

struct NormWeights {
  at::Tensor weight;
  at::Tensor bias;
  double epsilon;
};

// An undefined tensor is no input that autograd takes.
inline std::optional<at::Tensor> optionalRows(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor.contiguous()) : std::nullopt;
}

// x: [rows, in] of float32 or the type of the products. Returns [rows, out] in the type of the products.
// `addend`, undefined or [rows, out] in that type, is added to the product here and below.
at::Tensor linear(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend = {});

// activation(linear(x)), in the type of the products.
at::Tensor linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                            const at::Tensor& addend = {});

// LayerNorm(dropout(linear(x)) + residual). residual: float32 [rows, out]; so is the result.
at::Tensor linearAddNorm(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend = {});

}  // namespace bertune
