// For tests, on machines without a GPU: the functions of NVIDIA's driver and of NVRTC that kernels need. Code
// is the source once more, and a kernel runs on the CPU when it is launched (kernel_shim.h), on tensors of
// the CPU.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/cubins.h"
#include "cuda/kernels.h"
#include "tests/kernel_shim.h"

namespace bertune::standin {

// A launch with its arguments, as a graph has it.
struct Launch {
  std::string name;
  shim::Index grid;
  unsigned threads;
  std::function<void()> kernel;

  void run() const { shim::run(name, grid, threads, kernel); }
};

// What goes wrong, and what was done, since it was last set to {}.
struct Cuda {
  bool hasDriver = true, hasCompiler = true;
  bool compiles = true;
  bool loads = true;      // else modules are refused, as by a driver that is older than the compiler
  std::string refused{};  // code that is refused in particular
  bool launches = true;
  std::string faulty{};                      // a kernel that does nothing
  std::vector<Launch>* recording = nullptr;  // where launches go instead of running; null: they run
  int compilations = 0, modules = 0, kernels = 0;
};
extern Cuda cuda;

cuda::Lookup driver();
cuda::Lookup compiler();

std::vector<std::string> kernelNames();

// All kernels on the CPU, without a cache: into a folder that cannot be.
inline const cuda::Kernels& kernels() {
  static const cuda::Kernels all(c10::Device(c10::kCPU),
                                 {driver(), compiler(), "/dev/null/kernels", {9, 0}, cuda::kernelSource()});
  return all;
}

}  // namespace bertune::standin
