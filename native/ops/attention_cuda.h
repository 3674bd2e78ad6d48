// Self-attention by LibTorch's kernels for NVIDIA GPUs: FlashAttention 2 for bfloat16, CUTLASS's
// memory-efficient attention for float32. Neither keeps anything of size length x length.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "core/random.h"
#include "ops/attention.h"

namespace bertune {

// Whether the kernels take such heads on a GPU of that compute capability (major, minor), gradients and
// dropout included.
bool hasCudaAttention(at::ScalarType type, int64_t headSize, std::pair<int, int> capability);

// As `attention`. `offsets`: cuSeqlens once more, int32 on the device of the input.
//
// The kernels draw their dropout masks from LibTorch's generator, which costs something of what ours have:
// masks differ from those of the CPU, and those of bfloat16 depend on which sequences share a micro-batch.
// What stays is that they are a pure function of (seed, step, layer, first row) and the batch: a repeated or
// resumed run, and a layer that runs again for its backward pass, get the same on the same kind of device.
at::Tensor attentionCuda(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                         const at::Tensor& offsets, const Mask& mask);

}  // namespace bertune
