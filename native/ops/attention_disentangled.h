// Disentangled attention (He et al. 2020, DeBERTa, arXiv 2006.03654): the score of query i and key j is
// q_i k_j + q_i K(i - j) + k_j Q(i - j), with a relative key K and a relative query Q for each distance.
//
// A tile of queries and a panel of keys are at 2 * kTile - 1 distances from each other. So the products of
// kTile vectors with the relative vectors of two blocks of kTile distances, a band, hold all that the tile
// and the panel need; and one of the two blocks is that which the neighbouring panel or tile needs too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <tuple>
#include <vector>

#include "ops/attention_tiles.h"

namespace bertune::tiled {

// Row by row kTile vectors, column by column the distances of two blocks. What belongs to vector `row` and
// place `column` of the other side is at skewed[row * kSkew + column].
constexpr int64_t kBandWidth = 2 * kTile, kSkew = kBandWidth - 1, kBandValues = kTile * kBandWidth;

template <typename T>
T* skewed(T* band) {
  return band + kTile;
}

// Makes the upper block of a band its lower one.
template <typename T>
void shiftBand(T* band, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(band + i * kBandWidth + kTile, kTile, band + i * kBandWidth);
}

// Gradients of relative vectors that threads have summed up over the sequences they had of a head. Added up
// in the order of these sequences, whichever thread is done first.
class RelativeSums {
 public:
  void add(int64_t head, int64_t first, Scratch<float> keys, Scratch<float> queries) {
    const std::lock_guard lock(mutex_);
    parts_.push_back({head, first, std::move(keys), std::move(queries)});
  }

  // To dKeys and dQueries, [rows, heads, head size] each, or undefined.
  template <typename T>
  void store(at::Tensor& dKeys, at::Tensor& dQueries, float scale) {
    std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
      return std::tie(a.head, a.first) < std::tie(b.head, b.first);
    });
    store<T>(dKeys, &Part::keys, scale);
    store<T>(dQueries, &Part::queries, scale);
  }

 private:
  struct Part {
    int64_t head, first;
    Scratch<float> keys, queries;  // [rows, head size]
  };

  template <typename T>
  void store(at::Tensor& target, Scratch<float> Part::*values, float scale) {
    if (!target.defined()) return;
    const int64_t rows = target.size(0), stride = target.size(1) * target.size(2), headSize = target.size(2);
    for (size_t i = 0; i < parts_.size(); ++i) {
      float* sums = (parts_[i].*values).data();
      const bool isLast = i + 1 == parts_.size() || parts_[i + 1].head != parts_[i].head;
      if (!isLast) {
        rowKernels().add((parts_[i + 1].*values).data(), sums, rows * headSize);
        continue;
      }
      T* first = target.mutable_data_ptr<T>() + parts_[i].head * headSize;
      for (int64_t row = 0; row < rows; ++row)
        rowKernels().scale(first + row * stride, sums + row * headSize, scale, headSize);
    }
  }

  std::mutex mutex_;
  std::vector<Part> parts_;
};

// The relative keys or queries of a head in blocks of kTile distances, as right-hand sides of brgemm, and in
// a backward pass the sums of their gradients. Of keys the distances are key - query, of queries query - key:
// those in which a band's columns run.
template <typename T>
class RelativeBlocks {
 public:
  // Nothing where `vectors` is undefined.
  RelativeBlocks(const at::Tensor& vectors, const RelativePositions& positions, bool isKeys, int64_t longest,
                 bool isBackward)
      : vectors_(vectors.defined() ? vectors.const_data_ptr<T>() : nullptr),
        rows_(vectors.defined() ? vectors.size(0) : 0),
        headSize_(vectors.defined() ? vectors.size(2) : 0),
        stride_(vectors.defined() ? vectors.size(1) * headSize_ : 0),
        blocks_(roundUp(longest, kTile) / kTile),
        rowOf_(positions.rows),
        isKeys_(isKeys),
        isBackward_(isBackward),
        gathered_(kTile * headSize_),
        products_(values()),
        sums_(isBackward ? values() : 0),
        gradients_(isBackward ? values() : 0),
        transposed_(isBackward ? kTile * headSize_ : 0) {}

