// Which errors mean that memory ran out. The texts are those of LibTorch, oneDNN, the CUDA driver and cuBLAS.
#include "core/out_of_memory.h"

#include <c10/util/Exception.h>

#include <new>
#include <stdexcept>

#include "ops/attention_cuda.h"
#include "tests/comparison.h"
#include "tests/operators_test.h"

namespace bertune {

void testOutOfMemory() {
  const auto check = [](const std::exception& error, bool expected) {
    report(std::string("out of memory or not: ") + error.what(), isOutOfMemory(error) == expected ? 0 : 1, 0);
  };
  check(std::bad_alloc(), true);
  check(c10::OutOfMemoryError({"", "", 0}, "a tensor"), true);
  for (const char* text : {"DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.",
                           "could not create a primitive", "CUDA error: out of memory",
                           "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"})
    check(std::runtime_error(text), true);
  for (const char* text : {"CUDA error: an illegal memory access was encountered",
                           "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
                           "mat1 and mat2 shapes cannot be multiplied"})
    check(std::runtime_error(text), false);
}

// FlashAttention 2 runs from compute capability 8.0 on, with heads of up to 256 (LibTorch's sdp_utils.cpp);
// of heads above 192 it has no backward pass with dropout on 8.6, 8.7, 8.9 and 12.x.
void testCudaCapabilities() {
  const auto check = [](at::ScalarType type, int64_t headSize, std::pair<int, int> capability,
                        bool expected) {
    report("attention for CUDA of " + std::to_string(headSize) + " " + c10::toString(type) + " on " +
               std::to_string(capability.first) + "." + std::to_string(capability.second),
           hasCudaAttention(type, headSize, capability) == expected ? 0 : 1, 0);
  };
  for (const auto& old : {std::pair(6, 1), std::pair(7, 0), std::pair(7, 5)}) {
    check(at::kBFloat16, 64, old, false);
    check(at::kFloat, 64, old, true);
  }
  for (const auto& large : {std::pair(8, 0), std::pair(9, 0), std::pair(10, 0)})
    check(at::kBFloat16, 256, large, true);
  for (const auto& small : {std::pair(8, 6), std::pair(8, 9), std::pair(12, 0)}) {
    check(at::kBFloat16, 192, small, true);
    check(at::kBFloat16, 200, small, false);
  }
  check(at::kBFloat16, 264, {9, 0}, false);
}

}  // namespace bertune
