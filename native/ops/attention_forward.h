// The forward pass of one head of one sequence, a tile of queries at a time.
#pragma once

#include "core/random.h"
#include "ops/attention_tiles.h"

namespace bertune::tiled {

// Working memory of a thread.
template <typename T>
struct ForwardScratch {
  Columns<T> keys, values;
  QueryTiles<T> queries;
  Scratch<float> scores, context;
  Scratch<T> probabilities;
  ForwardScratch(int64_t longest, int64_t headSize)
      : keys(longest, headSize, true),
        values(longest, headSize, false),
        queries(headSize),
        scores(kTile * roundUp(longest, kTile)),
        context(kTile * headSize),
        probabilities(kTile * roundUp(longest, kTile)) {}
};

template <typename T>
void forwardItem(const Head<const T>& head, const Shape& shape, const Item& item, const Mask& mask,
                 ForwardScratch<T>& scratch, T* out, float* logSums) {
  const int64_t headSize = shape.headSize;
  scratch.keys.pack(head.key, head.stride, item.length);
  scratch.values.pack(head.value, head.stride, item.length);
  float *scores = scratch.scores.data(), *context = scratch.context.data();
  T* probabilities = scratch.probabilities.data();
  for (int64_t first = 0; first < item.queries; first += kTile) {
    const int64_t rows = std::min(kTile, item.queries - first), padded = roundUp(rows, kTileStep);
    const auto queries = scratch.queries.load(head.query + first * head.queryStride, head.queryStride, rows);
    forEachPanel(item.length, [&](const Panel& panel) {
      multiply(scores + panel.number * kPanelValues, kTile, queries.values, queries.ld, scratch.keys[panel],
               kTile, {padded, panel.width(), headSize}, false);
    });
    float inverseSums[kTile];
    for (int64_t i = 0; i < rows; ++i) {
      const kernels::SoftmaxSums sums =
          rowKernels().expDropout(probabilities + i * kTile, scores + i * kTile, item.length, kPanelValues,
                                  shape.scale, mask, (item.start + first + i) * shape.heads + item.head);
      logSums[first + i] = sums.logSum;
      inverseSums[i] = mask.scale / sums.sum;
    }
    forEachPanel(item.length, [&](const Panel& panel) {
      multiply(context, headSize, probabilities + panel.number * kPanelValues, kTile, scratch.values[panel],
               headSize, {padded, headSize, panel.width()}, panel.number > 0);
    });
    T* target = out + shape.output(item) + first * shape.hidden();
    for (int64_t i = 0; i < rows; ++i)
      rowKernels().scale(target + i * shape.hidden(), context + i * headSize, inverseSums[i], headSize);
  }
}

}  // namespace bertune::tiled
