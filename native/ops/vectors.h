// Sixteen values at a time in the vectors that an instruction set has: one with AVX-512, two with AVX2 and
// four with less. A larger vector of the compiler's own would be taken apart value by value. Sums have the
// same order everywhere; between instruction sets results differ by the rounding of products that are added,
// where one instruction does both, and by bfloat16 below 1.2e-38. All of it is inlined into the kernels,
// which exist once for each instruction set (row_kernels_variant.cc).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/random.h"

#ifdef BERTUNE_BFLOAT16
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
#define BODY __attribute__((always_inline))  // of a lambda
// Vectors in arguments: their convention depends on the instruction set, but nothing here is ever called.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace bertune::BERTUNE_VARIANT {

constexpr int64_t kLanes = 16;
constexpr int64_t kPartLanes = BERTUNE_X86_LEVEL == 4 ? 16 : BERTUNE_X86_LEVEL == 3 ? 8 : 4;

// Sixteen values. Comparisons give integers, for `select`.
template <typename T>
struct Lanes {
  typedef T Part __attribute__((vector_size(kPartLanes * sizeof(T))));
  static constexpr size_t kParts = kLanes / kPartLanes;

  Part parts[kParts];

  INLINE Lanes() : parts{} {}
  INLINE Lanes(T value) : Lanes(each([&](size_t) BODY { return value - Part{}; })) {}

  // part(i) for each part i.
  template <typename MakePart>
  static INLINE Lanes each(const MakePart& part) {
    return each(part, std::make_index_sequence<kParts>());
  }

  INLINE Lanes& operator+=(const Lanes& other) { return *this = *this + other; }

#define LANE_BY_LANE(Result, op)                                                  \
  friend INLINE Result operator op(const Lanes& a, const Lanes& b) {              \
    return Result::each([&](size_t i) BODY { return a.parts[i] op b.parts[i]; }); \
  }
  LANE_BY_LANE(Lanes, +)
  LANE_BY_LANE(Lanes, -)
  LANE_BY_LANE(Lanes, *)
  LANE_BY_LANE(Lanes, /)
  LANE_BY_LANE(Lanes, &)
  LANE_BY_LANE(Lanes, |)
  LANE_BY_LANE(Lanes, ^)
  LANE_BY_LANE(Lanes, <<)
  LANE_BY_LANE(Lanes, >>)
  LANE_BY_LANE(Lanes<int32_t>, <)
  LANE_BY_LANE(Lanes<int32_t>, >)
  LANE_BY_LANE(Lanes<int32_t>, !=)
#undef LANE_BY_LANE

  // chosen ? a : b.
  friend INLINE Lanes select(const Lanes<int32_t>& chosen, const Lanes& a, const Lanes& b) {
    return each([&](size_t i) BODY { return chosen.parts[i] ? a.parts[i] : b.parts[i]; });
  }

 private:
  template <typename MakePart, size_t... I>
  static INLINE Lanes each(const MakePart& part, std::index_sequence<I...>) {
    Lanes lanes;
    ((lanes.parts[I] = part(I)), ...);
    return lanes;
  }
};

using Floats = Lanes<float>;
using Words = Lanes<uint32_t>;
using Halves = Lanes<uint16_t>;

INLINE Words bitsOf(const Floats& x) {
  return Words::each([&](size_t i) BODY { return reinterpret_cast<Words::Part>(x.parts[i]); });
}
INLINE Floats fromBits(const Words& x) {
  return Floats::each([&](size_t i) BODY { return reinterpret_cast<Floats::Part>(x.parts[i]); });
}

template <typename T>
INLINE Lanes<T> loadBits(const void* x) {
  return Lanes<T>::each([&](size_t i) BODY {
    typename Lanes<T>::Part part;
    std::memcpy(&part, static_cast<const T*>(x) + i * kPartLanes, sizeof part);
    return part;
  });
}

template <typename T>
INLINE void storeBits(void* out, const Lanes<T>& v) {
  std::memcpy(out, &v, sizeof v);
}

// bfloat16 as its bits: in the low halves of words, or two vectors as pairs.
INLINE Words wordsOf(const Halves& x) {
  return Words::each([&](size_t i) BODY { return __builtin_convertvector(x.parts[i], Words::Part); });
}
INLINE Words pairsOf(const Halves& low, const Halves& high) { return wordsOf(low) | wordsOf(high) << 16; }

INLINE Floats load(const float* x) { return loadBits<float>(x); }
INLINE Floats load(const c10::BFloat16* x) { return fromBits(wordsOf(loadBits<uint16_t>(x)) << 16); }

// The nearest bfloat16 of each value, ties to even.
INLINE Halves rounded(const Floats& x) {
#ifdef BERTUNE_BFLOAT16
  // In one instruction, for which values below 1.2e-38 are 0.
  const __m256bh values = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x.parts[0]));
  return loadBits<uint16_t>(&values);
