// Rows of a table by their numbers, differentiable in the table, and noise on them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "core/batch.h"
#include "core/parameters.h"
#include "core/random.h"
#include "ops/linear.h"

namespace bertune {

// float32 [tokens, width]. table: float32 [rows, width], a leaf; its gradient is added up in `gradient`,
// without a tensor of the table's size in between, or goes to autograd where that is null. `padId` gets none.
at::Tensor embedding(const at::Tensor& table, const GradientPointer& gradient, const at::Tensor& ids,
                     std::optional<int64_t> padId = std::nullopt);

// A table and what reads it.
struct EmbeddingTable {
  at::Tensor values;              // undefined where a model has none
  GradientPointer gradient = {};  // as above
  at::Tensor ids = {};            // int64 [tokens]
};

struct EmbeddingInput {
  EmbeddingTable words, types, positions;
  std::optional<int64_t> padId = {};  // of the words
  std::optional<NormWeights> norm = {};
  at::Tensor noise = {};  // of NEFTune on the words: its magnitudes; undefined for none
  Mask noiseKey = {}, mask = {};
};

// dropout(LayerNorm(words + types + positions)), float32 [tokens, width]: by fused kernels where the device
// has them, else by the operators above and below.
at::Tensor embeddings(const EmbeddingInput& input);

// NEFTune (Jain et al. 2023, arXiv 2310.05914): noise on the word embeddings in training.
// Uniform in +-alpha / sqrt(L * columns), where L is the length of the token's own sequence (transformers
// takes the padded length, which depends on the batch): those bounds, float32 [tokens, 1], and the noise,
// [tokens, columns]. `key` as of a dropout mask.
at::Tensor neftuneMagnitudes(const Batch& batch, int64_t columns, double alpha);
at::Tensor neftuneNoise(const at::Tensor& magnitudes, int64_t columns, const Mask& key);

}  // namespace bertune
