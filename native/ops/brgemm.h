// Matrix products of tiles on one thread, accumulated in float32, and the packing of their operands: oneDNN's
// micro-kernels, which LibTorch exports (ATen/native/CPUBlas.h, `brgemm`). A call costs less than a
// microsecond, so that what follows can work on the tile while it is in the core's cache.
#pragma once

#include <ATen/core/DimVector.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>

#include <cstdint>
#include <type_traits>

#include "ops/processor.h"

namespace bertune {

// Sizes that depend on a batch are rounded up to multiples of this: each combination of sizes compiles a
// kernel.
constexpr int64_t kTileStep = 16;

constexpr int64_t roundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// How many values of the inner dimension lie side by side in a right-hand side: the instructions for bfloat16
// multiply pairs.
template <typename T>
constexpr int64_t kPair = std::is_same_v<T, at::BFloat16> ? 2 : 1;

// Whether this CPU, as far as ONEDNN_MAX_CPU_ISA allows, has micro-kernels for that type. Each operator asks
// by itself and falls back on ATen's operators.
bool hasBrgemm(at::ScalarType type);

struct TileSizes {
  int64_t rows, columns, inner;
};

// c = a b, or c += a b where it `adds`. a: [rows, inner] and c: [rows, columns], row by row `lda` and `ldc`
// apart. b: [inner / pair, ldb, pair], of which the first `columns` count.
template <typename T>
void brgemm(float* c, int64_t ldc, const T* a, int64_t lda, const T* b, int64_t ldb, const TileSizes& sizes,
            bool adds) {
  at::native::cpublas::brgemm(sizes.rows, sizes.columns, sizes.inner, lda, ldb, ldc, adds, a, b, c,
                              /*is_vnni=*/kPair<T> == 2);
}

// To live on a thread while it calls brgemm: releases what the micro-kernels hold of the core (AMX). Made
// after the thread's working memory.
class BrgemmScope {
 public:
  // Throws std::bad_alloc where there is no room for kernels that sizes not seen before would compile.
  BrgemmScope() { requireRoomForKernels(); }
  ~BrgemmScope() { at::native::cpublas::brgemm_release(); }
  BrgemmScope(const BrgemmScope&) = delete;
  BrgemmScope& operator=(const BrgemmScope&) = delete;

 private:
  static void requireRoomForKernels();
};

// Operands, laid out as the micro-kernels take them. What the sizes are rounded up by is zero: the inner
// dimension reads it.

// A panel of a right-hand side: [roundUp(inner) / pair, width, pair].
struct PanelSizes {
  int64_t inner, columns;      // what there is
  int64_t innerPadded, width;  // what is written: a multiple of the pair, and at least `columns`
};

// From b [inner, columns], rows `ldb` apart. A float32 source is rounded to bfloat16.
void packPanel(float* panel, const float* b, int64_t ldb, const PanelSizes& sizes);
void packPanel(at::BFloat16* panel, const at::BFloat16* b, int64_t ldb, const PanelSizes& sizes);
void packPanel(at::BFloat16* panel, const float* b, int64_t ldb, const PanelSizes& sizes);

// From b^T [columns, inner], rows `ldb` apart; of bfloat16 the inner dimension and `ldb` must be even.
void packPanelTransposed(float* panel, const float* b, int64_t ldb, const PanelSizes& sizes);
void packPanelTransposed(at::BFloat16* panel, const at::BFloat16* b, int64_t ldb, const PanelSizes& sizes);

// A left-hand side a = b^T: [columns, ld], from b [rows, columns] with rows `ldb` apart. Writes `rowsPadded`
// values of each row, of bfloat16 an even number.
void packTransposed(float* a, int64_t ld, const float* b, int64_t ldb, int64_t rows, int64_t columns,
                    int64_t rowsPadded);
void packTransposed(at::BFloat16* a, int64_t ld, const at::BFloat16* b, int64_t ldb, int64_t rows,
                    int64_t columns, int64_t rowsPadded);

// The right-hand sides of y = x weight^T and of dX = dY weight, of one type: [panels, inner / pair, columns *
// pair] with the columns of that type's tiling.
struct PackedWeight {
  at::Tensor forward, backward;
};

// Of `weight`, float32 [out, in]: the shapes, and the values on all threads.
at::DimVector forwardShape(const at::Tensor& weight, at::ScalarType type);
at::DimVector backwardShape(const at::Tensor& weight, at::ScalarType type);
void packForward(at::Tensor& packed, const at::Tensor& weight);
void packBackward(at::Tensor& packed, const at::Tensor& weight);

}  // namespace bertune
