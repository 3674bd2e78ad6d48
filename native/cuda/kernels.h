// The fused kernels of ops/cuda on a device: compiled for it or read from the cache, loaded, and launched on
// LibTorch's current stream.
#pragma once

#include <c10/core/Device.h>

#include <array>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cuda/libraries.h"

namespace bertune::cuda {

struct Grid {
  int64_t x, y = 1;
};

class Kernels {
 public:
  struct Source {
    Lookup driver, compiler;
    std::filesystem::path cache;
    std::pair<int, int> capability;
    std::string text;
  };
  // Throws std::runtime_error, with one line for people, where there is no way to run kernels.
  Kernels(c10::Device device, const Source& source);

  // Why their code is not in the cache, in one line; empty where it is.
  const std::string& cacheProblem() const { return cacheProblem_; }

  // Returns when the kernel is queued. The types of the arguments are exactly those of the kernel.
  template <typename... Arguments>
  void launch(const char* name, Grid grid, int64_t threads, const Arguments&... arguments) const {
    std::array<void*, sizeof...(Arguments)> places{
        const_cast<void*>(static_cast<const void*>(&arguments))...};
    launchWith(name, grid, threads, places.data());
  }

 private:
  void launchWith(const char* name, Grid grid, int64_t threads, void** arguments) const;
  void* function(const char* name) const;

  c10::Device device_;
  Driver driver_;
  std::string cacheProblem_;
  void* module_ = nullptr;  // for the life of the process
  mutable std::mutex mutex_;
  mutable std::map<std::string, void*, std::less<>> functions_;
};

}  // namespace bertune::cuda
