// How attention iterates over a packed batch: heads of sequences as items of work, their keys in panels, and
// the tiles that brgemm takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
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

// Keys [first, end) of an item, where `first` begins a panel.
struct KeyRange {
  int64_t first, end;
  int64_t keys() const { return end - first; }
  int64_t panel() const { return first / kTile; }
};

template <typename Body>
void forEachPanel(const KeyRange& range, const Body& body) {
  for (int64_t first = range.first; first < range.end; first += kTile)
    body(Panel{first / kTile, first, std::min(kTile, range.end - first)});
}

// Which keys a query sees: those at most `reach` tokens away.
class Window {
 public:
  explicit Window(std::optional<int64_t> reach) : reach_(reach.value_or(kFar)) {}

  // The keys of all panels in which some of the queries [first, first + count) see one.
  KeyRange keysOf(int64_t first, int64_t count, int64_t length) const {
    return {std::max<int64_t>(0, first - reach_) / kTile * kTile,
            std::min(length, roundUp(first + count + reach_, kTile))};
  }
  // The first tile of queries that sees a panel.
  int64_t firstTileOf(const Panel& panel) const {
    return std::max<int64_t>(0, panel.first - reach_) / kTile * kTile;
  }
  // Makes the scores of the keys that `query` does not see the least there are. `scores` begins with those of
  // the range, and panels lie kTile * kTile apart.
  void hide(float* scores, int64_t query, const KeyRange& range) const {
    hide(scores, range, range.first, query - reach_);
    hide(scores, range, query + reach_ + 1, range.end);
  }

 private:
  static constexpr int64_t kFar = int64_t{1} << 32;

  static void hide(float* scores, const KeyRange& range, int64_t first, int64_t end) {
    for (int64_t key = std::max(first, range.first); key < std::min(end, range.end); ++key) {
      const int64_t place = key - range.first;
      scores[place / kTile * kTile * kTile + place % kTile] = -std::numeric_limits<float>::infinity();
    }
  }

  int64_t reach_;
};

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

// Turns rows of queries and keys by their positions, and gradients back; or neither, without a table.
class Rotation {
 public:
  Rotation() = default;
  // `table` is that of an AttentionInput.
  explicit Rotation(const at::Tensor& table) {
    if (!table.defined()) return;
    half_ = table.size(2);
    cosines_ = table.const_data_ptr<float>();
    sines_ = cosines_ + table.size(1) * half_;
  }
  bool turns() const { return cosines_ != nullptr; }
  template <typename T>
  void turn(T* out, const T* row, int64_t position) const {
    rowKernels().rotate(out, row, cosines_ + position * half_, sines_ + position * half_, half_);
  }
  // `count` rows from a position on, `ld` apart.
  void turnBack(float* rows, int64_t ld, int64_t position, int64_t count) const {
    if (!turns()) return;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = (position + i) * half_;
      rowKernels().rotateBack(rows + i * ld, rows + i * ld, cosines_ + place, sines_ + place, half_);
    }
  }

 private:
  const float *cosines_ = nullptr, *sines_ = nullptr;
  int64_t half_ = 0;
};

// The sizes of an AttentionInput, and how its queries meet its keys.
struct Shape {
  int64_t parts, heads, headSize;
  float scale;
  Window window;
  Rotation rotation;
  const RelativePositions& relative;
  Shape(const at::Tensor& projected, std::optional<int64_t> reach, const at::Tensor& rotaryTable,
        const RelativePositions& relative)
      : parts(projected.size(1)),
        heads(projected.size(2)),
        headSize(projected.size(3)),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(headSize * (1 + relative.parts()))))),
        window(reach),
        rotation(rotaryTable),
        relative(relative) {}
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

// Rows of one head as a left-hand side of brgemm, kTile at a time: where they lie, or copied, when they are
// turned or the last ones, which rows of zeros follow.
template <typename T>
class QueryTiles {
 public:
  explicit QueryTiles(int64_t headSize) : headSize_(headSize), copies_(kTile * headSize) {}

  struct Tile {
    const T* values;
    int64_t ld;
  };

  Tile load(const T* rows, int64_t ld, int64_t count) { return load(rows, ld, count, nullptr, 0); }

  // Turned by their positions, from `position` on.
  Tile load(const T* rows, int64_t ld, int64_t count, const Rotation* rotation, int64_t position) {
    const bool turns = rotation != nullptr && rotation->turns();
    if (!turns && count % kTileStep == 0) return {rows, ld};
    for (int64_t i = 0; i < count; ++i) {
      T* copy = copies_.data() + i * headSize_;
      if (turns)
        rotation->turn(copy, rows + i * ld, position + i);
      else
        std::copy_n(rows + i * ld, headSize_, copy);
    }
    std::fill_n(copies_.data() + count * headSize_, (roundUp(count, kTileStep) - count) * headSize_, T(0));
    return {copies_.data(), headSize_};
  }

 private:
  int64_t headSize_;
  Scratch<T> copies_;
};

// The keys of an item as the scores take them: where they lie, or turned by their positions.
template <typename T>
class KeyRows {
 public:
  KeyRows(int64_t longest, const Shape& shape)
      : headSize_(shape.headSize),
        rotation_(shape.rotation),
        copies_(rotation_.turns() ? longest * shape.headSize : 0) {}

  struct Rows {
    const T* values;
    int64_t ld;
  };

  Rows load(const Head<const T>& head, int64_t keys) {
    if (!rotation_.turns()) return {head.key, head.stride};
    for (int64_t i = 0; i < keys; ++i)
      rotation_.turn(copies_.data() + i * headSize_, head.key + i * head.stride, i);
    return {copies_.data(), headSize_};
  }

 private:
  int64_t headSize_;
  Rotation rotation_;
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
    forEachPanel({0, keys}, [&](const Panel& panel) {
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
