// Memory: where tensors and working memory come from, copies onto a device, and what an error says of it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>

#include <cstdint>
#include <exception>
#include <vector>

namespace bertune {

// Installs LibTorch's allocator for CPU tensors with a cache: large blocks are kept when a tensor dies, and
// serve the next one. A training step asks for the same hundreds of megabytes again and again; from the
// operating system each page of them would come with a page fault and full of zeros, which is a tenth of the
// step. To be called before any tensor is made; calling it again does nothing.
void installAllocator();

// Gives the blocks that serve no tensor back to the operating system, and those of a GPU to its driver.
void releaseCachedMemory();

// Working memory of a thread for the time of one operator, from LibTorch's allocator and not initialised.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(size) * sizeof(T))) {}
  T* data() { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

// A host array as a one-dimensional tensor of its own type on the device, without waiting for it: through
// pinned memory, which LibTorch keeps and reuses once the copy is done.
at::Tensor toDevice(const std::vector<int32_t>& values, at::Device device);
at::Tensor toDevice(const std::vector<float>& values, at::Device device);

// Whether the error means that memory ran out.
bool isOutOfMemory(const std::exception& error);

}  // namespace bertune
