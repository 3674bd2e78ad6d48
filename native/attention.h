// Self-attention over a packed batch: softmax(q k^T / sqrt(d)) with dropout, times v, sequence by sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "random.h"

namespace bertune {

// Who asks: every token, or only the first of each sequence. Of the last layer a classifier reads nothing
// else.
enum class Queries { All, First };

// qkv: [tokens, 3, heads, headSize]; cuSeqlens: sequences + 1 offsets, and `offsets` the same as int32 on the
// device of qkv, which only CUDA's kernels read. Returns [tokens or sequences, heads *
// headSize]. Nothing of size length x length is stored: scores and mask are recomputed in the backward pass.
// Mask rows are counted token * heads + head over the optimizer step, columns by key position.
at::Tensor attention(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const at::Tensor& offsets,
                     const Mask& mask, Queries queries);

// The same from ATen operators and autograd alone: the fallback of other devices and the kernel's yardstick.
at::Tensor attentionComposed(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                             Queries queries);

}  // namespace bertune
