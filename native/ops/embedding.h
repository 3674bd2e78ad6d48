// Rows of a table by their numbers, differentiable in the table, and noise on them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "core/batch.h"
#include "core/parameters.h"
#include "core/random.h"

namespace bertune {

// float32 [tokens, width]. table: float32 [rows, width], a leaf; its gradient is added up in `gradient`,
// without a tensor of the table's size in between, or goes to autograd where that is null. `padId` gets none.
at::Tensor embedding(const at::Tensor& table, const GradientPointer& gradient, const at::Tensor& ids,
                     std::optional<int64_t> padId = std::nullopt);

// NEFTune (Jain et al. 2023, arXiv 2310.05914): noise on the word embeddings in training.
// float32 [tokens, columns]: uniform in +-alpha / sqrt(L * columns), where L is the length of the token's own
// sequence (transformers takes the padded length, which depends on the batch). `key` as of a dropout mask.
at::Tensor neftuneNoise(const Batch& batch, int64_t columns, double alpha, const Mask& key);

}  // namespace bertune
