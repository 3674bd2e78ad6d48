// NEFTune (Jain et al. 2023, arXiv 2310.05914): noise on the word embeddings in training.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/batch.h"
#include "core/random.h"

namespace bertune {

// float32 [tokens, columns]: uniform in +-alpha / sqrt(L * columns), where L is the length of the token's own
// sequence (transformers takes the padded length, which depends on the batch). `key` as of a dropout mask.
at::Tensor neftuneNoise(const Batch& batch, int64_t columns, double alpha, const Mask& key);

}  // namespace bertune
