// Working memory of a thread for the time of one operator, from LibTorch's allocator and not initialised.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <cstdint>

namespace bertune {

template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(size) * sizeof(T))) {}
  T* data() { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

}  // namespace bertune
