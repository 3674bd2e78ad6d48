// How attention iterates over a packed batch: heads of sequences as items of work, their keys in panels, and
// the tiles that brgemm takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/memory.h"
#include "ops/attention.h"
#include "ops/brgemm.h"
#include "ops/row_kernels.h"

namespace bertune::tiled {

// One head of one sequence. Work items are ordered head by head: each thread then meets every sequence
// length equally often, and long sequences cannot all fall to one thread.
struct Item {
  int64_t head;
  int64_t start;
  int64_t length;
  int64_t queries;      // all tokens of the sequence, or one
  int64_t firstOutput;  // where their rows begin in the result, and among queries that lie apart
};

class Items {
 public:
  Items(const std::vector<int32_t>& cuSeqlens, int64_t heads, bool isFirstOnly)
      : cuSeqlens_(cuSeqlens), heads_(heads), isFirstOnly_(isFirstOnly) {}
  int64_t count() const { return sequences() * heads_; }
  Item operator[](int64_t index) const {
    const int64_t sequence = index % sequences();
    const int64_t start = cuSeqlens_[sequence];
    const int64_t length = cuSeqlens_[sequence + 1] - start, head = index / sequences();
    if (isFirstOnly_) return {head, start, length, 1, sequence};
    return {head, start, length, length, start};
  }
  int64_t outputs() const { return isFirstOnly_ ? sequences() : cuSeqlens_.back(); }
  int64_t longest() const {
    int64_t longest = 0;
    for (size_t i = 1; i < cuSeqlens_.size(); ++i)
      longest = std::max<int64_t>(longest, cuSeqlens_[i] - cuSeqlens_[i - 1]);
    return longest;
  }

 private:
  int64_t sequences() const { return static_cast<int64_t>(cuSeqlens_.size()) - 1; }
  const std::vector<int32_t>& cuSeqlens_;
  int64_t heads_;
  bool isFirstOnly_;
};

constexpr int64_t kPanelValues = kTile * kTile;
static_assert(kernels::kPanel == kTile);

// The keys of an item come in panels of kTile, the last one narrower.
struct Panel {
  int64_t number, first, keys;
  int64_t width() const { return roundUp(keys, kTileStep); }
};

template <typename Body>
void forEachPanel(int64_t keys, const Body& body) {
  for (int64_t first = 0; first < keys; first += kTile)
    body(Panel{first / kTile, first, std::min(kTile, keys - first)});
}

// The values of an AttentionInput, or of its gradients; `query` is null where queries lie with keys and
// values.
template <typename T>
struct Parts {
  T *projected, *query;
};

// Where queries, keys and values of one head of one sequence begin, and how far their rows lie apart.
template <typename T>
struct Head {
  T *query, *key, *value;
  int64_t queryStride, stride;
};

// The sizes of an AttentionInput.
struct Shape {
  int64_t parts, heads, headSize;
  float scale;
  explicit Shape(const at::Tensor& projected)
      : parts(projected.size(1)),
        heads(projected.size(2)),
        headSize(projected.size(3)),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(headSize)))) {}
  int64_t hidden() const { return heads * headSize; }
  int64_t output(const Item& item) const { return item.firstOutput * hidden() + item.head * headSize; }

  template <typename T>
  Head<T> headOf(const Parts<T>& values, const Item& item) const {
    const int64_t stride = parts * hidden();
    T* first = values.projected + item.start * stride + item.head * headSize;
    if (values.query == nullptr) return {first, first + hidden(), first + 2 * hidden(), stride, stride};
    return {values.query + output(item), first, first + hidden(), hidden(), stride};
  }
};

// Rows of one head as a left-hand side of brgemm, kTile at a time: where they lie, or the last ones copied
// and followed by rows of zeros.
template <typename T>
class QueryTiles {
 public:
  explicit QueryTiles(int64_t headSize) : headSize_(headSize), copies_(kTile * headSize) {}

  struct Tile {
    const T* values;
    int64_t ld;
  };

  Tile load(const T* rows, int64_t ld, int64_t count) {
    if (count % kTileStep == 0) return {rows, ld};
    for (int64_t i = 0; i < count; ++i) std::copy_n(rows + i * ld, headSize_, copies_.data() + i * headSize_);
    std::fill_n(copies_.data() + count * headSize_, (roundUp(count, kTileStep) - count) * headSize_, T(0));
    return {copies_.data(), headSize_};
  }

 private:
  int64_t headSize_;
  Scratch<T> copies_;
};

// Keys or values of an item as right-hand sides. `longest` bounds the keys.
template <typename T>
class Columns {
 public:
  // Transposed: for sums over the head size. A panel is [headSize / pair, kTile, pair].
  // Else for sums over the keys: [keys / pair, headSize, pair].
  Columns(int64_t longest, int64_t headSize, bool isTransposed)
      : headSize_(headSize), isTransposed_(isTransposed), values_(roundUp(longest, kTile) * headSize) {}

  void pack(const T* rows, int64_t ld, int64_t keys) {
    forEachPanel(keys, [&](const Panel& panel) {
      T* target = values_.data() + panel.first * headSize_;
      const T* source = rows + panel.first * ld;
      if (isTransposed_)
        packPanelTransposed(target, source, ld, {headSize_, panel.keys, headSize_, kTile});
      else
        packPanel(target, source, ld, {panel.keys, headSize_, panel.width(), headSize_});
    });
  }
  const T* operator[](const Panel& panel) { return values_.data() + panel.first * headSize_; }

 private:
  int64_t headSize_;
  bool isTransposed_;
  Scratch<T> values_;
};

}  // namespace bertune::tiled