  bool exists() const { return vectors_ != nullptr; }

  void load(int64_t head) {
    if (!exists()) return;
    for (int64_t block = -blocks_; block < blocks_; ++block) {
      for (int64_t i = 0; i < kTile; ++i)
        std::copy_n(vectors_ + rowAt(block * kTile + i) * stride_ + head * headSize_, headSize_,
                    gathered_.data() + i * headSize_);
      packPanelTransposed(products_.data() + place(block), gathered_.data(), headSize_,
                          {headSize_, kTile, headSize_, kTile});
      if (isBackward_)
        packPanel(sums_.data() + place(block), gathered_.data(), headSize_,
                  {kTile, headSize_, kTile, headSize_});
    }
    if (isBackward_) std::fill_n(gradients_.data(), values(), 0.0f);
  }

  const T* forProducts(int64_t block) { return products_.data() + place(block); }  // [headSize, kTile]
  const T* forSums(int64_t block) { return sums_.data() + place(block); }          // [kTile, headSize]
  float* gradient(int64_t block) { return gradients_.data() + place(block); }      // [headSize, kTile]

  // The gradients by row, [rows, headSize].
  Scratch<float> gradientsByRow() {
    Scratch<float> sums(rows_ * headSize_);
    std::fill_n(sums.data(), rows_ * headSize_, 0.0f);
    for (int64_t block = -blocks_; exists() && block < blocks_; ++block) {
      rowKernels().transpose(transposed_.data(), headSize_,
                             reinterpret_cast<const uint32_t*>(gradient(block)), kTile, headSize_, kTile);
      const auto* rows = reinterpret_cast<const float*>(transposed_.data());
      for (int64_t i = 0; i < kTile; ++i)
        rowKernels().add(sums.data() + rowAt(block * kTile + i) * headSize_, rows + i * headSize_, headSize_);
    }
    return sums;
  }

 private:
  int64_t values() const { return exists() ? 2 * blocks_ * kTile * headSize_ : 0; }
  int64_t place(int64_t block) const { return (block + blocks_) * kTile * headSize_; }

  // Distances that no two tokens have get some row: nothing is read of it, and zeros are added.
  int64_t rowAt(int64_t distance) const {
    const auto farthest = static_cast<int64_t>(rowOf_.size() / 2);
    return rowOf_[std::clamp(isKeys_ ? -distance : distance, -farthest, farthest) + farthest];
  }

  const T* vectors_;
  int64_t rows_, headSize_, stride_, blocks_;
  const std::vector<int32_t>& rowOf_;
  bool isKeys_, isBackward_;
  Scratch<T> gathered_, products_, sums_;
  Scratch<float> gradients_;
  Scratch<uint32_t> transposed_;
};

// What a thread needs for the relative terms of the scores of its items, in turn: `start` for an item, and
// for each tile of queries and each panel of its keys `addTo`.
template <typename T>
class RelativeScores {
 public:
  RelativeScores(int64_t longest, const Shape& shape, bool isBackward = false)
      : keys_(shape.relative.keys, shape.relative, true, longest, isBackward),
        queries_(shape.relative.queries, shape.relative, false, longest, isBackward),
        headSize_(shape.headSize),
        keyTile_(headSize_),
        queryBand_(keys_.exists() ? kBandValues : 0),
        keyBands_(queries_.exists() ? bandsOf(longest) : 0),
        turned_(queries_.exists() ? kPanelValues : 0) {}

  void start(const Item& item, const Head<const T>& head) {
    itemHead_ = head;
    if (item.head == loaded_) return;
    loaded_ = item.head;
    keys_.load(loaded_);
    queries_.load(loaded_);
  }

