// Sequences of a packed batch padded to one length, for kernels that take no offsets. All is computed on the
// device from the offsets: nothing that the host knows of the lengths is read.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bertune {

struct Padding {
  // `offsets`: int32 [sequences + 1]. No sequence has more than `length` of the `tokens`.
  static Padding of(const at::Tensor& offsets, int64_t tokens, int64_t length);

  // [tokens, ...] as [sequences, length, ...]. Behind a sequence's end are rows of the tokens that follow.
  at::Tensor pad(const at::Tensor& packed) const;
  // The same with zeros there.
  at::Tensor padWithZeros(const at::Tensor& packed) const;
  // [sequences, length, ...] as [tokens, ...].
  at::Tensor pack(const at::Tensor& padded) const;
  // What is added to scores, float32 [sequences, heads, queries, length]: -inf behind a sequence's end, so
  // that nothing attends there. One row of memory a sequence.
  at::Tensor bias(int64_t heads, int64_t queries) const;

  int64_t sequences() const { return beyond.size(0); }
  int64_t length() const { return beyond.size(1); }

  at::Tensor tokens;  // int32 [sequences * length], of each place
  at::Tensor places;  // int32 [tokens], of each token
  at::Tensor beyond;  // bool [sequences, length], whether the place is behind the sequence's end
};

}  // namespace bertune
