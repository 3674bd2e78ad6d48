// LibTorch's allocator for a test: each tensor ends where a page begins that nobody may touch, so that a
// kernel which reads or writes behind it ends the process. Code that is compiled at run time (oneDNN's) can
// be watched in no other way: sanitizers see only what was compiled with them.
#pragma once

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

namespace bertune {

class GuardedMemory : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::kCPU);
    if (bytes == 0) return {nullptr, nullptr, deallocate, cpu};
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t needed = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const size_t pages = (needed + page - 1) / page * page;
    // A page in front of it too: that is where a pointer that went below would go.
    void* all = mmap(nullptr, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    auto* first = static_cast<char*>(all) + page;
    if (mprotect(first, pages, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::memset(first, kGarbage, pages);
    void* data = first + pages - needed;
    const std::lock_guard lock(mutex());
    blocks()[data] = {all, pages + 2 * page};
    return {data, data, deallocate, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return deallocate; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    std::memcpy(target, source, bytes);
  }

 private:
  // The smallest that nothing here minds: between a tensor and the page lie 3 bytes at most.
  static constexpr size_t kAlignment = 4;
  static constexpr int kGarbage = 0xff;  // NaN in every type: what reads it and uses it is found out

  struct Block {
    void* all;
    size_t bytes;
  };

  static void deallocate(void* data) {
    if (data == nullptr) return;
    const std::lock_guard lock(mutex());
    const auto found = blocks().find(data);
    munmap(found->second.all, found->second.bytes);
    blocks().erase(found);
  }

  static std::mutex& mutex() {
    static auto& instance = *new std::mutex;
    return instance;
  }
  // Tensors may die after the statics of this file.
  static std::map<void*, Block>& blocks() {
    static auto& instance = *new std::map<void*, Block>;
    return instance;
  }
};

}  // namespace bertune
