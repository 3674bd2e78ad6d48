// Rows of a table by their numbers, differentiable in the table.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "core/parameters.h"

namespace bertune {

// float32 [tokens, width]. table: float32 [rows, width], a leaf; its gradient is added up in `gradient`,
// without a tensor of the table's size in between, or goes to autograd where that is null. `padId` gets none.
at::Tensor embedding(const at::Tensor& table, const GradientPointer& gradient, const at::Tensor& ids,
                     std::optional<int64_t> padId = std::nullopt);

}  // namespace bertune
