// What the backward passes of the dense layers share: the gradients of their input, weight and bias.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "linear_tiles.h"
#include "row_ranges.h"
#include "weight_gradient.h"

namespace bertune {

// The gradient of a weight that is trained; that of a frozen one would be half of the backward pass for
// nothing.
inline at::Tensor gradientIfTrained(const torch::autograd::AutogradContext* context, size_t input,
                                    const at::Tensor& dY, const at::Tensor& x) {
  return context->needs_input_grad(input) ? weightGradient(dY, x) : at::Tensor();
}

// The gradient of x is not worth a product where nothing below is trained.
inline at::Tensor emptyIfWanted(const torch::autograd::AutogradContext* context, const at::Tensor& x) {
  return context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
}

// [ranges, columns] of zeros, one row a range, so that ranges can add up side by side and in a fixed order.
inline at::Tensor rangeSums(const RowRanges& ranges, int64_t columns) {
  return at::zeros({ranges.count(), columns}, at::kFloat);
}

// dX = dY weight, block by block; dX is float32 or of type T, or not wanted.
template <typename T>
class InputGradient {
 public:
  InputGradient(at::Tensor& dX, const at::Tensor& dY, const at::Tensor& packed)
      : dX_(dX),
        weight_(packed, dX.defined() ? dX.size(1) : 0),
        dY_(dY, weight_.rowsOfBlock()),
        products_(weight_.rowsOfBlock() * kTile) {}

  int64_t rowsOfBlock() const { return weight_.rowsOfBlock(); }

  void compute(int64_t first, int64_t rows) {
    if (!dX_.defined()) return;
    if (dX_.scalar_type() == at::kFloat)
      computeInto(Rows<float>(dX_), first, rows);
    else
      computeInto(Rows<T>(dX_), first, rows);
  }

 private:
  template <typename X>
  void computeInto(const Rows<X>& target, int64_t first, int64_t rows) {
    weight_.forEach(dY_.load(first, rows), dY_.ld(), rows, products_.data(),
                    [&](int64_t column, int64_t columns, const float* products) {
                      for (int64_t i = 0; i < rows; ++i)
                        kernels::narrow(target[first + i] + column, products + i * kTile, columns);
                    });
  }

  at::Tensor& dX_;
  Panels<T> weight_;
  RowBlocks<T> dY_;
  Scratch<float> products_;
};

}  // namespace bertune
