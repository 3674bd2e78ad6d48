// The gradient of the weight in y = x weight^T.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/memory.h"
#include "core/phases.h"
#include "ops/brgemm.h"
#include "ops/linear_backward.h"

namespace bertune {
namespace {

// The rows, which are summed over, in chunks of at most this many, so that there are few sizes to compile a
// kernel for.
constexpr int64_t kChunk = 256;

// Rows that are packed together: whole rows, since memory is read best from one end to the other.
constexpr int64_t kBand = 32;

constexpr int64_t kBlockBytes = 512 << 10;

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

// On all threads, band by band.
template <typename T, typename X>
void pack(Operands<T>& operands, const T* dY, int64_t out, const X* x, int64_t in) {
  constexpr int64_t bands = kChunk / kBand;
  at::parallel_for(0, operands.chunks() * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i / bands, first = i % bands * kBand, row = chunk * kChunk + first;
      const int64_t rows = std::clamp<int64_t>(operands.rowsOf(chunk) - first, 0, kBand);
      const int64_t padded = std::clamp<int64_t>(operands.innerOf(chunk) - first, 0, kBand);
      if (padded == 0) continue;
      packTransposed(operands.left(chunk, 0) + first, kChunk, dY + row * out, out, rows, out, padded);
      for (int64_t step = 0; step < padded; step += kPair<T>)
        for (int64_t panel = 0; panel < operands.panels(); ++panel) {
          const int64_t column = panel * kTile;
          packPanel(
              operands.right(chunk, panel) + (first + step) * kTile, x + (row + step) * in + column, in,
              {std::clamp<int64_t>(rows - step, 0, kPair<T>), std::min(kTile, in - column), kPair<T>, kTile});
        }
    }
  });
}

template <typename T, typename X>
void compute(at::Tensor& gradient, const at::Tensor& dY, const at::Tensor& x, bool adds) {
  const int64_t out = dY.size(1), in = x.size(1);
  const phases::Scope phase(phases::Phase::Gemm);  // with the packing
  Operands<T> operands(dY.size(0), out, in);
  pack<T, X>(operands, dY.const_data_ptr<T>(), out, x.const_data_ptr<X>(), in);
  auto* target = gradient.mutable_data_ptr<float>();
  const auto computeTile = [&](int64_t tile, int64_t panel) {
    const int64_t row = tile * kTile, column = panel * kTile;
    for (int64_t chunk = 0; chunk < operands.chunks(); ++chunk)
      brgemm(target + row * in + column, in, operands.left(chunk, row), kChunk, operands.right(chunk, panel),
             kTile, {std::min(kTile, out - row), std::min(kTile, in - column), operands.innerOf(chunk)},
             adds || chunk > 0);
  };
  // As many tiles of the left-hand side at once as stay in the core's own cache, so that the right-hand side
  // comes from the shared one less often.
  const int64_t block = std::max<int64_t>(1, kBlockBytes / (operands.chunks() * kChunk * kTile * sizeof(T)));
  at::parallel_for(0, (out + kTile - 1) / kTile, 1, [&](int64_t begin, int64_t end) {
    const BrgemmScope scope;
    for (int64_t first = begin; first < end; first += block)
      for (int64_t panel = 0; panel < operands.panels(); ++panel)
        for (int64_t tile = first; tile < std::min(first + block, end); ++tile) computeTile(tile, panel);
  });
}

}  // namespace

void weightGradient(at::Tensor& gradient, const at::Tensor& dY, const at::Tensor& x, bool adds) {
  if (dY.scalar_type() == at::kFloat)
    compute<float, float>(gradient, dY, x, adds);
  else if (x.scalar_type() == at::kFloat)
    compute<at::BFloat16, float>(gradient, dY, x, adds);
  else
    compute<at::BFloat16, at::BFloat16>(gradient, dY, x, adds);
}

}  // namespace bertune
