#include "row_blocks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace bertune {
namespace {

constexpr int64_t kMostRows = 512;   // fewer pay for packing the weights too often, more leave the cache
constexpr int64_t kFewestRows = 16;  // below, threads cost more than they bring

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

RowBlocks::RowBlocks(int64_t rows) : rows_(rows) {
  const int64_t threads = at::get_num_threads();
  const bool few = rows < threads * kFewestRows;
  // A multiple of the threads, so that all of them end together.
  const int64_t wanted = few ? 1 : divideUp(divideUp(rows, kMostRows), threads) * threads;
  size_ = std::max<int64_t>(1, divideUp(rows, wanted));
  count_ = divideUp(rows, size_);
}

void RowBlocks::forEach(const std::function<void(int64_t, int64_t, int64_t)>& body) const {
  at::parallel_for(0, count_, 1, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView guard;  // thread-local, so each thread needs its own
    for (int64_t block = begin; block < end; ++block)
      body(block, block * size_, std::min(size_, rows_ - block * size_));
  });
}

at::Tensor weightGradient(const at::Tensor& dY, const at::Tensor& x) {
  const int64_t out = dY.size(1), threads = at::get_num_threads();
  at::Tensor gradient = at::empty({out, x.size(1)}, x.options());
  const int64_t size = divideUp(out, threads);
  at::parallel_for(0, divideUp(out, size), 1, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const int64_t first = begin * size, columns = std::min(end * size, out) - first;
    at::Tensor target = gradient.narrow(0, first, columns);
    at::mm_out(target, dY.narrow(1, first, columns).t(), x);
  });
  return gradient.to(at::kFloat);
}

}  // namespace bertune
