// For test/native/failed-calls.ts, preloaded into Node.js: while the environment variable FAILING_ALLOCATION
// is a number n, the n-th call of aligned_alloc, counted from 0, finds no memory, and with `n+` neither do
// those that follow. The addon's allocator takes the memory of small tensors from there.
#include <dlfcn.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>

extern "C" __attribute__((visibility("default"))) void* aligned_alloc(size_t alignment,
                                                                      size_t size) noexcept {
  static std::atomic<long> calls{0};
  static const auto next = reinterpret_cast<void* (*)(size_t, size_t)>(dlsym(RTLD_NEXT, "aligned_alloc"));
  const char* failing = std::getenv("FAILING_ALLOCATION");
  if (failing == nullptr) {
    calls = 0;
    return next(alignment, size);
  }
  char* end = nullptr;
  const long first = std::strtol(failing, &end, 10), call = calls++;
  const bool fails = *end == '+' ? call >= first : call == first;
  return fails ? nullptr : next(alignment, size);
}
