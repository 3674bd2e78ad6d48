#include "ops/row_kernels.h"

#include <ATen/Version.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>

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

const RowKernels& kernelsOf(InstructionSet set) {
  switch (set) {
#ifdef BERTUNE_X86_VARIANTS
    case InstructionSet::Avx512BFloat16:
      return avx512_bf16::rowKernels();
    case InstructionSet::Avx512:
      return avx512::rowKernels();
    case InstructionSet::Avx2:
      return avx2::rowKernels();
#endif
    default:
      return baseline::rowKernels();
  }
}

}  // namespace

InstructionSet instructionSet() {
  static const InstructionSet detected = detect();
  return detected;
}

const char* nameOf(InstructionSet set) {
  switch (set) {
    case InstructionSet::Avx512BFloat16:
      return "avx512_bf16";
    case InstructionSet::Avx512:
      return "avx512";
    case InstructionSet::Avx2:
      return "avx2";
    case InstructionSet::Baseline:
      break;
  }
  return "baseline";
}

const RowKernels& chosenKernels = kernelsOf(instructionSet());

}  // namespace bertune
