// Self-attention over a packed batch: softmax(q k^T / sqrt(d)) with dropout, times v, sequence by sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/random.h"

namespace bertune {

// What attends to what. Either `projected` holds queries, keys and values of all tokens, [tokens, 3, heads,
// head size], or `query` holds one query for each sequence, that of its first token, [sequences, heads, head
// size], and `projected` keys and values, [tokens, 2, heads, head size].
struct AttentionInput {
  at::Tensor projected;
  at::Tensor query = {};

  bool isFirstOnly() const { return query.defined(); }
  int64_t heads() const { return projected.size(2); }
  int64_t headSize() const { return projected.size(3); }
};

// cuSeqlens: sequences + 1 offsets, and `offsets` the same as int32 on the device, which only CUDA's kernels
// read. Returns [tokens or sequences, heads * head size]. Nothing of size length x length is stored: scores
// and mask are recomputed in the backward pass. Mask rows are counted token * heads + head over the optimizer
// step, columns by key position.
at::Tensor attention(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                     const at::Tensor& offsets, const Mask& mask);

// The same from ATen operators and autograd alone: for other devices and types, and what the kernels are held
// against.
at::Tensor attentionReference(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                              const Mask& mask);

}  // namespace bertune
