// The rows of a packed batch in one range a thread. A thread takes its rows tile by tile through a whole
// chain of work: the values stay in that core's cache, and no thread waits for another between two operators.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <cstdint>

#include "core/phases.h"
#include "ops/brgemm.h"

namespace bertune {

class RowRanges {
 public:
  explicit RowRanges(int64_t rows)
      : rows_(rows), size_(roundUp((rows + threads() - 1) / threads(), kTileStep)) {}

  int64_t count() const { return (rows_ + size_ - 1) / size_; }

  // body(range, first row, rows) below autograd; ranges run at the same time.
  template <typename Body>
  void forEach(const Body& body) const {
    at::parallel_for(0, count(), 1, [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView guard;  // thread-local, so each thread needs its own
      const phases::Scope phase(phases::Phase::ElementWise);
      const TileProducts products;
      for (int64_t range = begin; range < end; ++range)
        body(range, range * size_, std::min(size_, rows_ - range * size_));
    });
  }

 private:
  static int64_t threads() { return at::get_num_threads(); }
  int64_t rows_, size_;
};

}  // namespace bertune
