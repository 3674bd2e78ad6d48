// What the backward passes of the linear layers share: the gradients of their input, weight and bias.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/linear.h"
#include "ops/linear_tiles.h"

namespace bertune {

// Where the gradient of a layer's weight goes, kept from the forward pass to the backward pass.
struct WeightTarget {
  GradientPointer gradient;  // null: it is handed to autograd
  int64_t firstRow, rows;
};

inline void saveTarget(torch::autograd::AutogradContext* context, const LinearWeights& weights) {
  if (weights.gradient) context->saved_data["gradient"] = c10::IValue::make_capsule(weights.gradient);
  context->saved_data["firstRow"] = weights.firstRow;
  context->saved_data["rows"] = weights.rows;
}

inline WeightTarget savedTarget(torch::autograd::AutogradContext* context) {
  const auto found = context->saved_data.find("gradient");
  GradientPointer gradient;
  if (found != context->saved_data.end())
    gradient = c10::static_intrusive_pointer_cast<Gradient>(found->second.toCapsule());
  return {gradient, context->saved_data["firstRow"].toInt(), context->saved_data["rows"].toInt()};
}

// What the backward pass of a layer reads: its input, the packed weight or that to be packed, and `others`,
// which are behind the first kLayerTensors of the tensors that are saved.
constexpr size_t kLayerTensors = 5;

inline void saveLayer(torch::autograd::AutogradContext* context, const LinearInput& x,
                      const at::Tensor& weight, const LinearWeights& weights,
                      const torch::autograd::variable_list& others = {}) {
  const LinearOperands& operands = weights.operands;
  torch::autograd::variable_list all{x.values, x.weight, x.bias, operands.packed.backward,
                                     operands.packsWhenRead ? weight : at::Tensor()};
  all.insert(all.end(), others.begin(), others.end());
  context->save_for_backward(std::move(all));
  context->saved_data["kind"] = static_cast<int64_t>(x.kind);
  context->saved_data["type"] = static_cast<int64_t>(operands.type);
  saveTarget(context, weights);
}

inline LinearInput inputOf(torch::autograd::AutogradContext* context,
                           const torch::autograd::variable_list& saved) {
  LinearInput x(saved[0], static_cast<LinearInput::Kind>(context->saved_data["kind"].toInt()));
  x.weight = saved[1];
  x.bias = saved[2];
  return x;
}

inline at::Tensor backwardOperand(torch::autograd::AutogradContext* context,
                                  const torch::autograd::variable_list& saved) {
  if (saved[3].defined()) return saved[3];
  const phases::Scope phase(phases::Phase::Gemm);
  const WeightTarget target = savedTarget(context);
  const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
  const at::Tensor weight = saved[4].detach().narrow(0, target.firstRow, target.rows);
  at::Tensor packed = at::empty(backwardShape(weight, type), type);
  packBackward(packed, weight);
  return packed;
}

// gradient = dY^T x, or what is added to it where it `adds`. gradient: float32 [out, in]; dY: [rows, out] of
// a type with brgemm; x: [rows, in] of that type, or float32, which is rounded to it.
void weightGradient(at::Tensor& gradient, const at::Tensor& dY, const LinearInput& x, bool adds);

// Indices of the tensors that every layer gets, among its inputs: to check which of them need a gradient.
constexpr size_t kInputPlace = 0, kWeightPlace = 1;

// The gradient of a weight that is trained: into its place, or returned for autograd. That of a frozen one
// would be half of the backward pass for nothing.
inline at::Tensor storeWeightGradient(torch::autograd::AutogradContext* context, const at::Tensor& dY,
                                      const LinearInput& x) {
  if (!context->needs_input_grad(kWeightPlace)) return {};
  const WeightTarget target = savedTarget(context);
  if (!target.gradient) {
    at::Tensor gradient = at::empty({dY.size(1), x.columns()}, at::kFloat);
    weightGradient(gradient, dY, x, /*adds=*/false);
    return gradient;
  }
  Gradient::Target place = target.gradient->rows(target.firstRow, target.rows);
  weightGradient(place.values, dY, x, place.adds);
  return {};
}

// The gradient of x, or of the values that it is computed from: of a norm's result that of the result itself,
// since the norm has a backward pass of its own. Not computed where nothing below is trained.
inline at::Tensor emptyInputGradient(const torch::autograd::AutogradContext* context, const LinearInput& x) {
  if (!context->needs_input_grad(kInputPlace)) return {};
  const bool isOfNorm = x.kind == LinearInput::Kind::Norm;
  return at::empty(x.values.sizes(), isOfNorm ? at::kFloat : x.values.scalar_type());
}

// [ranges, columns] of zeros, one row a range, so that ranges can add up side by side and in a fixed order.
inline at::Tensor rangeSums(const RowRanges& ranges, int64_t columns) {
  return at::zeros({ranges.count(), columns}, at::kFloat);
}

// What the tile kernels add where a layer has no bias.
inline at::Tensor biasOrZeros(const std::optional<at::Tensor>& bias, int64_t columns) {
  return bias.has_value() ? *bias : at::zeros({columns}, at::kFloat);
}

// That gradient from dX = dY weight, block by block, which is float32 or of type T, or not wanted.
template <typename T>
class InputGradient {
 public:
  InputGradient(at::Tensor& dX, const LinearInput& x, const at::Tensor& dY, const at::Tensor& packed)
      : dX_(dX),
        x_(x),
        weight_(packed, dX.defined() ? x.columns() : 0),
        dY_(dY, weight_.rowsOfBlock()),
        tile_(weight_.rowsOfBlock() * kTile) {}

  int64_t rowsOfBlock() const { return weight_.rowsOfBlock(); }

  void compute(int64_t first, int64_t rows) {
    if (!dX_.defined()) return;
    if (dX_.scalar_type() == at::kFloat)
      computeInto(Rows<float>(dX_), first, rows);
    else
      computeInto(Rows<T>(dX_), first, rows);
    // By whole rows: a tile's short pieces of the values would be read several times slower.
    if (x_.kind == LinearInput::Kind::Gelu) geluBackward(first, rows);
    if (x_.kind == LinearInput::Kind::GatedGelu) gatedGeluBackward(first, rows);
  }

 private:
  template <typename X>
  void computeInto(const Rows<X>& target, int64_t first, int64_t rows) {
    weight_.forEach(dY_.load(first, rows), dY_.ld(), rows, tile_.data(),
                    [&](int64_t column, int64_t columns, const float* tile) {
                      for (int64_t i = 0; i < rows; ++i)
                        rowKernels().narrow(target[first + i] + column, tile + i * kTile, columns);
                    });
  }

  void geluBackward(int64_t first, int64_t rows) {
    const Rows<T> gradients(dX_);
    const Rows<const T> values(x_.values);
    for (int64_t i = first; i < first + rows; ++i)
      rowKernels().geluBackward(gradients[i], gradients[i], values[i], values.columns());
  }

  // The gradient of the product is where that of its first factor comes.
  void gatedGeluBackward(int64_t first, int64_t rows) {
    const Rows<T> gradients(dX_);
    const Rows<const T> values(x_.values);
    const int64_t half = x_.columns();
    for (int64_t i = first; i < first + rows; ++i)
      rowKernels().gatedGeluBackward(gradients[i], gradients[i] + half, gradients[i], values[i],
                                     values[i] + half, half);
  }

  at::Tensor& dX_;
  const LinearInput& x_;
  Panels<T> weight_;
  RowBlocks<T> dY_;
  Scratch<float> tile_;
};

}  // namespace bertune
