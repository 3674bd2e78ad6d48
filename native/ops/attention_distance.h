// What attention adds to the score of a query and a key by the distance between them, tile by tile, and its
// gradient: nothing of it is of size length x length.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>

#include "ops/attention_tiles.h"

namespace bertune::tiled {

// The rows of AttentionInput.distanceBias as scores take them before they are scaled; or nothing to add.
class DistanceBias {
 public:
  DistanceBias() = default;
  DistanceBias(const at::Tensor& bias, float scale) {
    if (!bias.defined()) return;
    values_ = bias / scale;
    farthest_ = values_.size(1) / 2;
  }

  // `scores` begins with those of the range, and panels lie kPanelValues apart.
  void add(float* scores, int64_t head, int64_t query, const KeyRange& range) const {
    if (!values_.defined()) return;
    const float* biases = values_.const_data_ptr<float>() + head * values_.size(1) + farthest_ - query;
    forEachPanel(range, [&](const Panel& panel) {
      rowKernels().add(scores + (panel.number - range.panel()) * kPanelValues, biases + panel.first,
                       panel.keys);
    });
  }

 private:
  at::Tensor values_;
  int64_t farthest_ = 0;  // the distance to both sides that the rows hold
};

// The gradient of the bias: the sum of dScores over all queries and keys of a distance. Every item has sums
// of its own, 2 * length - 1 values, so that their order does not depend on the threads.
class DistanceSums {
 public:
  DistanceSums() = default;
  DistanceSums(int64_t heads, int64_t tokens)
      : sums_(at::zeros({heads, 2 * tokens}, at::kFloat)), tokens_(tokens) {}

  // `dScores` are those of a query and the keys of a panel.
  template <typename T>
  void add(const T* dScores, const Item& item, int64_t query, const Panel& panel) const {
    if (!sums_.defined()) return;
    rowKernels().add(sumsOf(item) + item.length - 1 - query + panel.first, dScores, panel.keys);
  }

  // Like the bias, [heads, distances].
  at::Tensor total(const Items& items, int64_t distances) const {
    const int64_t heads = sums_.size(0), ofHead = items.count() / heads;
    at::Tensor total = at::zeros({heads, distances}, at::kFloat);
    auto* totals = total.mutable_data_ptr<float>();
    at::parallel_for(0, heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * ofHead; i < end * ofHead; ++i) {
        const Item item = items[i];
        rowKernels().add(totals + item.head * distances + distances / 2 - (item.length - 1), sumsOf(item),
                         2 * item.length - 1);
      }
    });
    return total;
  }

 private:
  float* sumsOf(const Item& item) const {
    return sums_.mutable_data_ptr<float>() + (item.head * tokens_ + item.start) * 2;
  }

  at::Tensor sums_;
  int64_t tokens_ = 0;
};

// What the backward pass adds to scores, and where their gradient goes.
struct Distances {
  DistanceBias bias;
  DistanceSums sums;
};

}  // namespace bertune::tiled
