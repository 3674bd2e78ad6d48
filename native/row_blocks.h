// Work on the rows of a packed batch in blocks, on all threads of the session. A block goes through its whole
// chain of operators on one thread: its values stay in that core's cache, and no thread waits for another
// between two operators, as it would in operators that are each split over the threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace bertune {

class RowBlocks {
 public:
  explicit RowBlocks(int64_t rows);

  int64_t count() const { return count_; }

  // body(block, first row, rows) below autograd; blocks run at the same time.
  void forEach(const std::function<void(int64_t, int64_t, int64_t)>& body) const;

 private:
  int64_t rows_, size_, count_;
};

// dY^T x: the gradient of the weight in y = x weight^T, as float32. dY: [rows, out], x: [rows, in].
at::Tensor weightGradient(const at::Tensor& dY, const at::Tensor& x);

}  // namespace bertune
