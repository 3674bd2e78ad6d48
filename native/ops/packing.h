// Operands of tile products, laid out as the micro-kernels take them (see brgemm.h). What the sizes are
// rounded up by is zero: the inner dimension reads it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ops/brgemm.h"

namespace bertune {

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

// The right-hand sides of y = x weight^T and of dX = dY weight, of one type: [panels, inner / pair, kTile *
// pair].
struct PackedWeight {
  at::Tensor forward, backward;
};

// Of `weight`, float32 [out, in], on all threads.
at::Tensor packForward(const at::Tensor& weight, at::ScalarType type);
at::Tensor packBackward(const at::Tensor& weight, at::ScalarType type);

}  // namespace bertune