  // scores: [padded, kTile] of the queries from `first` on.
  void addTo(float* scores, const typename QueryTiles<T>::Tile& queries, int64_t first, int64_t padded,
             const Panel& panel) {
    const int64_t tile = first / kTile, width = panel.width();
    if (keys_.exists()) {
      float* band = queryBand_.data();
      advance(band, queries, padded, keys_, panel.number - tile, panel.number == 0);
      for (int64_t i = 0; i < padded; ++i)
        rowKernels().add(scores + i * kTile, skewed(band) + i * kSkew, width);
    }
    if (queries_.exists()) {
      float* band = keyBands_.data() + panel.number * kBandValues;
      advance(band, keyTile(panel), width, queries_, tile - panel.number, tile == 0);
      rowKernels().transpose(turned_.data(), kTile, reinterpret_cast<const uint32_t*>(skewed(band)), kSkew,
                             width, padded);
      const auto* turned = reinterpret_cast<const float*>(turned_.data());
      for (int64_t i = 0; i < padded; ++i) rowKernels().add(scores + i * kTile, turned + i * kTile, width);
    }
  }

 protected:
  using Side = typename QueryTiles<T>::Tile;

  static int64_t bandsOf(int64_t longest) { return roundUp(longest, kTile) * kBandWidth; }

  Side keyTile(const Panel& panel) {
    return keyTile_.load(itemHead_.key + panel.first * itemHead_.stride, itemHead_.stride, panel.keys);
  }

  RelativeBlocks<T> keys_, queries_;
  int64_t headSize_, loaded_ = -1;

 private:
  // Computes the upper block of a band, `upper`, and takes the lower one from the step before.
  void advance(float* band, const Side& vectors, int64_t rows, RelativeBlocks<T>& blocks, int64_t upper,
               bool isFirst) {
    const auto multiply = [&](float* target, int64_t block) {
      brgemm(target, kBandWidth, vectors.values, vectors.ld, blocks.forProducts(block), kTile,
             {rows, kTile, headSize_}, false);
    };
    if (isFirst)
      multiply(band, upper - 1);
    else
      shiftBand(band, rows);
    multiply(band + kTile, upper);
  }

  Head<const T> itemHead_{};
  QueryTiles<T> keyTile_;
  Scratch<float> queryBand_, keyBands_;  // of the tile at hand, and of each panel
  Scratch<uint32_t> turned_;
};

// And of their gradients. With S the scores and G the band of dS, row by query and column by distance: dQ +=
// G K and dK = G^T Q; likewise of keys and relative queries, with dS^T.
template <typename T>
class RelativeGradients : public RelativeScores<T> {
 public:
  RelativeGradients(int64_t longest, const Shape& shape)
      : RelativeScores<T>(longest, shape, true),
        queryBand_(keys_.exists() ? kBandValues : 0),
        keyBands_(queries_.exists() ? this->bandsOf(longest) : 0),
        columns_(kPanelValues),
        turned_(queries_.exists() ? kPanelValues : 0),
        transposedKeys_(queries_.exists() ? roundUp(longest, kTile) * headSize_ : 0),
        dKeys_(queries_.exists() ? roundUp(longest, kTile) * headSize_ : 0) {}

  void start(const Item& item, const Head<const T>& head, RelativeSums& sums) {
    if (item.head != loaded_) {
      finish(sums);
      first_ = item.firstOutput;
    }
    RelativeScores<T>::start(item, head);
    if (!queries_.exists()) return;
    std::fill_n(keyBands_.data(), this->bandsOf(item.length), T(0));
    std::fill_n(dKeys_.data(), roundUp(item.length, kTile) * headSize_, 0.0f);
    forEachPanel({0, item.length}, [&](const Panel& panel) {
      const Side keys = this->keyTile(panel);
      packTransposed(transposedKeys_.data() + panel.first * headSize_, kTile, keys.values, keys.ld,
                     panel.width(), headSize_, panel.width());
    });
  }

