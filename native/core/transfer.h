// Host arrays onto the device without waiting for it: through pinned memory, which LibTorch keeps and reuses
// once the copy is done.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace bertune {

// One-dimensional, of the values' own type.
at::Tensor toDevice(const std::vector<int32_t>& values, at::Device device);
at::Tensor toDevice(const std::vector<float>& values, at::Device device);

}  // namespace bertune
