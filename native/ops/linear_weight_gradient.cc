// The gradient of the weight in y = x weight^T.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/memory.h"
#include "core/phases.h"
#include "ops/brgemm.h"
#include "ops/linear_backward.h"
#include "ops/linear_tiles.h"

namespace bertune {
namespace {

// The rows, which are summed over, in chunks of at most this many, so that there are few sizes to compile a
// kernel for.
constexpr int64_t kChunk = 256;

// Rows that are packed together: whole rows, since memory is read best from one end to the other.
constexpr int64_t kBand = 32;

// dY and x as operands, chunk after chunk: left [chunk][out][kChunk], right [chunk][panel][kChunk /
// pair][width][pair].
template <typename T>
class Operands {
 public:
  Operands(int64_t rows, int64_t out, int64_t in)
      : rows_(rows),
        out_(out),
        width_(tilingOf(c10::CppTypeToScalarType<T>::value).columns),
        panels_((in + width_ - 1) / width_),
        left_(chunks() * out * kChunk),
        right_(chunks() * panels_ * kChunk * width_) {}

  int64_t chunks() const { return (rows_ + kChunk - 1) / kChunk; }
  int64_t panels() const { return panels_; }
  int64_t width() const { return width_; }
  int64_t rowsOf(int64_t chunk) const { return std::min(kChunk, rows_ - chunk * kChunk); }
  int64_t innerOf(int64_t chunk) const { return roundUp(rowsOf(chunk), kTileStep); }
  T* left(int64_t chunk, int64_t firstOut) { return left_.data() + (chunk * out_ + firstOut) * kChunk; }
  T* right(int64_t chunk, int64_t panel) {
    return right_.data() + (chunk * panels_ + panel) * kChunk * width_;
  }

 private:
  int64_t rows_, out_, width_, panels_;
  Scratch<T> left_, right_;
};

// On all threads, band by band.
template <typename T>
void pack(Operands<T>& operands, const T* dY, int64_t out, const InputRows<T>& x) {
  constexpr int64_t bands = kChunk / kBand;
  const int64_t width = operands.width(), in = x.columns();
  at::parallel_for(0, operands.chunks() * bands, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> copies(x.areStored() ? 0 : kBand * in);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i / bands, first = i % bands * kBand, row = chunk * kChunk + first;
      const int64_t rows = std::clamp<int64_t>(operands.rowsOf(chunk) - first, 0, kBand);
      const int64_t padded = std::clamp<int64_t>(operands.innerOf(chunk) - first, 0, kBand);
      if (padded == 0) continue;
      packTransposed(operands.left(chunk, 0) + first, kChunk, dY + row * out, out, rows, out, padded);
      if (!x.areStored())
        for (int64_t j = 0; j < rows; ++j) x.read(copies.data() + j * in, row + j);
      const T* band = x.areStored() ? x[row] : copies.data();
      for (int64_t step = 0; step < padded; step += kPair<T>)
        for (int64_t panel = 0; panel < operands.panels(); ++panel) {
          const int64_t column = panel * width;
          packPanel(
              operands.right(chunk, panel) + (first + step) * width, band + step * in + column, in,
              {std::clamp<int64_t>(rows - step, 0, kPair<T>), std::min(width, in - column), kPair<T>, width});
        }
    }
  });
}

template <typename T>
void compute(at::Tensor& gradient, const at::Tensor& dY, const LinearInput& x, bool adds) {
  const int64_t out = dY.size(1), in = x.columns();
  const phases::Scope phase(phases::Phase::Gemm);  // with the packing
  Operands<T> operands(dY.size(0), out, in);
  pack<T>(operands, dY.const_data_ptr<T>(), out, InputRows<T>(x));
  auto* target = gradient.mutable_data_ptr<float>();
  const Tiling& tiling = tilingOf(dY.scalar_type());
  const auto computeBlock = [&](int64_t first, int64_t last) {
    for (int64_t chunk = 0; chunk < operands.chunks(); ++chunk)
      for (int64_t panel = 0; panel < operands.panels(); ++panel) {
        const int64_t column = panel * operands.width();
        for (int64_t row = first; row < last; row += tiling.rows)
          brgemm(target + row * in + column, in, operands.left(chunk, row), kChunk,
                 operands.right(chunk, panel), operands.width(),
                 {std::min(tiling.rows, last - row), std::min(operands.width(), in - column),
                  operands.innerOf(chunk)},
                 adds || chunk > 0);
      }
  };
  // As many outputs at once as stay in the core's own cache, beside what they are multiplied by, which comes
  // from the shared one once for each block.
  const int64_t fitting = blockBytes() / 2 / static_cast<int64_t>(kChunk * sizeof(T));
  const int64_t block = std::max(tiling.rows, fitting / tiling.rows * tiling.rows);
  at::parallel_for(0, (out + kTile - 1) / kTile, 1, [&](int64_t begin, int64_t end) {
    const BrgemmScope scope;
    const int64_t last = std::min(end * kTile, out);
    for (int64_t first = begin * kTile; first < last; first += block)
      computeBlock(first, std::min(first + block, last));
  });
}

}  // namespace

void weightGradient(at::Tensor& gradient, const at::Tensor& dY, const LinearInput& x, bool adds) {
  if (dY.scalar_type() == at::kFloat)
    compute<float>(gradient, dY, x, adds);
  else
    compute<at::BFloat16>(gradient, dY, x, adds);
}

}  // namespace bertune