  // Of one tile of queries and one panel of keys. dScores are rows, dScorePairs the same as a right-hand side
  // of bfloat16; transposedQueries: [headSize, kTile]; dQuery: [padded, headSize].
  void add(const T* dScores, const T* dScorePairs, const T* transposedQueries, float* dQuery, int64_t first,
           int64_t padded, const Panel& panel, bool isLastPanel) {
    const int64_t tile = first / kTile, width = panel.width();
    if (keys_.exists()) {
      T* band = queryBand_.data();
      if (panel.number == 0) std::fill_n(band, kBandValues, T(0));
      for (int64_t i = 0; i < padded; ++i) std::copy_n(dScores + i * kTile, width, skewed(band) + i * kSkew);
      const auto multiply = [&](int64_t block) {
        consume(band, padded, keys_, block, transposedQueries, dQuery);
      };
      multiply(panel.number - tile - 1);
      if (isLastPanel) multiply(panel.number - tile);
    }
    if (queries_.exists()) {
      T* band = keyBands_.data() + panel.number * kBandValues;
      const T* turned = turn(dScores, dScorePairs, padded, width);
      for (int64_t i = 0; i < width; ++i) std::copy_n(turned + i * kTile, padded, skewed(band) + i * kSkew);
      consumeKeys(panel, tile - panel.number - 1);
    }
  }

  // After the last tile of queries, which begins with `first`: what its keys get from the relative queries,
  // [keys, headSize]; null for nothing.
  const float* dKeys(const Panel& panel, int64_t first) {
    if (!queries_.exists()) return nullptr;
    consumeKeys(panel, first / kTile - panel.number);
    return dKeys_.data() + panel.first * headSize_;
  }

  void finish(RelativeSums& sums) {
    if (loaded_ < 0 || (!keys_.exists() && !queries_.exists())) return;
    sums.add(loaded_, first_, keys_.gradientsByRow(), queries_.gradientsByRow());
  }

 private:
  using RelativeScores<T>::keys_, RelativeScores<T>::queries_, RelativeScores<T>::headSize_,
      RelativeScores<T>::loaded_;
  using typename RelativeScores<T>::Side;

  const T* turn(const T* dScores, const T* dScorePairs, int64_t padded, int64_t width) {
    constexpr int64_t pair = kPair<T>;
    const auto* from = reinterpret_cast<const uint32_t*>(pair == 1 ? dScores : dScorePairs);
    rowKernels().transpose(reinterpret_cast<uint32_t*>(turned_.data()), kTile / pair, from, kTile,
                           padded / pair, width);
    return turned_.data();
  }

  void consumeKeys(const Panel& panel, int64_t block) {
    consume(keyBands_.data() + panel.number * kBandValues, panel.width(), queries_, block,
            transposedKeys_.data() + panel.first * headSize_, dKeys_.data() + panel.first * headSize_);
  }

  // Multiplies the lower block of a band, which is complete, with both sides.
  void consume(T* band, int64_t rows, RelativeBlocks<T>& blocks, int64_t block, const T* transposedVectors,
               float* dVectors) {
    packPanel(columns_.data(), band, kBandWidth, {rows, kTile, rows, kTile});
    brgemm(blocks.gradient(block), kTile, transposedVectors, kTile, columns_.data(), kTile,
           {headSize_, kTile, rows}, true);
    brgemm(dVectors, headSize_, band, kBandWidth, blocks.forSums(block), headSize_, {rows, headSize_, kTile},
           true);
    shiftBand(band, rows);
    for (int64_t i = 0; i < rows; ++i) std::fill_n(band + i * kBandWidth + kTile, kTile, T(0));
  }

  int64_t first_ = 0;  // of the items whose gradients are summed up
  Scratch<T> queryBand_, keyBands_, columns_, turned_;
  Scratch<T> transposedKeys_;  // panel by panel [headSize, kTile]
  Scratch<float> dKeys_;
};

}  // namespace bertune::tiled
