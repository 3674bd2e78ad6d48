#include "kernels.h"

#include <cmath>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE inline __attribute__((always_inline))

namespace bertune::kernels {
namespace {

// Cephes expf: 2^n * e^r with |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to an integer without a branch.
// NaN stays NaN; scores minus their maximum are never positive, so there is no upper bound to guard.
INLINE float expOf(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &p, sizeof bits);
  uint32_t exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  bits += exponent << 23;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  result = x < -87.0f ? 0.0f : result;
  return x != x ? x : result;
}

// A row of a mask with its parameters in registers, so that the loops stay free of loads and branches.
struct MaskRow {
  RowKey key;
  uint32_t threshold;
  float scale;

  INLINE MaskRow(const Mask& mask, int64_t row)
      : key(mask.row(row)), threshold(mask.threshold), scale(mask.scale) {}
  INLINE float operator[](int64_t column) const {
    return hash(key, static_cast<uint32_t>(column)) < threshold ? 0.0f : scale;
  }
};

}  // namespace

FOR_EACH_CPU
void dropoutAdd(float* out, const float* x, const float* residual, int64_t n, const Mask& mask, int64_t row) {
  const MaskRow kept(mask, row);
  if (residual == nullptr) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) out[j] = x[j] * kept[j];
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) out[j] = x[j] * kept[j] + residual[j];
  }
}

FOR_EACH_CPU
float softmaxDropout(float* scores, int64_t n, const Mask& mask, int64_t row) {
  float largest = scores[0];
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < n; ++j) largest = scores[j] > largest ? scores[j] : largest;
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    scores[j] = expOf(scores[j] - largest);
    sum += scores[j];
  }
  const float inverse = 1.0f / sum;
  if (mask.dropsNothing()) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) scores[j] *= inverse;
  } else {
    const MaskRow kept(mask, row);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) scores[j] *= inverse * kept[j];
  }
  return largest + std::log(sum);
}

FOR_EACH_CPU
void softmaxDropoutBackward(float* scores, float* dProbabilities, int64_t n, float logSum, float delta,
                            const Mask& mask, int64_t row) {
  const MaskRow kept(mask, row);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const float p = expOf(scores[j] - logSum);
    const float factor = kept[j];
    dProbabilities[j] = p * (dProbabilities[j] * factor - delta);
    scores[j] = p * factor;
  }
}

}  // namespace bertune::kernels
