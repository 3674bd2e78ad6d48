#include "attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention_cuda.h"
#include "dropout.h"
#include "kernels.h"
#include "packing.h"
#include "phases.h"
#include "scratch.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One head of one sequence. Work items are ordered head by head: each thread then meets every sequence
// length equally often, and long sequences cannot all fall to one thread.
struct Item {
  int64_t head;
  int64_t start;
  int64_t length;
  int64_t queries;      // the first rows of the sequence that ask
  int64_t firstOutput;  // the row of the result where theirs begin
};

class Items {
 public:
  Items(const std::vector<int32_t>& cuSeqlens, int64_t heads, Queries queries)
      : cuSeqlens_(cuSeqlens), heads_(heads), queries_(queries) {}
  int64_t count() const { return sequences() * heads_; }
  Item operator[](int64_t index) const {
    const int64_t sequence = index % sequences();
    const int64_t start = cuSeqlens_[sequence];
    const int64_t length = cuSeqlens_[sequence + 1] - start, head = index / sequences();
    if (queries_ == Queries::First) return {head, start, length, 1, sequence};
    return {head, start, length, length, start};
  }
  int64_t outputs() const { return queries_ == Queries::First ? sequences() : cuSeqlens_.back(); }
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
  Queries queries_;
};

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

// Tensors in the layouts of `attention`, element by element.
struct Shape {
  int64_t heads, headSize;
  float scale;
  explicit Shape(const at::Tensor& qkv)
      : heads(qkv.size(2)),
        headSize(qkv.size(3)),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(headSize)))) {}
  int64_t hidden() const { return heads * headSize; }
  int64_t token() const { return 3 * hidden(); }  // from one row of qkv to the next
  int64_t offset(const Item& item, int64_t part) const {
    return item.start * token() + part * hidden() + item.head * headSize;
  }
  int64_t output(const Item& item) const { return item.firstOutput * hidden() + item.head * headSize; }
};

// Rows of one head as a left-hand side of products, kTile at a time: where they lie, or the last ones copied
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
  // Transposed: for products over the head size. A panel is [headSize / pair, kTile, pair].
  // Else for products over the keys: [keys / pair, headSize, pair].
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

// What forward and backward need of working memory, on one thread.
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

constexpr int64_t kPanelValues = kTile * kTile;
static_assert(kernels::kPanel == kTile);

