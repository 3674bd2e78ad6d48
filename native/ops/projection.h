// Queries, keys and values of one projection around attention on a GPU: turned by their positions, and their
// gradients as the one tensor that the projection wants.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace bertune {

// projected: [tokens, parts, heads, head size], queries and keys before values. All parts but the last turned
// by `table` (rotaryTable() of attention.h) at `positions`, int64 [tokens], which count from 0 in each
// sequence. Differentiable. Wants hasFusedRotation, and takes the memory of `projected`, which nothing may
// need for a gradient.
bool hasFusedRotation(const at::Tensor& projected);
at::Tensor rotatedProjection(const at::Tensor& projected, const at::Tensor& table,
                             const at::Tensor& positions);

// The gradients of the parts, [tokens, heads, head size or more] each, as [tokens, parts, heads, headSize].
at::Tensor joinedParts(const std::vector<at::Tensor>& parts, int64_t headSize);

}  // namespace bertune
