#include "core/memory.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>

#include "core/device.h"

namespace bertune {
namespace {

constexpr size_t kSmallest = size_t{64} << 10;  // smaller ones are quick to get, and not kept
constexpr size_t kAlignment = 64;

// A block serves a tensor that is smaller by at most this part. Where there is no room for a new block it may
// be half empty: batches differ in length, and blocks of all sizes would be given back and asked for all the
// time. In the first place it must not be: of what a layer keeps for the backward pass half would be waste.
constexpr size_t kCloseFit = 8, kLooseFit = 1;

// What is kept beyond the most that tensors had at once: this part of it. Without it the blocks of a step
// whose sizes come in another order would be given back and asked for again.
constexpr size_t kSlack = 8;

// In front of the tensor's bytes, so that the pointer alone is enough to give them back.
struct alignas(kAlignment) Header {
  size_t size;  // of the whole block; 0 of one that is not kept
};

class CachingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::kCPU);
    if (bytes == 0) return {nullptr, nullptr, deallocate, cpu};
    Header* block = bytes < kSmallest ? obtainSmall(bytes + sizeof(Header)) : take(bytes + sizeof(Header));
    TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "out of memory: no room for a tensor of ", bytes,
                     " bytes");
    void* data = block + 1;
    return {data, data, deallocate, cpu};
  }

  // LibTorch also takes memory without an owner, and gives it back with this.
  c10::DeleterFnPtr raw_deleter() const override { return deallocate; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    std::memcpy(target, source, bytes);
  }

  void releaseAll() {
    const std::lock_guard<std::mutex> lock(mutex_);
    releaseDownTo(0);
    mostUsed_ = used_;
  }

 private:
  static Header* obtainSmall(size_t bytes) {
    const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    auto* block = static_cast<Header*>(std::aligned_alloc(kAlignment, size));
    if (block != nullptr) block->size = 0;
    return block;
  }

  Header* take(size_t bytes) {
    const size_t size = (bytes + kSmallest - 1) / kSmallest * kSmallest;
    const std::lock_guard<std::mutex> lock(mutex_);
    Header* block = takeFree(size, kCloseFit);
    if (block == nullptr && held_ + size > mostHeld(size)) block = takeFree(size, kLooseFit);
    if (block == nullptr) block = obtain(size);
    if (block == nullptr) return nullptr;
    used_ += block->size;
    mostUsed_ = std::max(mostUsed_, used_);
    return block;
  }

  // The most bytes that all blocks may have, with a new tensor of that size.
  size_t mostHeld(size_t size) const {
    const size_t most = std::max(mostUsed_, used_ + size);
    return most + most / kSlack;
  }

  Header* takeFree(size_t size, size_t fit) {
    const auto found = free_.lower_bound(size);
    if (found == free_.end() || found->first > size + size / fit) return nullptr;
    Header* block = found->second;
    free_.erase(found);
    return block;
  }

  Header* obtain(size_t size) {
    releaseDownTo(mostHeld(size) - size);
    Header* block = tryObtain(size);
    if (block != nullptr) return block;
    releaseDownTo(0);
    return tryObtain(size);
  }

  Header* tryObtain(size_t size) {
    auto* block = static_cast<Header*>(std::aligned_alloc(kAlignment, size));
    if (block == nullptr) return nullptr;
    block->size = size;
    held_ += size;
    return block;
  }

  // Gives free blocks back to the operating system, the largest first, until all blocks have at most `bytes`.
  void releaseDownTo(size_t bytes) {
    while (held_ > bytes && !free_.empty()) {
      const auto largest = std::prev(free_.end());
      held_ -= largest->first;
      std::free(largest->second);
      free_.erase(largest);
    }
  }

  static void deallocate(void* data);

  std::mutex mutex_;
  std::multimap<size_t, Header*> free_;
  size_t used_ = 0, mostUsed_ = 0, held_ = 0;  // bytes of the blocks of tensors, at most so far, and of all
};

// Lives as long as the process: tensors may die after the statics of this file.
CachingAllocator& allocator() {
  static CachingAllocator& instance = *std::make_unique<CachingAllocator>().release();
  return instance;
}

void CachingAllocator::deallocate(void* data) {
  if (data == nullptr) return;
  Header* block = static_cast<Header*>(data) - 1;
  if (block->size == 0) return std::free(block);
  CachingAllocator& owner = allocator();
  const std::lock_guard<std::mutex> lock(owner.mutex_);
  owner.used_ -= block->size;
  try {
    owner.free_.emplace(block->size, block);
  } catch (const std::bad_alloc&) {  // no memory to remember it by
    owner.held_ -= block->size;
    std::free(block);
  }
}

template <typename T>
at::Tensor copied(const std::vector<T>& values, at::ScalarType type, at::Device device) {
  const auto options = at::TensorOptions().dtype(type).pinned_memory(!device.is_cpu());
  const at::Tensor host = at::empty({static_cast<int64_t>(values.size())}, options);
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<T>());
  return host.to(device, /*non_blocking=*/true);
}

}  // namespace

void installAllocator() {
  constexpr uint8_t kAboveDefault = 1;
  static std::once_flag installed;  // each JavaScript thread that loads the addon comes here
  std::call_once(installed, [] { c10::SetCPUAllocator(&allocator(), kAboveDefault); });
}

void releaseCachedMemory() {
  allocator().releaseAll();
  releaseCudaMemory();
}

bool isOutOfMemory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  // All others have no types of their own for it.
  const std::string_view what = error.what();
  for (const char* text : {
           "DefaultCPUAllocator",           // LibTorch's allocator for the CPU (c10/core/impl/alloc_cpu.cpp)
           "could not create a primitive",  // oneDNN
           "CUDA error: out of memory",     // the driver: modules, streams, events
           "CUDA driver error: out of memory",  // the driver, where LibTorch calls it directly
           "CUDA_ERROR_OUT_OF_MEMORY",          // the same, by its name
           "CUBLAS_STATUS_ALLOC_FAILED"         // cuBLAS
       })
    if (what.find(text) != std::string_view::npos) return true;
  return false;
}

at::Tensor toDevice(const std::vector<int32_t>& values, at::Device device) {
  return copied(values, at::kInt, device);
}

at::Tensor toDevice(const std::vector<float>& values, at::Device device) {
  return copied(values, at::kFloat, device);
}

}  // namespace bertune
