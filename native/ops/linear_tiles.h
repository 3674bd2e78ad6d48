// What the linear layers do with a tile of rows: bring the rows of x into the compute type, multiply them
// by a packed weight, and hand the float32 tile to what follows.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "core/memory.h"
#include "core/phases.h"
#include "ops/brgemm.h"
#include "ops/linear.h"
#include "ops/row_kernels.h"

namespace bertune {

// The rows of a packed batch in one range a thread. A thread takes its rows tile by tile through a whole
// chain of work: the values stay in that core's cache, and no thread waits for another between two operators.
class RowRanges {
 public:
  explicit RowRanges(int64_t rows)
      : rows_(rows), size_(roundUp((rows + threads() - 1) / threads(), kTileStep)) {}

  int64_t count() const { return (rows_ + size_ - 1) / size_; }

  // body(range, first row, rows) below autograd; ranges run at the same time.
  template <typename Body>
  void forEach(const Body& body) const {
    at::parallel_for(0, count(), 1, [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView guard;  // thread-local, so each thread needs its own
      const phases::Scope phase(phases::Phase::ElementWise);
      const BrgemmScope scope;
      for (int64_t range = begin; range < end; ++range)
        body(range, range * size_, std::min(size_, rows_ - range * size_));
    });
  }

 private:
  static int64_t threads() { return at::get_num_threads(); }
  int64_t rows_, size_;
};

// Packed weights alone do not say that this processor has brgemm for them.
inline bool usesTiles(const LinearWeights& weights) {
  const LinearOperands& operands = weights.operands;
  return (operands.packsWhenRead || operands.packed.forward.defined()) && hasBrgemm(operands.type);
}

// What a forward pass multiplies by.
inline at::Tensor forwardOperand(const LinearWeights& weights) {
  if (!weights.operands.packsWhenRead) return weights.operands.packed.forward;
  const phases::Scope phase(phases::Phase::Gemm);
  const at::Tensor weight = weights.weight.narrow(0, weights.firstRow, weights.rows);
  at::Tensor packed = at::empty(forwardShape(weight, weights.operands.type), weights.operands.type);
  packForward(packed, weight);
  return packed;
}

// The rows of a contiguous matrix, without asking the tensor each time.
template <typename T>
class Rows {
 public:
  explicit Rows(at::Tensor& matrix) : values_(matrix.mutable_data_ptr<T>()), columns_(matrix.size(1)) {}
  explicit Rows(const at::Tensor& matrix)
      : values_(matrix.const_data_ptr<std::remove_const_t<T>>()), columns_(matrix.size(1)) {}
  T* operator[](int64_t row) const { return values_ + row * columns_; }
  int64_t columns() const { return columns_; }

 private:
  T* values_;
  int64_t columns_;
};

// How many rows of x, with `bytes` each in operands and results, to take at once: the more, the less often
// the weight comes from the shared cache, but a block must stay in the core's own.
inline int64_t rowsOfBlock(int64_t bytes) {
  constexpr int64_t kMost = 4 * kTile;
  return std::clamp(blockBytes() / bytes / kTile * kTile, kTile, kMost);
}

// The rows of a layer's input in type T.
template <typename T>
class InputRows {
 public:
  explicit InputRows(const LinearInput& x)
      : kind_(x.kind),
        isOwnType_(x.values.scalar_type() == c10::CppTypeToScalarType<T>::value),
        columns_(x.columns()),
        stride_(x.values.size(1)),
        values_(x.values.const_data_ptr()),
        weight_(kind_ == Kind::Norm ? x.weight.const_data_ptr<float>() : nullptr),
        bias_(kind_ == Kind::Norm ? x.bias.const_data_ptr<float>() : nullptr) {}

  int64_t columns() const { return columns_; }
  // Whether they lie somewhere as they are; then where.
  bool areStored() const { return kind_ == Kind::Values && isOwnType_; }
  const T* operator[](int64_t row) const { return static_cast<const T*>(values_) + row * stride_; }

  // Writes a row, computed or not.
  void read(T* target, int64_t row) const {
    const T* source = (*this)[row];
    switch (kind_) {
      case Kind::Values:
        if (isOwnType_)
          std::copy_n(source, columns_, target);
        else
          rowKernels().narrow(target, static_cast<const float*>(values_) + row * stride_, columns_);
        break;
      case Kind::Gelu:
        rowKernels().gelu(target, source, columns_);
        break;
      case Kind::GatedGelu:
        rowKernels().gatedGelu(target, source, source + columns_, columns_);
        break;
      case Kind::Norm:
        rowKernels().scaleNormalized(target, source, weight_, bias_, columns_);
        break;
    }
  }

 private:
  using Kind = LinearInput::Kind;
  Kind kind_;
  bool isOwnType_;
  int64_t columns_, stride_;
  const void* values_;
  const float *weight_, *bias_;
};

// Blocks of the rows of a layer's input as left-hand sides in type T.
template <typename T>
class RowBlocks {
 public:
  RowBlocks(const LinearInput& x, int64_t most)
      : rows_(x),
        count_(x.rows()),
        inner_(rows_.columns()),
        padded_(roundUp(inner_, kPair<T>)),
        copies_(most * padded_) {}

