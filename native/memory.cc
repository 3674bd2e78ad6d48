#include "memory.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace bertune {

bool isOutOfMemory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  // The CPU's allocator has no type of its own for it (c10/core/impl/alloc_cpu.cpp).
  return std::string_view(error.what()).find("DefaultCPUAllocator") != std::string_view::npos;
}

}  // namespace bertune
