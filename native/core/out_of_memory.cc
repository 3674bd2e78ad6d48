#include "core/out_of_memory.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace bertune {

bool isOutOfMemory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  // All others have no types of their own for it.
  const std::string_view what = error.what();
  for (const char* text : {
           "DefaultCPUAllocator",           // LibTorch's allocator for the CPU (c10/core/impl/alloc_cpu.cpp)
           "could not create a primitive",  // oneDNN
           "CUDA error: out of memory",     // the driver: modules, streams, events
           "CUBLAS_STATUS_ALLOC_FAILED"     // cuBLAS
       })
    if (what.find(text) != std::string_view::npos) return true;
  return false;
}

}  // namespace bertune
