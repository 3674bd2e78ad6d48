// What the dense layers do with a tile of rows: bring the rows of x into the products' type, multiply them by
// a packed weight, and hand the float32 tile to what follows.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "kernels.h"
#include "packing.h"
#include "phases.h"
#include "scratch.h"

namespace bertune {

// Tiles of the rows of a matrix as left-hand sides in type T.
template <typename T>
class RowTiles {
 public:
  explicit RowTiles(const at::Tensor& x)
      : x_(x), inner_(x.size(1)), padded_(roundUp(inner_, kPair<T>)), copies_(kTile * padded_) {}

  int64_t ld() const { return padded_; }

  // [roundUp(rows, kTileStep), ld]: the rows from `first` on, where they lie or copied. What the sizes are
  // rounded up by may be anything in the rows, and is zero in the inner dimension.
  const T* load(int64_t first, int64_t rows) {
    const bool isOwnType = x_.scalar_type() == c10::CppTypeToScalarType<T>::value;
    const bool ends = first + roundUp(rows, kTileStep) > x_.size(0);
    if (isOwnType && !ends && padded_ == inner_) return x_.const_data_ptr<T>() + first * inner_;
    for (int64_t i = 0; i < rows; ++i) {
      T* row = copies_.data() + i * padded_;
      if (isOwnType)
        std::copy_n(x_.const_data_ptr<T>() + (first + i) * inner_, inner_, row);
      else
        kernels::narrow(row, x_.const_data_ptr<float>() + (first + i) * inner_, inner_);
      std::fill(row + inner_, row + padded_, T(0));
    }
    return copies_.data();
  }

 private:
  const at::Tensor& x_;
  int64_t inner_, padded_;
  Scratch<T> copies_;
};

// Of a weight packed for y = x weight^T, or for dX = dY weight.
template <typename T>
class Panels {
 public:
  Panels(const at::Tensor& packed, int64_t columns)
      : values_(packed.const_data_ptr<T>()), inner_(packed.size(1) * kPair<T>), columns_(columns) {}

  // body(first column, columns, tile): the product of a left-hand side of `rows` rows, panel by panel, in
  // rows kTile apart.
  template <typename Body>
  void forEach(const T* left, int64_t ld, int64_t rows, float* tile, const Body& body) const {
    for (int64_t first = 0; first < columns_; first += kTile) {
      multiplyPanel(left, ld, rows, first, tile, kTile);
      body(first, std::min(kTile, columns_ - first), static_cast<const float*>(tile));
    }
  }

  // The whole product, in rows `width()` apart.
  void multiplyAll(const T* left, int64_t ld, int64_t rows, float* tile) const {
    for (int64_t first = 0; first < columns_; first += kTile)
      multiplyPanel(left, ld, rows, first, tile + first, width());
  }
  int64_t width() const { return roundUp(columns_, kTile); }

 private:
  void multiplyPanel(const T* left, int64_t ld, int64_t rows, int64_t first, float* tile,
                     int64_t ldTile) const {
    const phases::Scope phase(phases::Phase::Gemm);
    multiply(tile, ldTile, left, ld, values_ + first * inner_, kTile,
             {roundUp(rows, kTileStep), kTile, inner_}, false);
  }

  const T* values_;
  int64_t inner_, columns_;
};

// Calls body(first row, rows) for the tiles of a range of rows.
template <typename Body>
void forEachTile(int64_t first, int64_t rows, const Body& body) {
  for (int64_t row = first; row < first + rows; row += kTile) body(row, std::min(kTile, first + rows - row));
}

}  // namespace bertune
