// Dropout with a residual: y = dropout(x) + residual, on any device, differentiable in both.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/random.h"

namespace torch::autograd {
struct AutogradContext;
}

namespace bertune {

// x and residual: [rows, columns], of one type. An undefined residual is left out.
at::Tensor dropoutAdd(const at::Tensor& x, const at::Tensor& residual, const Mask& mask);

// What a mask keeps, as booleans [rows, columns], where no fused kernel (fused.h) applies it: on the CPU by
// its kernel, the same elements everywhere; on other devices LibTorch's generator draws. Our hash would take
// some twenty passes over integers there, and drawing is one that writes a byte an element. What it costs:
// masks differ from the CPU's and depend on how a step is cut into micro-batches, as those of attention do
// there anyhow. A repeated or resumed run gets the same on the same kind of device.
at::Tensor keptElements(const Mask& mask, int64_t rows, int64_t columns, at::Device device);

// dropoutAdd with elements that were drawn; not differentiable.
at::Tensor dropoutAddDrawn(const at::Tensor& x, const at::Tensor& residual, const Mask& mask);

// The mask as a float tensor [rows, columns] of 0 and mask.scale, from ATen operators only:
// the reference of the kernels, whose bits it has, and part of attention's.
at::Tensor maskTensor(const Mask& mask, int64_t rows, int64_t columns, at::Device device);

// The hashes that masks are made of, int64 [rows, columns] from 0 to 2^32 - 1.
at::Tensor hashTensor(const Mask& mask, int64_t rows, int64_t columns, at::Device device);

// What a backward pass needs to compute the same mask again.
void saveMask(torch::autograd::AutogradContext* context, const Mask& mask);
Mask savedMask(torch::autograd::AutogradContext* context);

}  // namespace bertune
