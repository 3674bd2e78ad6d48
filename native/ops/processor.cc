#include "ops/processor.h"

#include <ATen/Version.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "ops/row_kernels.h"

namespace bertune {

namespace baseline {
const RowKernels& rowKernels();
}
namespace avx2 {
const RowKernels& rowKernels();
}
namespace avx512 {
const RowKernels& rowKernels();
}
namespace avx512_bf16 {
const RowKernels& rowKernels();
}

namespace {

struct Choice {
  const char* instructionSet;
  const RowKernels& (*rowKernels)();
  Tiling float32, bfloat16;
};

constexpr Tiling kSquares{kTile, kTile};
// The float32 kernels of AVX2 hold 3 rows x 32 columns in registers. Of 64 columns side by side they would
// read every other 32, which uses half of the first-level cache.
constexpr Tiling kStrips{32, 3 * kTile};

enum class InstructionSet { Baseline, Avx2, Avx512, Avx512BFloat16 };

// In the order of InstructionSet.
constexpr Choice kChoices[] = {
    {"baseline", baseline::rowKernels, kSquares, kSquares},
#ifdef BERTUNE_X86_VARIANTS
    {"avx2", avx2::rowKernels, kStrips, kSquares},
    {"avx512", avx512::rowKernels, kSquares, kSquares},
    {"avx512_bf16", avx512_bf16::rowKernels, kSquares, kSquares},
#endif
};

#ifdef BERTUNE_X86_VARIANTS
InstructionSet processor() {
  if (__builtin_cpu_supports("x86-64-v4"))
    return __builtin_cpu_supports("avx512bf16") ? InstructionSet::Avx512BFloat16 : InstructionSet::Avx512;
  return __builtin_cpu_supports("x86-64-v3") ? InstructionSet::Avx2 : InstructionSet::Baseline;
}

// What ATEN_CPU_CAPABILITY leaves to LibTorch's own kernels.
InstructionSet capOfLibTorch() {
  const std::string capability = at::get_cpu_capability();
  if (capability == "AVX512") return InstructionSet::Avx512BFloat16;
  return capability == "AVX2" ? InstructionSet::Avx2 : InstructionSet::Baseline;
}

// What ONEDNN_MAX_CPU_ISA leaves to the matrix products.
InstructionSet capOfOneDnn() {
  const char* given = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (given == nullptr) given = std::getenv("DNNL_MAX_CPU_ISA");
  std::string cap = given == nullptr ? "" : given;
  for (char& letter : cap) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  if (cap == "SSE41" || cap == "AVX") return InstructionSet::Baseline;
  if (cap.rfind("AVX2", 0) == 0) return InstructionSet::Avx2;
  if (cap == "AVX512_CORE" || cap == "AVX512_CORE_VNNI") return InstructionSet::Avx512;
  return InstructionSet::Avx512BFloat16;
}
#endif

InstructionSet detect() {
#ifdef BERTUNE_X86_VARIANTS
  return std::min({processor(), capOfLibTorch(), capOfOneDnn()});
#else
  return InstructionSet::Baseline;
#endif
}

int64_t bytesOfBlock() {
  const int64_t cache = sysconf(_SC_LEVEL2_CACHE_SIZE);  // 0 or -1 where it is not known
  return (cache > 0 ? cache : 1 << 20) / 8 * 5;
}

const Choice& chosen = kChoices[static_cast<size_t>(detect())];
const int64_t chosenBytes = bytesOfBlock();

}  // namespace

const RowKernels& chosenKernels = chosen.rowKernels();

const Tiling& tilingOf(at::ScalarType type) {
  return type == at::kBFloat16 ? chosen.bfloat16 : chosen.float32;
}

int64_t blockBytes() { return chosenBytes; }

const char* instructionSet() { return chosen.instructionSet; }

}  // namespace bertune
