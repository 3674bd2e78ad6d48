// The forward and the backward pass of one head of one sequence, a tile of queries and a panel of keys at a
// time.
#pragma once

#include <limits>

#include "core/random.h"
#include "ops/attention_disentangled.h"
#include "ops/attention_distance.h"
#include "ops/attention_tiles.h"

namespace bertune::tiled {

// Working memory of a thread in the forward pass.
template <typename T>
struct ForwardScratch {
  KeyRows<T> keyRows;
  Columns<T> keys, values;
  QueryTiles<T> queries;
  Scratch<float> scores, context;
  Scratch<T> probabilities;
  RelativeScores<T> relative;
  ForwardScratch(int64_t longest, const Shape& shape)
      : keyRows(longest, shape),
        keys(longest, shape.headSize, true),
        values(longest, shape.headSize, false),
        queries(shape.headSize),
        scores(kTile * roundUp(longest, kTile)),
        context(kTile * shape.headSize),
        probabilities(kTile * roundUp(longest, kTile)),
        relative(longest, shape) {}
};

template <typename T>
void forwardItem(const Head<const T>& head, const Shape& shape, const DistanceBias& bias, const Item& item,
                 const Mask& mask, ForwardScratch<T>& scratch, T* out, float* logSums) {
  const int64_t headSize = shape.headSize;
  const auto keys = scratch.keyRows.load(head, item.length);
  scratch.keys.pack(keys.values, keys.ld, item.length);
  scratch.values.pack(head.value, head.stride, item.length);
  scratch.relative.start(item, head);
  float *scores = scratch.scores.data(), *context = scratch.context.data();
  T* probabilities = scratch.probabilities.data();
  for (int64_t first = 0; first < item.queries; first += kTile) {
    const int64_t rows = std::min(kTile, item.queries - first), padded = roundUp(rows, kTileStep);
    const auto queries = scratch.queries.load(head.query + first * head.queryStride, head.queryStride, rows,
                                              &shape.rotation, first);
    const KeyRange range = shape.window.keysOf(first, rows, item.length);
    const auto place = [&](const Panel& panel) { return (panel.number - range.panel()) * kPanelValues; };
    forEachPanel(range, [&](const Panel& panel) {
      brgemm(scores + place(panel), kTile, queries.values, queries.ld, scratch.keys[panel], kTile,
             {padded, panel.width(), headSize}, false);
      scratch.relative.addTo(scores + place(panel), queries, first, padded, panel);
    });
    float inverseSums[kTile];
    for (int64_t i = 0; i < rows; ++i) {
      bias.add(scores + i * kTile, item.head, first + i, range);
      shape.window.hide(scores + i * kTile, first + i, range);
      const kernels::SoftmaxSums sums = rowKernels().expDropout(
          probabilities + i * kTile, scores + i * kTile, range.first, range.keys(), kPanelValues, shape.scale,
          mask, (item.start + first + i) * shape.heads + item.head);
      logSums[first + i] = sums.logSum;
      inverseSums[i] = mask.scale / sums.sum;
    }
    forEachPanel(range, [&](const Panel& panel) {
      brgemm(context, headSize, probabilities + place(panel), kTile, scratch.values[panel], headSize,
             {padded, headSize, panel.width()}, panel.first > range.first);
    });
    T* target = out + shape.output(item) + first * shape.hidden();
    for (int64_t i = 0; i < rows; ++i)
      rowKernels().scale(target + i * shape.hidden(), context + i * headSize, inverseSums[i], headSize);
  }
}

// Working memory of a thread in the backward pass.
template <typename T>
struct BackwardScratch {
  KeyRows<T> keyRows;
  Columns<T> transposedKeys, transposedValues, keys;
  QueryTiles<T> queries, gradients;
  Scratch<T> transposedQueries, transposedGradients;  // [headSize, kTile]
  Scratch<float> scores, dProbabilities;              // [kTile, kTile] each, of one panel
  Scratch<T> dScores, dScorePairs, dropped;
  Scratch<float> dQuery;          // [kTile, headSize]
  Scratch<float> dKeys, dValues;  // transposed, panel by panel: [headSize, kTile]
  Scratch<uint32_t> rows;         // of one panel, [kTile, headSize]
  RelativeGradients<T> relative;
  BackwardScratch(int64_t longest, const Shape& shape, int64_t headSize)
      : keyRows(longest, shape),
        transposedKeys(longest, headSize, true),
        transposedValues(longest, headSize, true),
        keys(longest, headSize, false),
        queries(headSize),
        gradients(headSize),
        transposedQueries(headSize * kTile),
        transposedGradients(headSize * kTile),
        scores(kPanelValues),
        dProbabilities(kPanelValues),
        dScores(kPanelValues),
        dScorePairs(kPanelValues),
        dropped(kPanelValues),
        dQuery(kTile * headSize),
        dKeys(roundUp(longest, kTile) * headSize),
        dValues(roundUp(longest, kTile) * headSize),
        rows(kTile * headSize),
        relative(longest, shape) {}
  BackwardScratch(int64_t longest, const Shape& shape) : BackwardScratch(longest, shape, shape.headSize) {}

