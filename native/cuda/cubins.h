// Kernels as the code of one GPU architecture: compiled once on a machine, then read from the user's cache.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "cuda/libraries.h"

namespace bertune::cuda {

// All texts of ops/cuda as one program, built into the addon.
const char* kernelSource();

struct Compiled {
  std::string cubin;
  std::string log;  // with the registers and spills of each kernel
};

// For a compute capability, major and minor. Throws std::runtime_error with the compiler's first error.
Compiled compile(const Compiler& compiler, const std::string& source, std::pair<int, int> capability);

// Files in a folder, or nothing where its path is empty. One that is damaged is none: what it holds can be
// compiled again.
class CubinCache {
 public:
  explicit CubinCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // The name depends on all that the code does: source, compiler and architecture.
  static std::string nameOf(const std::string& source, std::pair<int, int> compilerVersion,
                            std::pair<int, int> capability);
  std::optional<std::string> read(const std::string& name) const;
  // Whole, or not at all. Throws std::runtime_error with the reason.
  void write(const std::string& name, const std::string& cubin) const;

 private:
  std::filesystem::path folder_;
};

// $XDG_CACHE_HOME/bertune/kernels, or in ~/.cache. Empty where neither variable has an absolute path.
std::filesystem::path cubinFolder();

}  // namespace bertune::cuda
