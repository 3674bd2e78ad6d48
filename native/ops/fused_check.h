// Whether the fused kernels of a device compute what LibTorch's operators compute there: some hundred small
// launches at their first use. What compiles and runs may still be wrong on a GPU that nobody has tried.
#pragma once

#include <c10/core/Device.h>

#include "cuda/kernels.h"

namespace bertune::fused {

// Runs each kernel on small tensors. Throws std::runtime_error that names what differs. Waits for the device.
void check(const cuda::Kernels& kernels, c10::Device device);

}  // namespace bertune::fused