  // The right-hand side of dK^T = Q^T dS: as float32 the rows of dS are that already.
  const T* dScoreColumns() { return kPair<T> == 1 ? dScores.data() : dScorePairs.data(); }
};

// With P = softmax(S), D = dropout(P), O = D V: dV = D^T dO, dD = dO V^T, dS = P * (mask * dD - rowsum(dO *
// O)), dQ = dS K, dK = dS^T Q (Dao et al. 2022, FlashAttention, appendix B).
template <typename T>
class BackwardItem {
 public:
  // `out` and `logSums` are what the forward pass gave for the item; `logSums` begins with its first query.
  BackwardItem(const Head<const T>& head, const T* out, const float* logSums, const T* dOut,
               const Shape& shape, const Distances& distances, const Item& item, const Mask& mask,
               BackwardScratch<T>& scratch, const Head<T>& gradients, RelativeSums& relativeSums)
      : head_(head),
        out_(out),
        logSums_(logSums),
        dOut_(dOut),
        shape_(shape),
        distances_(distances),
        item_(item),
        mask_(mask),
        scratch_(scratch),
        gradients_(gradients),
        relativeSums_(relativeSums) {}

  void run() {
    packKeysAndValues();
    scratch_.relative.start(item_, head_, relativeSums_);
    for (int64_t first = 0; first < item_.queries; first += kTile) {
      const Tile tile = load(first);
      forEachPanel(tile.range, [&](const Panel& panel) { backward(tile, panel); });
      storeQueries(tile);
    }
    const int64_t seen = shape_.window.keysOf(0, item_.queries, item_.length).end;
    forEachPanel({0, item_.length}, [&](const Panel& panel) {
      if (panel.first >= seen) clear(panel);
      const float* relative = scratch_.relative.dKeys(panel, item_.queries - 1);
      storeTransposed(gradients_.key, panel, scratch_.dKeys, shape_.scale, shape_.rotation, relative);
      storeTransposed(gradients_.value, panel, scratch_.dValues, 1.0f, Rotation(), nullptr);
    });
  }

 private:
  using Side = typename QueryTiles<T>::Tile;
  struct Tile {
    int64_t first, rows, padded;
    KeyRange range;
    Side query, gradient;
    kernels::QueryBack queries[kTile];
  };

  void packKeysAndValues() {
    const auto keys = scratch_.keyRows.load(head_, item_.length);
    scratch_.transposedKeys.pack(keys.values, keys.ld, item_.length);
    scratch_.transposedValues.pack(head_.value, head_.stride, item_.length);
    scratch_.keys.pack(keys.values, keys.ld, item_.length);
  }

  Tile load(int64_t first) {
    const int64_t rows = std::min(kTile, item_.queries - first), padded = roundUp(rows, kTileStep);
    const T* gradients = dOut_ + shape_.output(item_) + first * shape_.hidden();
    Tile tile{first,
              rows,
              padded,
              shape_.window.keysOf(first, rows, item_.length),
              scratch_.queries.load(head_.query + first * head_.queryStride, head_.queryStride, rows,
                                    &shape_.rotation, first),
              scratch_.gradients.load(gradients, shape_.hidden(), rows),
              {}};
    transpose(scratch_.transposedQueries, tile.query, padded);
    transpose(scratch_.transposedGradients, tile.gradient, padded);
    for (int64_t i = 0; i < kTile; ++i) tile.queries[i] = i < rows ? query(first + i) : kPadding;
    return tile;
  }

  void transpose(Scratch<T>& target, const Side& side, int64_t padded) {
    packTransposed(target.data(), kTile, side.values, side.ld, padded, shape_.headSize, padded);
  }

  static constexpr kernels::QueryBack kPadding{std::numeric_limits<float>::infinity(), 0.0f, {}};

  kernels::QueryBack query(int64_t i) const {
    const int64_t row = shape_.output(item_) + i * shape_.hidden();
    return {logSums_[i], rowKernels().dot(out_ + row, dOut_ + row, shape_.headSize),
            mask_.row((item_.start + i) * shape_.heads + item_.head)};
  }

