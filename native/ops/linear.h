// The linear layers of an encoder, each one differentiable operator on any device: y = x weight^T + bias,
// alone or with what often follows it. Where this processor has tile products they run tile by tile, else by
// LibTorch's operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/parameters.h"
#include "core/random.h"
#include "ops/activation.h"
#include "ops/packing.h"

namespace bertune {

// What the products read of a layer, in their type: the weight packed for tile products, or else weight and
// bias rounded.
struct LinearOperands {
  at::ScalarType type = at::kFloat;
  PackedWeight packed = {};
  at::Tensor weight = {}, bias = {};
  int64_t forwardVersion = -1, backwardVersion = -1;  // of the parameters that they were made from
};

// A layer is all rows of a weight, or some of them.
struct LinearWeights {
  at::Tensor weight;               // float32 [outputs of the whole weight, in]: the leaf
  std::optional<at::Tensor> bias;  // float32 [rows]
  LinearOperands operands;
  int64_t firstRow, rows;
  GradientPointer gradient = {};  // of the whole weight; where it is null autograd gets the gradient
};

// Makes the operands of many layers for one pass. Where they are rounded, all are one call.
class OperandBuilder {
 public:
  OperandBuilder(at::ScalarType type, at::Device device);
  // `version` says whether `weight` and `bias`, those of the layer's rows, have changed since the last time.
  void add(LinearOperands& operands, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
           int64_t version, bool wantsBackward);
  void finish();

 private:
  at::ScalarType type_;
  bool usesTiles_;
  std::vector<at::Tensor> targets_, sources_;
  std::vector<std::pair<LinearOperands*, int64_t>> rounded_;
};

struct NormWeights {
  at::Tensor weight;
  std::optional<at::Tensor> bias;
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
