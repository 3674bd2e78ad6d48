// Which devices have fused kernels: loaded once, and held against LibTorch's operators before they are used.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "cuda/kernels.h"

namespace bertune::fused {

// Those of a CUDA device, made when they are first asked for, on a thread where LibTorch has used the device.
// Null on other devices, where they cannot be loaded or compute something else than LibTorch's operators, and
// where BERTUNE_FUSED_KERNELS is 0: LibTorch's operators do the same work in more passes.
const cuda::Kernels* kernelsOf(c10::Device device);
// Why a CUDA device that was asked has none, or will compile them again in the next process, in one line;
// empty where none was asked, or all is well.
std::string kernelsProblem();
// For tests: what kernelsOf gives for the CPU from now on.
void setKernelsOfCpu(const cuda::Kernels* kernels);

}  // namespace bertune::fused