#else
  const Words bits = bitsOf(x);
  const Words words = select(x != x, 0x7fc0u, (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  return Halves::each([&](size_t i) BODY { return __builtin_convertvector(words.parts[i], Halves::Part); });
#endif
}

// The same of what is in memory, where bfloat16 is rounded already.
INLINE Halves rounded(const float* x) { return rounded(load(x)); }
INLINE Halves rounded(const c10::BFloat16* x) { return loadBits<uint16_t>(x); }

INLINE void store(float* out, const Floats& v) { storeBits(out, v); }
INLINE void store(uint32_t* out, const Words& v) { storeBits(out, v); }
INLINE void store(c10::BFloat16* out, const Halves& v) { storeBits(out, v); }
INLINE void store(c10::BFloat16* out, const Floats& v) { store(out, rounded(v)); }

// The first `n` of 16 values; 0 in the others.
template <typename T>
INLINE Floats loadFirst(const T* x, int64_t n) {
  T values[kLanes] = {};
  std::memcpy(static_cast<void*>(values), x, static_cast<size_t>(n) * sizeof(T));
  return load(values);
}

template <typename T>
INLINE void storeFirst(T* out, const Floats& v, int64_t n) {
  T values[kLanes];
  store(values, v);
  std::memcpy(static_cast<void*>(out), values, static_cast<size_t>(n) * sizeof(T));
}

INLINE void storeFirst(uint32_t* out, const Words& v, int64_t n) {
  std::memcpy(out, &v, static_cast<size_t>(n) * sizeof *out);
}

template <typename T>
INLINE Halves roundedLanes(const T* x, int64_t lanes) {
  if (lanes == kLanes) return rounded(x);
  T values[kLanes] = {};
  std::memcpy(static_cast<void*>(values), x, static_cast<size_t>(lanes) * sizeof(T));
  return rounded(values);
}

INLINE Words laneNumbers() {
  constexpr uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return loadBits<uint32_t>(numbers);
}

// 0 where the lane is not one of the first `n`.
INLINE Floats onlyFirst(const Floats& x, int64_t n) {
  return select(laneNumbers() < static_cast<uint32_t>(n), x, Floats());
}

// Lane i of the result is lane i ^ D of the part.
template <size_t D, size_t... Lane>
INLINE Floats::Part exchanged(const Floats::Part& part, std::index_sequence<Lane...>) {
  return __builtin_shufflevector(part, part, (Lane ^ D)...);
}

// The lanes by twos, fours and so on: always in the same order, whatever the instruction set.
template <size_t D = kLanes / 2, typename Combine>
INLINE float reduce(const Floats& v, const Combine& combine) {
  if constexpr (D == 0) {
    return v.parts[0][0];
  } else {
    const Floats partners = Floats::each([&](size_t i) BODY {
      if constexpr (D >= kPartLanes)
        return v.parts[i ^ (D / kPartLanes)];
      else
        return exchanged<D>(v.parts[i], std::make_index_sequence<kPartLanes>());
    });
    return reduce<D / 2>(combine(v, partners), combine);
  }
}

INLINE float sumOf(const Floats& v) {
  return reduce(v, [](const Floats& a, const Floats& b) BODY { return a + b; });
}

// NaN is not found where there are numbers.
INLINE float largestOf(const Floats& v) {
  return reduce(v, [](const Floats& a, const Floats& b) BODY { return select(a > b, a, b); });
}

// A row as a loop over vectors: body(first, lanes), where all but the last have 16. `lanes` is a constant
// where the body can be inlined with it, so that whole vectors need no special case.
template <typename Body>
INLINE void forEachVector(int64_t n, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) body(j, kLanes);
  if (j < n) body(j, n - j);
}

template <typename T>
INLINE Floats loadLanes(const T* x, int64_t lanes) {
  return lanes == kLanes ? load(x) : loadFirst(x, lanes);
}

template <typename T>
INLINE void storeLanes(T* out, const Floats& v, int64_t lanes) {
  if (lanes == kLanes)
    store(out, v);
  else
    storeFirst(out, v, lanes);
}

INLINE void storeLanes(uint32_t* out, const Words& v, int64_t lanes) {
  if (lanes == kLanes)
    store(out, v);
  else
    storeFirst(out, v, lanes);
}

// Cephes expf: 2^n * e^r with |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to an integer without a branch.
// NaN stays NaN; arguments are never large, so there is no upper bound to guard.
INLINE Floats exp(const Floats& x) {
  const Floats clamped = select(x < -87.0f, -87.0f, x);
  const Floats shifted = clamped * 1.44269504f + 12582912.0f;
  const Floats n = shifted - 12582912.0f;
  const Floats r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Floats result = fromBits(bitsOf(p) + (bitsOf(shifted) << 23));
  return select(x != x, x, select(x < -87.0f, Floats(), result));
}

// `hash` of 16 columns from `first` on.
INLINE Words hashes(RowKey row, uint32_t first) {
  Words x = (laneNumbers() + first) * 0x9e3779b9u + row.first;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = ((x ^ (x >> 15)) + row.second) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// A row of a mask, 16 columns from `first` on: the factors, 0 or the mask's scale, and what is kept of values
// that are scaled later.
struct MaskRow {
  RowKey key;
  uint32_t threshold;
  float scale;

  INLINE Floats factors(int64_t first) const { return kept(scale, first); }
  INLINE Floats kept(const Floats& x, int64_t first) const {
    return select(hashes(key, static_cast<uint32_t>(first)) < threshold, Floats(), x);
  }
};

// Of a mask that drops nothing, without the hashes.
struct UnmaskedRow {
  INLINE Floats factors(int64_t) const { return 1.0f; }
  INLINE Floats kept(const Floats& x, int64_t) const { return x; }
};

// body(rowOf): rowOf(key) is the mask's row of that key, of a type of its own where nothing is dropped.
template <typename Body>
INLINE void withMask(const Mask& mask, const Body& body) {
  if (mask.dropsNothing())
    body([](RowKey) BODY { return UnmaskedRow(); });
  else
    body([threshold = mask.threshold, scale = mask.scale](RowKey key) BODY {
      return MaskRow{key, threshold, scale};
    });
}

// body(row): with one row of the mask.
template <typename Body>
INLINE void withMaskRow(const Mask& mask, int64_t row, const Body& body) {
  withMask(mask, [&](const auto& rowOf) BODY { body(rowOf(mask.row(row))); });
}

}  // namespace bertune::BERTUNE_VARIANT
