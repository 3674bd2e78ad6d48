#include "weight_gradient.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "packing.h"
#include "phases.h"
#include "scratch.h"

namespace bertune {
namespace {

// The rows, which the products sum over, in chunks of one size: a product's size must not depend on the
// batch.
constexpr int64_t kChunk = 256;

// dY and x as operands, chunk after chunk: left [chunk][out][kChunk], right [chunk][panel][kChunk /
// pair][kTile][pair].
template <typename T>
class Operands {
 public:
  Operands(int64_t rows, int64_t out, int64_t in)
      : rows_(rows),
        out_(out),
        panels_((in + kTile - 1) / kTile),
        left_(chunks() * out * kChunk),
        right_(chunks() * panels_ * kChunk * kTile) {}

  int64_t chunks() const { return (rows_ + kChunk - 1) / kChunk; }
  int64_t panels() const { return panels_; }
  int64_t rowsOf(int64_t chunk) const { return std::min(kChunk, rows_ - chunk * kChunk); }
  int64_t innerOf(int64_t chunk) const { return roundUp(rowsOf(chunk), kTileStep); }
  T* left(int64_t chunk, int64_t firstOut) { return left_.data() + (chunk * out_ + firstOut) * kChunk; }
  T* right(int64_t chunk, int64_t panel) {
    return right_.data() + (chunk * panels_ + panel) * kChunk * kTile;
  }

 private:
  int64_t rows_, out_, panels_;
  Scratch<T> left_, right_;
};

// On all threads, one tile of columns of one chunk at a time.
template <typename T, typename X>
void pack(Operands<T>& operands, const T* dY, int64_t out, const X* x, int64_t in) {
  const int64_t outTiles = (out + kTile - 1) / kTile, tiles = outTiles + operands.panels();
  at::parallel_for(0, operands.chunks() * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i / tiles, tile = i % tiles, firstRow = chunk * kChunk;
      const int64_t rows = operands.rowsOf(chunk), padded = operands.innerOf(chunk);
      if (tile < outTiles) {
        const int64_t first = tile * kTile;
        packTransposed(operands.left(chunk, first), kChunk, dY + firstRow * out + first, out, rows,
                       std::min(kTile, out - first), padded);
      } else {
        const int64_t panel = tile - outTiles, first = panel * kTile;
        packPanel(operands.right(chunk, panel), x + firstRow * in + first, in,
                  {rows, std::min(kTile, in - first), padded, kTile});
      }
    }
  });
}

template <typename T, typename X>
at::Tensor compute(const at::Tensor& dY, const at::Tensor& x) {
  const int64_t out = dY.size(1), in = x.size(1);
  at::Tensor gradient = at::empty({out, in}, at::kFloat);
  const phases::Scope phase(phases::Phase::Gemm);  // with the packing
  Operands<T> operands(dY.size(0), out, in);
  pack<T, X>(operands, dY.const_data_ptr<T>(), out, x.const_data_ptr<X>(), in);
  auto* target = gradient.mutable_data_ptr<float>();
  at::parallel_for(0, (out + kTile - 1) / kTile, 1, [&](int64_t begin, int64_t end) {
    const TileProducts products;
    for (int64_t tile = begin; tile < end; ++tile)
      for (int64_t panel = 0; panel < operands.panels(); ++panel)
        for (int64_t chunk = 0; chunk < operands.chunks(); ++chunk) {
          const int64_t row = tile * kTile, column = panel * kTile;
          multiply(target + row * in + column, in, operands.left(chunk, row), kChunk,
                   operands.right(chunk, panel), kTile,
                   {std::min(kTile, out - row), std::min(kTile, in - column), operands.innerOf(chunk)},
                   chunk > 0);
        }
  });
  return gradient;
}

}  // namespace

at::Tensor weightGradient(const at::Tensor& dY, const at::Tensor& x) {
  if (dY.scalar_type() == at::kFloat) return compute<float, float>(dY, x);
  if (x.scalar_type() == at::kFloat) return compute<at::BFloat16, float>(dY, x);
  return compute<at::BFloat16, at::BFloat16>(dY, x);
}

}  // namespace bertune