  void backward(const Tile& tile, const Panel& panel) {
    const int64_t width = panel.width(), columns = panel.first * shape_.headSize;
    matmul(scratch_.scores, tile.query, scratch_.transposedKeys[panel], tile.padded, width);
    scratch_.relative.addTo(scratch_.scores.data(), tile.query, tile.first, tile.padded, panel);
    matmul(scratch_.dProbabilities, tile.gradient, scratch_.transposedValues[panel], tile.padded, width);
    softmaxBackward(tile, panel);
    const bool adds = tile.first > shape_.window.firstTileOf(panel);
    const int64_t headSize = shape_.headSize;
    brgemm(scratch_.dValues.data() + columns, kTile, scratch_.transposedGradients.data(), kTile,
           scratch_.dropped.data(), kTile, {headSize, width, tile.padded}, adds);
    brgemm(scratch_.dKeys.data() + columns, kTile, scratch_.transposedQueries.data(), kTile,
           scratch_.dScoreColumns(), kTile, {headSize, width, tile.padded}, adds);
    brgemm(scratch_.dQuery.data(), headSize, scratch_.dScores.data(), kTile, scratch_.keys[panel], headSize,
           {tile.padded, headSize, width}, panel.first > tile.range.first);
    scratch_.relative.add(scratch_.dScores.data(), scratch_.dScorePairs.data(),
                          scratch_.transposedQueries.data(), scratch_.dQuery.data(), tile.first, tile.padded,
                          panel, panel.first + panel.keys == tile.range.end);
  }

  void matmul(Scratch<float>& target, const Side& side, const T* columns, int64_t padded, int64_t width) {
    brgemm(target.data(), kTile, side.values, side.ld, columns, kTile, {padded, width, shape_.headSize},
           false);
  }

  void softmaxBackward(const Tile& tile, const Panel& panel) {
    const KeyRange keys{panel.first, panel.first + panel.keys};
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* scores = scratch_.scores.data() + i * kTile;
      distances_.bias.add(scores, item_.head, tile.first + i, keys);
      shape_.window.hide(scores, tile.first + i, keys);
    }
    for (int64_t i = 0; i < tile.padded; i += 2) {
      const int64_t row = i * kTile;
      rowKernels().softmaxBackward(scratch_.dScores.data() + row, scratch_.dScorePairs.data() + row,
                                   scratch_.dropped.data() + row, scratch_.scores.data() + row,
                                   scratch_.dProbabilities.data() + row, panel.first, panel.keys,
                                   shape_.scale, mask_, tile.queries + i);
    }
    for (int64_t i = 0; i < tile.rows; ++i)
      distances_.sums.add(scratch_.dScores.data() + i * kTile, item_, tile.first + i, panel);
  }

  void storeQueries(const Tile& tile) {
    const int64_t stride = gradients_.queryStride;
    T* target = gradients_.query + tile.first * stride;
    shape_.rotation.turnBack(scratch_.dQuery.data(), shape_.headSize, tile.first, tile.rows);
    for (int64_t i = 0; i < tile.rows; ++i)
      rowKernels().scale(target + i * stride, scratch_.dQuery.data() + i * shape_.headSize, shape_.scale,
                         shape_.headSize);
  }

  void clear(const Panel& panel) {
    const int64_t first = panel.first * shape_.headSize, values = kTile * shape_.headSize;
    std::fill_n(scratch_.dKeys.data() + first, values, 0.0f);
    std::fill_n(scratch_.dValues.data() + first, values, 0.0f);
  }

  // From [headSize, kTile] of a panel to rows of keys or values, turned back, with what is `added`, times
  // `scale`.
  void storeTransposed(T* first, const Panel& panel, Scratch<float>& transposed, float scale,
                       const Rotation& rotation, const float* added) {
    const int64_t headSize = shape_.headSize, stride = gradients_.stride;
    uint32_t* rows = scratch_.rows.data();
    rowKernels().transpose(rows, headSize,
                           reinterpret_cast<const uint32_t*>(transposed.data() + panel.first * headSize),
                           kTile, headSize, panel.keys);
    auto* values = reinterpret_cast<float*>(rows);
    rotation.turnBack(values, headSize, panel.first, panel.keys);
    if (added != nullptr) rowKernels().add(values, added, panel.keys * headSize);
    T* target = first + panel.first * stride;
    for (int64_t i = 0; i < panel.keys; ++i)
      rowKernels().scale(target + i * stride, values + i * headSize, scale, headSize);
  }

  const Head<const T> head_;
  const T* out_;
  const float* logSums_;
  const T* dOut_;
  const Shape& shape_;
  const Distances& distances_;
  const Item item_;
  const Mask& mask_;
  BackwardScratch<T>& scratch_;
  const Head<T> gradients_;
  RelativeSums& relativeSums_;
};

}  // namespace bertune::tiled
