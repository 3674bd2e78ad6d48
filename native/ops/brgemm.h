// Matrix products of tiles on one thread, accumulated in float32: oneDNN's micro-kernels, which LibTorch
// exports (ATen/native/CPUBlas.h, `brgemm`). A call costs less than a microsecond, so that what follows a
// product can work on the tile while it is in the core's cache.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>

#include <cstdint>
#include <type_traits>

namespace bertune {

// The rows and columns of a tile.
constexpr int64_t kTile = 64;

// Sizes that depend on a batch are rounded up to multiples of this: each combination of sizes compiles a
// kernel.
constexpr int64_t kTileStep = 16;

constexpr int64_t roundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// How many values of the inner dimension lie side by side in a right-hand side: the instructions for bfloat16
// multiply pairs.
template <typename T>
constexpr int64_t kPair = std::is_same_v<T, at::BFloat16> ? 2 : 1;

// Whether this CPU, as far as ONEDNN_MAX_CPU_ISA allows, has products of tiles of that type. Each operator
// asks by itself and falls back on ATen's operators.
bool hasTileProducts(at::ScalarType type);

struct TileSizes {
  int64_t rows, columns, inner;
};

// c = a b, or c += a b where it `adds`. a: [rows, inner] and c: [rows, columns], row by row `lda` and `ldc`
// apart. b: [inner / pair, ldb, pair], of which the first `columns` count.
template <typename T>
void multiply(float* c, int64_t ldc, const T* a, int64_t lda, const T* b, int64_t ldb, const TileSizes& sizes,
              bool adds) {
  at::native::cpublas::brgemm(sizes.rows, sizes.columns, sizes.inner, lda, ldb, ldc, adds, a, b, c,
                              /*is_vnni=*/kPair<T> == 2);
}

// To live on a thread while it multiplies: gives back what the micro-kernels hold of the core (AMX).
class TileProducts {
 public:
  TileProducts() = default;
  ~TileProducts() { at::native::cpublas::brgemm_release(); }
  TileProducts(const TileProducts&) = delete;
  TileProducts& operator=(const TileProducts&) = delete;
};

}  // namespace bertune
