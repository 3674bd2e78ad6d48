// Self-attention by LibTorch's kernels for NVIDIA GPUs: FlashAttention 2 for bfloat16, CUTLASS's
// memory-efficient attention for float32. Neither keeps anything of size length x length.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "attention.h"
#include "random.h"

namespace bertune {

// Whether the kernels take such heads.
bool hasCudaAttention(at::ScalarType type, int64_t headSize);

// As `attention`. `offsets`: cuSeqlens once more, int32 on the device of qkv.
//
// The kernels draw their dropout masks from LibTorch's generator, which costs something of what ours have:
// masks differ from those of the CPU, and those of bfloat16 depend on which sequences share a micro-batch.
// What stays is that they are a pure function of (seed, step, layer, first row) and the batch: a repeated or
// resumed run, and a layer that runs again for its backward pass, get the same on the same kind of device.
at::Tensor attentionCuda(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens,
                         const at::Tensor& offsets, const Mask& mask, Queries queries);

}  // namespace bertune
