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
  bool packsWhenRead = false;                         // nothing is packed yet: each product packs for itself
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
// passes and one for backward passes, and are made again where the parameters have changed. Or there are
// none, and what was packed is given back: layers that run once pack what they read when they read it, which
// is no more work where the parameters change before the next pass, and needs memory for one layer only.
class OperandBuilder {
 public:
  OperandBuilder(at::ScalarType type, at::Device device, bool packsWhenRead);
  // `version` says whether `weight` and `bias`, those of the layer's rows, have changed since the last time.
  // A layer that runs several times may be added several times.
  void add(LinearOperands& operands, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
           int64_t version, bool wantsBackward);
  // Whether layers read weights that are only rounded. Such a copy belongs to the parameter, whichever layers
  // read some of its rows; an optimizer may write it beside the weight.
  bool rounds() const { return !usesTiles_ && type_ != at::kFloat; }
  at::ScalarType type() const { return type_; }
  const at::Tensor& rounded(Parameter& parameter);
  void finish();

 private:
  struct Request {
    LinearOperands* operands;
    at::Tensor weight;
    std::optional<at::Tensor> bias;
    int64_t version;
    bool wantsBackward;
    int64_t runs = 1;
  };

  void leaveToProducts();
  void pack();
  void round();

  at::ScalarType type_;
  bool usesTiles_, packsWhenRead_;
  std::vector<Request> requests_;
  std::vector<Parameter*> outdated_;  // to be rounded
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

// What a layer multiplies, [rows, in]: values of float32 or the compute type, or what is computed from them
// block by block when a product reads it, in the backward pass again, and never stored: it would be one more
// tensor of a layer's largest size.
struct LinearInput {
  enum class Kind {
    Values,
    Gelu,       // GELU of values of the compute type
    GatedGelu,  // GELU of the first half of their columns times the second half; of the compute type
    Norm        // values * weight + bias; of the compute type
  };

  at::Tensor values;
  Kind kind = Kind::Values;
  at::Tensor weight = {}, bias = {};  // of a norm, float32 [in]

  LinearInput(at::Tensor values, Kind kind = Kind::Values) : values(std::move(values)), kind(kind) {}
  int64_t rows() const { return values.size(0); }
  int64_t columns() const { return kind == Kind::GatedGelu ? values.size(1) / 2 : values.size(1); }
  at::Tensor tensor() const;
};

// The result of a norm for the layers that follow it: `values`, float32 [rows, in], and the same once more
// for their backward passes, from what the norm itself stores for its own. So nobody has to hold the values.
//
// Layers by LibTorch's operators read `forLayers`: the values again, with a gradient apart from that of a
// residual which goes beside the layers, so that the norm's backward pass adds the two. `rounded` is the same
// in the compute type, where the norm has written that too.
struct Normed {
  at::Tensor values;
  LinearInput stored;
  at::Tensor forLayers, rounded = {};

  Normed(const at::Tensor& values, LinearInput stored)
      : values(values), stored(std::move(stored)), forLayers(values) {}
  Normed(const at::Tensor& values) : Normed(values, LinearInput(values)) {}
  Normed(const at::Tensor& values, const at::Tensor& forLayers, const at::Tensor& rounded)
      : values(values), stored(values), forLayers(forLayers), rounded(rounded) {}
};

// Returns [rows, out] in the compute type. `addend`, undefined or [rows, out] in that type, is added to
// x weight^T here and below.
at::Tensor linear(const LinearInput& x, const LinearWeights& weights, const at::Tensor& addend = {});
at::Tensor linear(const Normed& x, const LinearWeights& weights, const at::Tensor& addend = {});
inline at::Tensor linear(const at::Tensor& x, const LinearWeights& weights, const at::Tensor& addend = {}) {
  return linear(LinearInput(x), weights, addend);
}

// activation(linear(x)), or of a gated layer activation(first half of it) * second half, for the layer that
// follows.
LinearInput linearActivation(const Normed& x, const LinearWeights& weights, Activation activation,
                             const at::Tensor& addend = {}, bool isGated = false);

// dropout(linear(x)) + residual. residual: float32 [rows, out]; so is the result.
at::Tensor linearAdd(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                     const Mask& mask, const at::Tensor& addend = {});

// LayerNorm of that. `sum`, where there is one, receives the sum too: it is what goes on where norms come
// before the layers.
Normed linearAddNorm(const LinearInput& x, const at::Tensor& residual, const LinearWeights& weights,
                     const NormWeights& norm, const Mask& mask, const at::Tensor& addend = {},
                     at::Tensor* sum = nullptr);

// LayerNorm alone, before layers of that compute type. x: float32 [rows, columns]. `residual`, where there is
// one, receives x for what goes beside the layers.
Normed norm(const at::Tensor& x, const NormWeights& norm, at::ScalarType compute,
            at::Tensor* residual = nullptr);

// The same by LibTorch's own operators and fused kernels, whatever the processor has.
at::Tensor linearLibrary(const Normed& x, const LinearWeights& weights, const at::Tensor& addend);
at::Tensor linearActivationLibrary(const Normed& x, const LinearWeights& weights, Activation activation,
                                   const at::Tensor& addend);
at::Tensor linearAddLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                            const Mask& mask, const at::Tensor& addend);
Normed linearAddNormLibrary(const at::Tensor& x, const at::Tensor& residual, const LinearWeights& weights,
                            const NormWeights& norm, const Mask& mask, const at::Tensor& addend,
                            at::Tensor* sum = nullptr);
Normed normLibrary(const at::Tensor& x, const NormWeights& norm, at::ScalarType compute,
                   at::Tensor* residual);

}  // namespace bertune
