// For tests, on machines without a GPU: the functions of NVIDIA's driver and of NVRTC that kernels need. Code
// is the source once more, and a kernel runs on the CPU when it is launched (kernel_shim.h), on tensors of
// the CPU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "tests/kernel_shim.h"

namespace bertune::standin {

// What goes wrong, and what was done, since it was last set to {}.
struct Cuda {
  bool hasDriver = true, hasCompiler = true;
  bool compiles = true;
  bool loads = true;      // else modules are refused, as by a driver that is older than the compiler
  std::string refused{};  // code that is refused in particular
  bool launches = true;
  std::string faulty{};  // a kernel that does nothing
  int compilations = 0, modules = 0, kernels = 0;
};
extern Cuda cuda;

cuda::Lookup driver();
cuda::Lookup compiler();

// All kernels, without a cache.
const cuda::Kernels& kernels();
std::vector<std::string> kernelNames();

}  // namespace bertune::standin
