#include "ops/padding.h"

#include <ATen/ATen.h>

#include <limits>
#include <vector>

namespace bertune {
namespace {

// The rows at `indices` of [rows, ...], in the shape that begins with `sizes`.
at::Tensor rowsAt(const at::Tensor& rows, const at::Tensor& indices, std::vector<int64_t> sizes) {
  for (const int64_t size : rows.sizes().slice(1)) sizes.push_back(size);
  return rows.index_select(0, indices).view(sizes);
}

}  // namespace

Padding Padding::of(const at::Tensor& offsets, int64_t tokens, int64_t length) {
  const int64_t sequences = offsets.size(0) - 1;
  const at::Tensor begins = offsets.narrow(0, 0, sequences), ends = offsets.narrow(0, 1, sequences);
  const at::Tensor rows = begins.unsqueeze(1) + at::arange(length, offsets.options());
  const at::Tensor token = at::arange(tokens, offsets.options());
  const at::Tensor sequence = at::bucketize(token, ends, /*out_int32=*/true, /*right=*/true);
  return {rows.clamp_max(tokens - 1).flatten(),
          sequence * length + (token - begins.index_select(0, sequence)), rows >= ends.unsqueeze(1)};
}

at::Tensor Padding::pad(const at::Tensor& packed) const {
  return rowsAt(packed, tokens, {sequences(), length()});
}

at::Tensor Padding::padWithZeros(const at::Tensor& packed) const {
  at::Tensor padded = pad(packed);
  std::vector<int64_t> shape(static_cast<size_t>(padded.dim()), 1);
  shape[0] = sequences();
  shape[1] = length();
  return padded.masked_fill_(beyond.view(shape), 0);
}

at::Tensor Padding::pack(const at::Tensor& padded) const {
  return rowsAt(padded.flatten(0, 1), places, {places.size(0)});
}

at::Tensor Padding::bias(int64_t heads, int64_t queries) const {
  const at::Tensor bias = at::zeros(beyond.sizes(), beyond.options().dtype(at::kFloat))
                              .masked_fill_(beyond, -std::numeric_limits<double>::infinity());
  return bias.view({sequences(), 1, 1, length()}).expand({sequences(), heads, queries, length()});
}

}  // namespace bertune
