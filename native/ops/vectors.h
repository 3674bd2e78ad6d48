// Vectors of 16 values in the compiler's own vector types: an instruction or two with AVX-512, two or four
// with less. Between instruction sets results differ by the rounding of products that are added, where one
// instruction does both. All of it is inlined into the kernels, which exist once for each instruction set
// (row_kernels_variant.cc).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

#include "core/random.h"

#define INLINE inline __attribute__((always_inline))
#define BODY __attribute__((always_inline))  // of a lambda
// Vectors in arguments: their convention depends on the instruction set, but nothing here is ever called.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace bertune::BERTUNE_VARIANT {

constexpr int64_t kLanes = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

INLINE Floats load(const float* x) {
  Floats v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

INLINE Floats load(const c10::BFloat16* x) {
  Halves h;
  std::memcpy(&h, x, sizeof h);
  return reinterpret_cast<Floats>(__builtin_convertvector(h, Words) << 16);
}

// The bits of the nearest bfloat16 of each value, ties to even.
INLINE Words roundedBits(Floats x) {
  const Words bits = reinterpret_cast<Words>(x);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return x != x ? Words{} + 0x7fc0u : rounded;
}

// The same of what is in memory, where bfloat16 is rounded already.
INLINE Words roundedBits(const float* x) { return roundedBits(load(x)); }
INLINE Words roundedBits(const c10::BFloat16* x) {
  Halves h;
  std::memcpy(&h, x, sizeof h);
  return __builtin_convertvector(h, Words);
}

INLINE void storeHalves(c10::BFloat16* out, Words bits) {
  const Halves h = __builtin_convertvector(bits, Halves);
  std::memcpy(static_cast<void*>(out), &h, sizeof h);
}

INLINE void store(float* out, Floats v) { std::memcpy(out, &v, sizeof v); }
INLINE void store(uint32_t* out, Words v) { std::memcpy(out, &v, sizeof v); }

INLINE void store(c10::BFloat16* out, Floats v) { storeHalves(out, roundedBits(v)); }

// The first `n` of 16 values; 0 in the others.
template <typename T>
INLINE Floats loadFirst(const T* x, int64_t n) {
  T values[kLanes] = {};
  std::memcpy(static_cast<void*>(values), x, static_cast<size_t>(n) * sizeof(T));
  return load(values);
}

template <typename T>
INLINE void storeFirst(T* out, Floats v, int64_t n) {
  T values[kLanes];
  store(values, v);
  std::memcpy(static_cast<void*>(out), values, static_cast<size_t>(n) * sizeof(T));
}

INLINE void storeFirst(uint32_t* out, Words v, int64_t n) {
  std::memcpy(out, &v, static_cast<size_t>(n) * sizeof *out);
}

INLINE Floats roundedTo(Floats x, const float*) { return x; }
INLINE Floats roundedTo(Floats x, const c10::BFloat16*) {
  return reinterpret_cast<Floats>(roundedBits(x) << 16);
}

template <typename T>
INLINE Words roundedLanes(const T* x, int64_t lanes) {
  if (lanes == kLanes) return roundedBits(x);
  T values[kLanes] = {};
  std::memcpy(static_cast<void*>(values), x, static_cast<size_t>(lanes) * sizeof(T));
  return roundedBits(values);
}

INLINE Words laneNumbers() { return Words{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

// 0 where the lane is not one of the first `n`.
INLINE Floats onlyFirst(Floats x, int64_t n) {
  return laneNumbers() < static_cast<uint32_t>(n) ? x : Floats{};
}

// The lanes by twos, fours and so on: always in the same order, whatever the instruction set.
template <typename Combine>
INLINE float reduce(Floats v, const Combine& combine) {
  v = combine(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  v = combine(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  v = combine(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  v = combine(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  return v[0];
}

INLINE float sumOf(Floats v) {
  return reduce(v, [](const Floats& a, const Floats& b) BODY { return a + b; });
}

// NaN is not found where there are numbers.
INLINE float largestOf(Floats v) {
  return reduce(v, [](const Floats& a, const Floats& b) BODY { return a > b ? a : b; });
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
INLINE void storeLanes(T* out, Floats v, int64_t lanes) {
  if (lanes == kLanes)
    store(out, v);
  else
    storeFirst(out, v, lanes);
}

INLINE void storeLanes(uint32_t* out, Words v, int64_t lanes) {
  if (lanes == kLanes)
    store(out, v);
  else
    storeFirst(out, v, lanes);
}

// Cephes expf: 2^n * e^r with |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to an integer without a branch.
// NaN stays NaN; arguments are never large, so there is no upper bound to guard.
INLINE Floats exp(Floats x) {
  const Floats clamped = x < -87.0f ? Floats{} - 87.0f : x;
  const Floats shifted = clamped * 1.44269504f + 12582912.0f;
  const Floats n = shifted - 12582912.0f;
  const Floats r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Floats result =
      reinterpret_cast<Floats>(reinterpret_cast<Words>(p) + (reinterpret_cast<Words>(shifted) << 23));
  return x != x ? x : (x < -87.0f ? Floats{} : result);
}

// `hash` of 16 columns from `first` on.
INLINE Words hashes(RowKey row, uint32_t first) {
  Words x = (laneNumbers() + first) * 0x9e3779b9u + row.first;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = ((x ^ (x >> 15)) + row.second) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// A row of a mask: the factors of 16 columns from `first` on, 0 or the mask's scale.
struct MaskRow {
  RowKey key;
  uint32_t threshold;
  float scale;

  INLINE MaskRow(const Mask& mask, int64_t row)
      : key(mask.row(row)), threshold(mask.threshold), scale(mask.scale) {}
  INLINE Floats operator()(int64_t first) const {
    return hashes(key, static_cast<uint32_t>(first)) < threshold ? Floats{} : Floats{} + scale;
  }
};

}  // namespace bertune::BERTUNE_VARIANT
