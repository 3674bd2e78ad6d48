// LayerNorm(dropout(y) + residual) and its parts, below autograd, where a layer has no tiles: by a fused
// kernel where the device has them, else by LibTorch's operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <vector>

#include "core/random.h"

namespace bertune {

struct AddNormResult {
  at::Tensor sum, out;            // float32
  at::Tensor rounded;             // out in bfloat16 where the kernel gives it, else undefined
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
// outputs: the gradients of out, of out where something else reads it too, and of the sum; each may be
// undefined.
AddNormGradients addNormBackward(const std::array<at::Tensor, 3>& outputs,
                                 const std::vector<at::Tensor>& saved, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias, const Mask& mask, at::ScalarType type,
                                 AddNormWanted wanted);

// LayerNorm of a float32 x alone, by a fused kernel; whether there is one says hasFusedNorm. Its result has
// no sum, which is x.
bool hasFusedNorm(const at::Tensor& x);
AddNormResult fusedNorm(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                        double epsilon, at::ScalarType compute);
// The gradient of x is that of the residual; there is none of y.
AddNormGradients fusedNormBackward(const std::array<at::Tensor, 3>& outputs,
                                   const std::vector<at::Tensor>& saved, const at::Tensor& weight,
                                   AddNormWanted wanted);

// dropout(y) + residual in float32, and from its gradient that of y in y's type, with its sums over rows
// where they are wanted.
at::Tensor addOf(const at::Tensor& y, const at::Tensor& residual, const Mask& mask, at::Tensor& kept);
struct AddGradients {
  at::Tensor y, sumOfY;
};
AddGradients addBackward(const at::Tensor& dOut, const Mask& mask, const at::Tensor& kept,
                         at::ScalarType type, bool wantsSums);

}  // namespace bertune
