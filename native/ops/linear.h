// The linear layers of an encoder, each one differentiable operator on any device: y = x weight^T + bias,
// alone or with what often follows it. Where this processor has brgemm they run tile by tile, else by
// LibTorch's operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

#include "core/parameters.h"
#include "core/random.h"
#include "ops/activation.h"
#include "ops/brgemm.h"

namespace bertune {

// What the matrix products of a layer read, in the compute type: the weight packed for brgemm, or else weight
// and bias rounded.
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

// Makes the operands of all layers for one pass. Copies are aligned slices of one allocation for forward
// passes and one for backward passes, and are made again where the parameters have changed.
class OperandBuilder {
 public:
  OperandBuilder(at::ScalarType type, at::Device device);
  // `version` says whether `weight` and `bias`, those of the layer's rows, have changed since the last time.
  // A layer that runs several times may be added several times.
  void add(LinearOperands& operands, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
           int64_t version, bool wantsBackward);
  void finish();

 private:
  struct Request {
    LinearOperands* operands;
    at::Tensor weight;
    std::optional<at::Tensor> bias;
    int64_t version;
    bool wantsBackward;
  };

  void pack();
  void round();

  at::ScalarType type_;
  bool usesTiles_;
  std::vector<Request> requests_;
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

// What a layer multiplies: `values`, [rows, in] of float32 or the compute type, or GELU of them (then of the
// compute type). GELU is computed block by block when the product reads it, again in the backward pass, and
// never stored: its result would be one more tensor of a layer's largest size.
struct LinearInput {
  at::Tensor values;
  bool isGelu = false;

  LinearInput(at::Tensor values, bool isGelu = false) : values(std::move(values)), isGelu(isGelu) {}
  at::Tensor tensor() const { return isGelu ? activate(Activation::Gelu, values) : values; }
};

// Returns [rows, out] in the compute type. `addend`, undefined or [rows, out] in that type, is added to
// x weight^T here and below.
at::Tensor linear(const LinearInput& x, const LinearWeights& weights, const at::Tensor& addend = {});

// activation(linear(x)), for the layer that follows.
LinearInput linearActivation(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                             const at::Tensor& addend = {});

// LayerNorm(dropout(linear(x)) + residual). residual: float32 [rows, out]; so is the result.
at::Tensor linearAddNorm(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                         const NormWeights& norm, const Mask& mask, const at::Tensor& addend = {});

// The same three by LibTorch's own operators alone, whatever the processor has.
at::Tensor linearLibrary(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend);
at::Tensor linearActivationLibrary(const at::Tensor& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend);
at::Tensor linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                                const NormWeights& norm, const Mask& mask, const at::Tensor& addend);

}  // namespace bertune
