// Self-attention over a packed batch: softmax(q k^T / sqrt(d)) with dropout, times v, sequence by sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/random.h"

namespace bertune {

// Relative positions of disentangled attention (ops/attention_disentangled.h): the keys and queries of
// distances, [rows, heads, head size] each, undefined for a part that the scores do not have; and the row of
// each distance query - key, from -(longest - 1) to longest - 1. The scores are then divided by
// sqrt(d * (1 + parts)).
struct RelativePositions {
  at::Tensor keys = {}, queries = {};
  std::vector<int32_t> rows = {};

  int64_t parts() const { return (keys.defined() ? 1 : 0) + (queries.defined() ? 1 : 0); }
};

// What attends to what. Either `projected` holds queries, keys and values of all tokens, [tokens, 3, heads,
// head size], or `query` holds one query for each sequence, that of its first token, [sequences, heads, head
// size], and `projected` keys and values, [tokens, 2, heads, head size].
struct AttentionInput {
  at::Tensor projected;
  at::Tensor query = {};
  std::optional<int64_t> window = {};  // the most tokens between a query and a key that it sees
  at::Tensor rotaryTable = {};         // of rotary positions; undefined for none
  // Added to the scores by the distance key - query, float32 [heads, 2 * longest - 1], or more to both sides;
  // differentiable. Undefined for none.
  at::Tensor distanceBias = {};
  RelativePositions relative = {};
  // What the host would have to know of the lengths, where it is known otherwise: the position of each token
  // in its sequence, int64 [tokens], and a number of tokens that no sequence exceeds.
  at::Tensor positions = {};
  int64_t longest = 0;

  bool isFirstOnly() const { return query.defined(); }
  int64_t heads() const { return projected.size(2); }
  int64_t headSize() const { return projected.size(3); }
};

// Rotary position embedding (Su et al. 2021, arXiv 2104.09864): the values j and j + d / 2 of a query or key
// of size d are a pair, which is turned by position * theta^(-2j / d). The cosines and sines for the first
// `positions` of a sequence, float32 [2, positions, headSize / 2].
at::Tensor rotaryTable(double theta, int64_t headSize, int64_t positions, at::Device device);

// The bucket of each distance key - query from 1 - longest to longest - 1, int64 [2 * longest - 1], as in T5
// (Raffel et al. 2020, arXiv 1910.10683): half of the buckets for either side, half of those for a single
// distance each, and the others for distances up to `maxDistance` and beyond in logarithmic steps.
at::Tensor distanceBuckets(int64_t buckets, int64_t maxDistance, int64_t longest, at::Device device);

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

// Self-attention by LibTorch's kernels for NVIDIA GPUs: FlashAttention 2 for bfloat16, CUTLASS's
// memory-efficient attention for float32. Neither keeps anything of size length x length.
//
// Whether the kernels take such heads on a GPU of that compute capability (major, minor), gradients and
// dropout included.
bool hasCudaAttention(at::ScalarType type, int64_t headSize, std::pair<int, int> capability);

// As `attention`, but for rotary positions. `offsets`: cuSeqlens once more, int32 on the device of the input.
// Of the lengths the host needs a bound only: the longest, or `input.longest` where that is more. mostScores:
// of one call with dropout in float32, whose kernels number them in 32 bits.
//
// The kernels draw their dropout masks from LibTorch's generator, which costs something of what ours have:
// masks differ from those of the CPU, and depend on which sequences share a micro-batch.
// What stays is that they are a pure function of (seed, step, layer, first row) and the batch: a repeated or
// resumed run, and a layer that runs again for its backward pass, get the same on the same kind of device.
at::Tensor attentionCuda(const AttentionInput& input, const std::vector<int32_t>& cuSeqlens,
                         const at::Tensor& offsets, const Mask& mask, int64_t mostScores = INT32_MAX);

}  // namespace bertune
