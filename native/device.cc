#include "device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <stdexcept>

namespace bertune {
namespace {

std::string loadProblem;  // written once by loadCuda, when the addon is loaded

std::string libraryFolder() {
  Dl_info info;
  // Any function of libtorch_cpu.so tells where that library lies.
  if (dladdr(reinterpret_cast<const void*>(&at::detail::getCUDAHooks), &info) == 0) return "";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

}  // namespace

void loadCuda() {
  if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) {
    loadProblem = "no NVIDIA driver was found (libcuda.so.1 cannot be opened)";
  } else if (dlopen((libraryFolder() + "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    loadProblem =
        std::string("LibTorch's CUDA library cannot be opened: ") + (reason == nullptr ? "" : reason);
  }
}

int64_t cudaDevices() { return loadProblem.empty() ? at::detail::getCUDAHooks().deviceCount() : 0; }

bool cpuHasBFloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");  // every CPU with amx_bf16 has it too
#else
  return false;
#endif
}

std::string cudaProblem() {
  if (!loadProblem.empty()) return loadProblem;
  return cudaDevices() > 0 ? "" : "the NVIDIA driver reports no device";
}

c10::Device deviceNamed(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name != "cuda")
    throw std::invalid_argument("Expected 'cpu' or 'cuda' for device but received \"" + name + "\"");
  const std::string problem = cudaProblem();
  if (!problem.empty()) throw std::invalid_argument("device 'cuda' cannot be used: " + problem);
  at::globalContext().lazyInitDevice(c10::kCUDA);
  return c10::Device(c10::kCUDA, 0);
}

}  // namespace bertune