template <typename T>
void forwardItem(const T* qkv, const Shape& shape, const Item& item, const Mask& mask,
                 ForwardScratch<T>& scratch, T* out, float* logSums) {
  const int64_t headSize = shape.headSize;
  scratch.keys.pack(qkv + shape.offset(item, 1), shape.token(), item.length);
  scratch.values.pack(qkv + shape.offset(item, 2), shape.token(), item.length);
  float *scores = scratch.scores.data(), *context = scratch.context.data();
  T* probabilities = scratch.probabilities.data();
  for (int64_t first = 0; first < item.queries; first += kTile) {
    const int64_t rows = std::min(kTile, item.queries - first), padded = roundUp(rows, kTileStep);
    const auto queries =
        scratch.queries.load(qkv + shape.offset(item, 0) + first * shape.token(), shape.token(), rows);
    forEachPanel(item.length, [&](const Panel& panel) {
      multiply(scores + panel.number * kPanelValues, kTile, queries.values, queries.ld, scratch.keys[panel],
               kTile, {padded, panel.width(), headSize}, false);
    });
    float inverseSums[kTile];
    for (int64_t i = 0; i < rows; ++i) {
      const kernels::SoftmaxSums sums =
          kernels::expDropout(probabilities + i * kTile, scores + i * kTile, item.length, kPanelValues,
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
      kernels::scale(target + i * shape.hidden(), context + i * headSize, inverseSums[i], headSize);
  }
}

template <typename T>
struct BackwardScratch {
  Columns<T> transposedKeys, transposedValues, keys;
  QueryTiles<T> queries, gradients;
  Scratch<T> transposedQueries, transposedGradients;  // [headSize, kTile]
  Scratch<float> scores, dProbabilities;              // [kTile, kTile] each, of one panel
  Scratch<T> dScores, dScorePairs, dropped;
  Scratch<float> dQuery;          // [kTile, headSize]
  Scratch<float> dKeys, dValues;  // transposed, panel by panel: [headSize, kTile]
  Scratch<uint32_t> rows;         // of one panel, [kTile, headSize]
  BackwardScratch(int64_t longest, int64_t headSize)
      : transposedKeys(longest, headSize, true),
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
        rows(kTile * headSize) {}

  // The right-hand side of dK^T = Q^T dS: as float32 the rows of dS are that already.
  const T* dScoreColumns() { return kPair<T> == 1 ? dScores.data() : dScorePairs.data(); }
};

// The queries of a tile; behind them, rows of padding.
template <typename T>
void loadQueries(kernels::QueryBack (&queries)[kTile], const T* out, const T* dOut, const float* logSums,
                 const Shape& shape, const Item& item, int64_t first, int64_t rows, const Mask& mask) {
  for (int64_t i = 0; i < kTile; ++i) {
    queries[i] = {std::numeric_limits<float>::infinity(), 0.0f, {}};
    if (i >= rows) continue;
    const int64_t row = shape.output(item) + (first + i) * shape.hidden();
    queries[i] = {logSums[first + i], kernels::dot(out + row, dOut + row, shape.headSize),
                  mask.row((item.start + first + i) * shape.heads + item.head)};
  }
}

// From [headSize, kTile] to rows of dQkv, times `scale`.
template <typename T>
void storeTransposed(T* target, int64_t ld, const float* transposed, const Shape& shape, int64_t rows,
                     float scale, uint32_t* buffer) {
  kernels::transpose(buffer, shape.headSize, reinterpret_cast<const uint32_t*>(transposed), kTile,
                     shape.headSize, rows);
  for (int64_t i = 0; i < rows; ++i)
    kernels::scale(target + i * ld, reinterpret_cast<const float*>(buffer) + i * shape.headSize, scale,
                   shape.headSize);
}

// With P = softmax(S), D = dropout(P), O = D V: dV = D^T dO, dD = dO V^T, dS = P * (mask * dD - rowsum(dO *
// O)), dQ = dS K, dK = dS^T Q (Dao et al. 2022, FlashAttention, appendix B).
template <typename T>
void backwardItem(const T* qkv, const T* out, const float* logSums, const T* dOut, const Shape& shape,
                  const Item& item, const Mask& mask, BackwardScratch<T>& scratch, T* dQkv) {
  const int64_t headSize = shape.headSize, token = shape.token();
  scratch.transposedKeys.pack(qkv + shape.offset(item, 1), token, item.length);
  scratch.transposedValues.pack(qkv + shape.offset(item, 2), token, item.length);
  scratch.keys.pack(qkv + shape.offset(item, 1), token, item.length);
  float *scores = scratch.scores.data(), *dProbabilities = scratch.dProbabilities.data();
  for (int64_t first = 0; first < item.queries; first += kTile) {
    const int64_t rows = std::min(kTile, item.queries - first), padded = roundUp(rows, kTileStep);
    const auto query = scratch.queries.load(qkv + shape.offset(item, 0) + first * token, token, rows);
    const auto gradient =
        scratch.gradients.load(dOut + shape.output(item) + first * shape.hidden(), shape.hidden(), rows);
    packTransposed(scratch.transposedQueries.data(), kTile, query.values, query.ld, padded, headSize, padded);
    packTransposed(scratch.transposedGradients.data(), kTile, gradient.values, gradient.ld, padded, headSize,
                   padded);
    kernels::QueryBack queries[kTile];
    loadQueries(queries, out, dOut, logSums, shape, item, first, rows, mask);
    const bool adds = first > 0;
    forEachPanel(item.length, [&](const Panel& panel) {
      const int64_t width = panel.width(), columns = panel.first * headSize;
      multiply(scores, kTile, query.values, query.ld, scratch.transposedKeys[panel], kTile,
               {padded, width, headSize}, false);
      multiply(dProbabilities, kTile, gradient.values, gradient.ld, scratch.transposedValues[panel], kTile,
               {padded, width, headSize}, false);
      for (int64_t i = 0; i < padded; i += 2) {
        const int64_t row = i * kTile;
        kernels::softmaxBackward(scratch.dScores.data() + row, scratch.dScorePairs.data() + row,
                                 scratch.dropped.data() + row, scores + row, dProbabilities + row,
                                 panel.first, panel.keys, shape.scale, mask, queries + i);
      }
      multiply(scratch.dValues.data() + columns, kTile, scratch.transposedGradients.data(), kTile,
               scratch.dropped.data(), kTile, {headSize, width, padded}, adds);
      multiply(scratch.dKeys.data() + columns, kTile, scratch.transposedQueries.data(), kTile,
               scratch.dScoreColumns(), kTile, {headSize, width, padded}, adds);
      multiply(scratch.dQuery.data(), headSize, scratch.dScores.data(), kTile, scratch.keys[panel], headSize,
               {padded, headSize, width}, panel.number > 0);
    });
    T* target = dQkv + shape.offset(item, 0) + first * token;
    for (int64_t i = 0; i < rows; ++i)
      kernels::scale(target + i * token, scratch.dQuery.data() + i * headSize, shape.scale, headSize);
  }
  for (int64_t i = item.queries; i < item.length; ++i)
    std::fill_n(dQkv + shape.offset(item, 0) + i * token, headSize, T(0));
  forEachPanel(item.length, [&](const Panel& panel) {
    const int64_t row = panel.first * token, columns = panel.first * headSize;
    storeTransposed(dQkv + shape.offset(item, 1) + row, token, scratch.dKeys.data() + columns, shape,
                    panel.keys, shape.scale, scratch.rows.data());
    storeTransposed(dQkv + shape.offset(item, 2) + row, token, scratch.dValues.data() + columns, shape,
                    panel.keys, 1.0f, scratch.rows.data());
  });
}

// body(item, scratch) for all items, on all threads.
template <typename ThreadScratch, typename Body>
void forEachItem(const Items& items, const Shape& shape, const Body& body) {
  at::parallel_for(0, items.count(), 1, [&](int64_t begin, int64_t end) {
    const phases::Scope phase(phases::Phase::Attention);
    const TileProducts products;
    ThreadScratch scratch(items.longest(), shape.headSize);
    for (int64_t i = begin; i < end; ++i) body(items[i], scratch);
  });
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const std::vector<int32_t>& cuSeqlens, const Mask& mask, Queries queries) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const Shape shape(qkv);
    const Items items(cuSeqlens, shape.heads, queries);
    at::Tensor out = at::empty({items.outputs(), shape.heads, shape.headSize}, qkv.options());
    at::Tensor logSums = at::empty({shape.heads, items.outputs()}, qkv.options().dtype(at::kFloat));
    if (qkv.scalar_type() == at::kFloat)
      compute<float>(out, logSums, qkv, shape, items, mask);
    else
      compute<at::BFloat16>(out, logSums, qkv, shape, items, mask);
    context->save_for_backward({qkv, out, logSums});
    context->saved_data["cuSeqlens"] = std::vector<int64_t>(cuSeqlens.begin(), cuSeqlens.end());
    context->saved_data["queries"] = static_cast<int64_t>(queries);
    saveMask(context, mask);
    return out.view({items.outputs(), shape.hidden()});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &out = saved[1], &logSums = saved[2];
    const at::Tensor dOut = gradients[0].contiguous();
    const std::vector<int64_t> offsets = context->saved_data["cuSeqlens"].toIntVector();
    const std::vector<int32_t> cuSeqlens(offsets.begin(), offsets.end());
    const auto queries = static_cast<Queries>(context->saved_data["queries"].toInt());
    const Mask mask = savedMask(context);
    const Shape shape(qkv);
    const Items items(cuSeqlens, shape.heads, queries);
    at::Tensor dQkv = at::empty_like(qkv);
    if (qkv.scalar_type() == at::kFloat)
      computeBackward<float>(dQkv, qkv, out, logSums, dOut, shape, items, mask);
    else
      computeBackward<at::BFloat16>(dQkv, qkv, out, logSums, dOut, shape, items, mask);
    return {dQkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T>
  static void compute(at::Tensor& out, at::Tensor& logSums, const at::Tensor& qkv, const Shape& shape,
                      const Items& items, const Mask& mask) {
    const T* values = qkv.const_data_ptr<T>();
    T* target = out.mutable_data_ptr<T>();
    auto* sums = logSums.mutable_data_ptr<float>();
    forEachItem<ForwardScratch<T>>(items, shape, [&](const Item& item, ForwardScratch<T>& scratch) {
      forwardItem<T>(values, shape, item, mask, scratch, target,
                     sums + item.head * items.outputs() + item.firstOutput);
    });
  }

  template <typename T>
  static void computeBackward(at::Tensor& dQkv, const at::Tensor& qkv, const at::Tensor& out,
                              const at::Tensor& logSums, const at::Tensor& dOut, const Shape& shape,
                              const Items& items, const Mask& mask) {
    const T *values = qkv.const_data_ptr<T>(), *result = out.const_data_ptr<T>(),
            *gradient = dOut.const_data_ptr<T>();
    const auto* sums = logSums.const_data_ptr<float>();
    T* target = dQkv.mutable_data_ptr<T>();
    forEachItem<BackwardScratch<T>>(items, shape, [&](const Item& item, BackwardScratch<T>& scratch) {
      backwardItem<T>(values, result, sums + item.head * items.outputs() + item.firstOutput, gradient, shape,
                      item, mask, scratch, target);
    });
  }
};

}  // namespace

at::Tensor attention(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const at::Tensor& offsets,
                     const Mask& mask, Queries queries) {
  if (qkv.is_cuda() && hasCudaAttention(qkv.scalar_type(), qkv.size(3)))
    return attentionCuda(qkv, cuSeqlens, offsets, mask, queries);
  // Of bfloat16 the products take pairs.
  const bool hasPairs = qkv.scalar_type() == at::kFloat || qkv.size(3) % 2 == 0;
  return qkv.is_cpu() && hasPairs && hasTileProducts(qkv.scalar_type())
             ? Attention::apply(qkv, cuSeqlens, mask, queries)
             : attentionComposed(qkv, cuSeqlens, mask, queries);
}

at::Tensor attentionComposed(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                             Queries queries) {
  const int64_t heads = qkv.size(2), headSize = qkv.size(3);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t asked = queries == Queries::First ? 1 : length;
    const at::Tensor sequence =
        qkv.narrow(0, start, length).permute({1, 2, 0, 3});  // [3, heads, length, headSize]
    const at::Tensor scores = at::matmul(sequence[0].narrow(1, 0, asked), sequence[1].transpose(1, 2)) /
                              std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    if (!mask.dropsNothing()) {
      Mask rows = mask;
      rows.firstRow += start * heads;
      const at::Tensor kept = maskTensor(rows, asked * heads, length, qkv.device());
      probabilities = probabilities * kept.view({asked, heads, length}).transpose(0, 1).to(qkv.scalar_type());
    }
    outputs.push_back(
        at::matmul(probabilities, sequence[2]).permute({1, 0, 2}).reshape({asked, heads * headSize}));
  }
  return at::cat(outputs);
}

}  // namespace bertune
