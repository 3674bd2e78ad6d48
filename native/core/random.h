// Counter-based dropout masks: whether an element is kept is a pure function of
// (seed, step, layer, site, row, column). Nothing is stored; the backward pass computes it again.
// Row and column count over the whole optimizer step, so splitting a batch changes no mask.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bertune {

enum class Site : uint64_t {
  Embedding,
  Attention,
  AttentionOutput,
  FeedForwardOutput,
  Classifier,
  LoraQuery,
  LoraKey,
  LoraValue,
  LoraAttentionOutput,
  LoraIntermediate,
  LoraOutput,
  Neftune,
  LoraHead,
  LoraProjection,
  FeedForwardInner,
  RelativePositions
};

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A 32-bit mixer of low bias (Wellons 2018, "lowbias32").
inline uint32_t mix32(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

struct RowKey {
  uint32_t first;
  uint32_t second;
};

// What the masks of one pass depend on beside their site: plain data, which a session on a GPU keeps at one
// address of the device.
struct PassNumbers {
  uint64_t seed;
  int64_t step;
  int64_t firstToken;  // tokens and sequences that earlier micro-batches of this step had
  int64_t firstSequence;
};

// Whether the rows of a tensor are the tokens of a batch or its sequences.
enum class RowsAre : int32_t { Tokens, Sequences };

// How the rows of a mask are counted over the optimizer step: from `offset` on, and `factor` of them for each
// token or sequence of earlier micro-batches.
struct MaskRows {
  MaskRows(RowsAre of = RowsAre::Tokens, int32_t factor = 1, int64_t offset = 0)
      : offset(offset), factor(factor), of(of) {}

  int64_t first(int64_t firstToken, int64_t firstSequence) const {
    return offset + factor * (of == RowsAre::Tokens ? firstToken : firstSequence);
  }

  int64_t offset;
  int32_t factor;
  RowsAre of;
};

// One site of one step. `firstRow` is the number of rows that earlier micro-batches of the step had.
struct Mask {
  uint32_t first = 0;
  uint32_t second = 0;
  uint32_t threshold = 0;  // an element is dropped when its hash is below; 0 drops nothing
  float scale = 1.0f;      // 1 / (1 - p), given to the kept elements
  int64_t firstRow = 0;
  // Where it is not null, kernels of the device compute first, second and firstRow themselves from what is
  // there when they run: a captured graph draws another mask in each replay.
  const PassNumbers* onDevice = nullptr;
  int64_t layer = 0;
  Site site = Site::Embedding;
  MaskRows rows = {};
  // Where it is not null, row i is of the token or sequence at place places[i / factor] of the step, and not
  // at place i behind earlier micro-batches: with several processes one has some of a step's sequences.
  const int32_t* places = nullptr;

  bool dropsNothing() const { return threshold == 0; }
  double probability() const { return threshold / 4294967296.0; }

  int64_t number(int64_t index) const {
    if (places == nullptr) return firstRow + index;
    return firstRow + int64_t{places[index / rows.factor]} * rows.factor + index % rows.factor;
  }
  // The mask of the rows from `index` on, which is a multiple of the factor.
  Mask from(int64_t index) const {
    Mask later = *this;
    if (places == nullptr)
      later.firstRow += index;
    else
      later.places += index / rows.factor;
    return later;
  }
  RowKey row(int64_t index) const {
    const auto counter = static_cast<uint32_t>(number(index));
    return {mix32(counter + first), mix32((counter ^ 0x9e3779b9u) + second)};
  }
};

// mix32 with the row's second word added half way, so that rows are not shifted copies of each other.
inline uint32_t hash(RowKey row, uint32_t column) {
  uint32_t x = column * 0x9e3779b9u + row.first;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = ((x ^ (x >> 15)) + row.second) * 0x846ca68bu;
  return x ^ (x >> 16);
}

inline Mask makeMask(uint64_t seed, int64_t step, int64_t layer, Site site, double probability,
                     int64_t firstRow) {
  uint64_t key = mix64(seed + 0x9e3779b97f4a7c15u);
  for (const uint64_t word :
       {static_cast<uint64_t>(step), static_cast<uint64_t>(layer), static_cast<uint64_t>(site)})
    key = mix64(key ^ (word + 0x9e3779b97f4a7c15u));
  Mask mask;
  mask.first = static_cast<uint32_t>(key);
  mask.second = static_cast<uint32_t>(key >> 32);
  mask.threshold = static_cast<uint32_t>(std::min(probability * 4294967296.0, 4294967295.0));
  mask.scale = static_cast<float>(1.0 / (1.0 - probability));
  mask.firstRow = firstRow;
  return mask;
}

// Of a generator that is not ours, for the rows from firstRow on.
inline uint64_t generatorSeed(const Mask& mask) {
  const uint64_t key = static_cast<uint64_t>(mask.second) << 32 | mask.first;
  return mix64(key ^ (static_cast<uint64_t>(mask.firstRow) + 0x9e3779b97f4a7c15u));
}

}  // namespace bertune