  int64_t ld() const { return padded_; }

  // [roundUp(rows, kTileStep), ld]: the rows from `first` on, where they lie or copied. What the sizes are
  // rounded up by may be anything in the rows, and is zero in the inner dimension.
  const T* load(int64_t first, int64_t rows) {
    const bool ends = first + roundUp(rows, kTileStep) > count_;
    if (rows_.areStored() && !ends && padded_ == inner_) return rows_[first];
    for (int64_t i = 0; i < rows; ++i) {
      T* row = copies_.data() + i * padded_;
      rows_.read(row, first + i);
      std::fill(row + inner_, row + padded_, T(0));
    }
    return copies_.data();
  }

 private:
  InputRows<T> rows_;
  int64_t count_, inner_, padded_;
  Scratch<T> copies_;
};

// A weight packed for y = x weight^T, or for dX = dY weight.
template <typename T>
class Panels {
 public:
  Panels(const at::Tensor& packed, int64_t columns)
      : tiling_(tilingOf(packed.scalar_type())),
        values_(packed.const_data_ptr<T>()),
        inner_(packed.size(1) * kPair<T>),
        columns_(columns) {}

  // For results that are used panel by panel, and for whole ones.
  int64_t rowsOfBlock() const { return bertune::rowsOfBlock(inner_ * sizeof(T) + kTile * sizeof(float)); }
  int64_t rowsOfWholeBlock() const {
    return bertune::rowsOfBlock(inner_ * sizeof(T) + width() * sizeof(float));
  }

  // body(first column, columns, tile): a block of rows times the weight, panel by panel, in rows kTile apart.
  template <typename Body>
  void forEach(const T* left, int64_t ld, int64_t rows, float* tile, const Body& body) const {
    for (int64_t first = 0; first < columns_; first += kTile) {
      multiplyColumns(left, ld, rows, first, tile, kTile);
      body(first, std::min(kTile, columns_ - first), tile);
    }
  }

  // All columns, in rows `width()` apart.
  void multiplyAll(const T* left, int64_t ld, int64_t rows, float* c) const {
    for (int64_t first = 0; first < columns_; first += kTile)
      multiplyColumns(left, ld, rows, first, c + first, width());
  }
  int64_t width() const { return roundUp(columns_, kTile); }

 private:
  // kTile columns, or the last ones.
  void multiplyColumns(const T* left, int64_t ld, int64_t rows, int64_t first, float* c, int64_t ldc) const {
    const phases::Scope phase(phases::Phase::Gemm);
    const int64_t columns = std::min(kTile, columns_ - first);
    for (int64_t column = 0; column < columns; column += tiling_.columns)
      for (int64_t row = 0; row < rows; row += tiling_.rows)
        brgemm(c + row * ldc + column, ldc, left + row * ld, ld, values_ + (first + column) * inner_,
               tiling_.columns,
               {roundUp(std::min(tiling_.rows, rows - row), kTileStep), tiling_.columns, inner_}, false);
  }

  const Tiling& tiling_;
  const T* values_;
  int64_t inner_, columns_;
};

// body(first row, rows) for the blocks of a range of rows.
template <typename Body>
void forEachBlock(int64_t first, int64_t rows, int64_t size, const Body& body) {
  for (int64_t row = first; row < first + rows; row += size) body(row, std::min(size, first + rows - row));
}

// Adds the rows of an addend to a tile, where there is one.
template <typename T>
void addRows(float* tile, int64_t ld, const std::optional<at::Tensor>& addend, int64_t firstRow, int64_t rows,
             int64_t first, int64_t columns) {
  if (!addend.has_value()) return;
  const Rows<const T> added(*addend);
  for (int64_t i = 0; i < rows; ++i) rowKernels().add(tile + i * ld, added[firstRow + i] + first, columns);
}

// body(zero of the type): calls the version of the compute type.
template <typename Body>
void withType(at::ScalarType type, const Body& body) {
  if (type == at::kBFloat16)
    body(at::BFloat16());
  else
    body(float());
}

// body(first row, rows, first column, columns, tile): the rows of x times a packed weight of `columns`
// columns, tile by tile on all threads, in rows kTile apart.
template <typename T, typename Body>
void forEachTile(const LinearInput& x, const at::Tensor& packed, int64_t columns, const Body& body) {
  const Panels<T> weight(packed, columns);
  RowRanges(x.rows()).forEach([&](int64_t, int64_t begin, int64_t count) {
    RowBlocks<T> blocks(x, weight.rowsOfBlock());
    Scratch<float> block(weight.rowsOfBlock() * kTile);
    forEachBlock(begin, count, weight.rowsOfBlock(), [&](int64_t first, int64_t rows) {
      weight.forEach(
          blocks.load(first, rows), blocks.ld(), rows, block.data(),
          [&](int64_t column, int64_t width, float* tile) { body(first, rows, column, width, tile); });
    });
  });
}

}  // namespace bertune
