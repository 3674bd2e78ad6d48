#include "memory.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace bertune {

bool isOutOfMemory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  // The CPU's allocator (c10/core/impl/alloc_cpu.cpp) and oneDNN have no types of their own for it.
  const std::string_view what = error.what();
  return what.find("DefaultCPUAllocator") != std::string_view::npos ||
         what.find("could not create a primitive") != std::string_view::npos;
}

}  // namespace bertune
