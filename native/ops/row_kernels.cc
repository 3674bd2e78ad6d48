#include "ops/row_kernels.h"

#include <ATen/Version.h>

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

InstructionSet detect() {
#ifdef BERTUNE_X86_VARIANTS
  const std::string capability =
      at::get_cpu_capability();  // what the processor has, capped by the environment
  if (capability == "AVX512" && __builtin_cpu_supports("x86-64-v4"))
    return __builtin_cpu_supports("avx512bf16") ? InstructionSet::Avx512BFloat16 : InstructionSet::Avx512;
  const bool hasAvx2 = capability == "AVX512" || capability == "AVX2";
  if (hasAvx2 && __builtin_cpu_supports("x86-64-v3")) return InstructionSet::Avx2;
#endif
  return InstructionSet::Baseline;
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

const RowKernels& chosenKernels = kernelsOf(instructionSet());

}  // namespace bertune
