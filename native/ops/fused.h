// The fused kernels of ops/cuda with tensors for arguments: what LibTorch's operators do in many passes over
// memory, in one. Each function says what it cannot do; whoever calls asks first. `T` is the compute type,
// float32 or bfloat16; whatever has no type named is float32, and all is contiguous. Nothing waits for the
// device.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/spec.h"
#include "cuda/kernels.h"

namespace bertune::fused {

using cuda::Kernels;

// Where sums over rows go: [columns]. Undefined where they are not wanted.
struct Sums {
  at::Tensor values = {};
  bool adds = false;  // to what is there
};

// Rows of so many columns: the first for whatever has sums over a row, the second for the rest.
bool takesNormalized(int64_t columns);
bool takes(int64_t columns);

struct NormArguments {
  at::Tensor weight;
  at::Tensor bias;  // undefined for none
  double epsilon;
};

struct Wanted {
  bool sum, out, rounded;
};

// sum = dropout(y) + residual; out = LayerNorm(sum), and `rounded` the same in bfloat16. statistics: [rows,
// 2], mean and 1 / standard deviation.
struct Normalized {
  at::Tensor sum, out, rounded, statistics;
};

// y: [rows, columns] of T; residual, undefined for none. Wants takesNormalized(columns).
Normalized addNorm(const Kernels& kernels, const at::Tensor& y, const at::Tensor& residual,
                   const NormArguments& norm, const Mask& mask, Wanted wanted);

struct NormGradients {
  at::Tensor out, outToo = {};  // of out, which add up; the second may be undefined
  at::Tensor sum = {};          // of sum, where something else reads it too; or undefined
};
struct AddNormBack {
  at::Tensor dSum;  // of the residual
  at::Tensor dY;    // of `type`, undefined where that is left out
};
// sums: of LayerNorm's weight and bias, and of dY, the gradient of the bias that y came with.
AddNormBack addNormBackward(const Kernels& kernels, const NormGradients& gradients, const at::Tensor& sum,
                            const at::Tensor& statistics, const at::Tensor& weight, const Mask& mask,
                            std::optional<at::ScalarType> type, const std::array<Sums, 3>& sums);

// dropout(y) + residual without a norm, and the gradient of y in T. dropoutOf leaves residual and float32
// out: both ways bfloat16. All want takes(columns).
at::Tensor dropoutAdd(const Kernels& kernels, const at::Tensor& y, const at::Tensor& residual,
                      const Mask& mask);
at::Tensor dropoutAddBackward(const Kernels& kernels, const at::Tensor& dOut, const Mask& mask,
                              at::ScalarType type, const Sums& sums);
at::Tensor dropoutOf(const Kernels& kernels, const at::Tensor& x, const Mask& mask);

// dropout(activation(z)), or dropout(activation(left half of z) * right half), of T as z is; `columns` are
// those of the result, of which `takes` must hold.
struct ActivationArguments {
  Activation kind;
  bool isGated;
};
at::Tensor activated(const Kernels& kernels, ActivationArguments activation, const at::Tensor& z,
                     const Mask& mask);
// The gradient of z, and its sums.
at::Tensor activatedBackward(const Kernels& kernels, ActivationArguments activation, const at::Tensor& dOut,
                             const at::Tensor& z, const Mask& mask, const Sums& sums);

// Rotary positions: `table` as of rotaryTable() in attention.h, and positions int64 [tokens], counted in each
// sequence from 0.
struct Rotary {
  at::Tensor table, positions;
};
bool takesHeads(int64_t headSize, bool isRotary);
// projected: [tokens, parts, heads, head size] of T; all parts but the last are turned where they are.
void rotate(const Kernels& kernels, at::Tensor& projected, const Rotary& rotary);
// The gradients of two or three parts, [tokens, heads, head size or more] each, with the same strides, as
// [tokens, parts, heads, headSize], and turned back where there is a table.
at::Tensor packProjection(const Kernels& kernels, const std::vector<at::Tensor>& parts, int64_t headSize,
                          const std::optional<Rotary>& rotary);

// Embeddings: tables of words, token types and positions [any, columns] with int64 numbers [tokens]; those of
// types and positions may be undefined. Wants takesNormalized(columns).
struct EmbeddingArguments {
  std::array<at::Tensor, 3> tables, numbers;
  std::optional<NormArguments> norm;
  at::Tensor noise = {};  // magnitudes of NEFTune's, [tokens]; undefined for none
  Mask noiseMask = {};
};
// dropout(LayerNorm(sum of the rows)). `rounded` is bfloat16. Sum and statistics are for the backward pass,
// which is addNormBackward of the gradient after dropoutAddBackward, and then embeddingBackward of dSum.
Normalized embedded(const Kernels& kernels, const EmbeddingArguments& in, const Mask& mask, Wanted wanted);

// Adds to the rows that the numbers name, and to no other. gradients: in the shapes of the tables, undefined
// where none is wanted; `padId` of the first gets none.
void embeddingBackward(const Kernels& kernels, const at::Tensor& dSum,
                       const std::array<at::Tensor, 3>& numbers, const std::array<at::Tensor, 3>& gradients,
                       std::optional<int64_t> padId);

}  // namespace bertune::fused
