// LayerNorm(dropout(y) + residual), below autograd, where a layer has no tiles: by a fused kernel where the
// device has them, else by LibTorch's operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <vector>

#include "core/random.h"

namespace bertune {

struct AddNormResult {
  at::Tensor out;                 // float32
  std::vector<at::Tensor> saved;  // kAddNormSaved tensors for the backward pass, some undefined
};
constexpr size_t kAddNormSaved = 4;

// y: [rows, columns] of the compute type; residual, weight and bias float32.
AddNormResult addNorm(const at::Tensor& y, const at::Tensor& residual, const at::Tensor& weight,
                      const std::optional<at::Tensor>& bias, double epsilon, const Mask& mask);

// Which of the sums over rows are wanted.
struct AddNormWanted {
  bool weight, bias, sumOfY;
};
struct AddNormGradients {
  at::Tensor residual;              // float32
  at::Tensor y;                     // of `type`
  at::Tensor weight, bias, sumOfY;  // float32; undefined where they are not wanted
};
AddNormGradients addNormBackward(const at::Tensor& dOut, const std::vector<at::Tensor>& saved,
                                 const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                 const Mask& mask, at::ScalarType type, AddNormWanted wanted);

}  // namespace bertune
