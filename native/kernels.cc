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
void widen(float* out, const c10::BFloat16* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const uint32_t bits = static_cast<uint32_t>(x[j].x) << 16;
    std::memcpy(out + j, &bits, sizeof bits);
  }
}

FOR_EACH_CPU
void narrow(c10::BFloat16* out, const float* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    uint32_t bits;
    std::memcpy(&bits, x + j, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    out[j].x = static_cast<uint16_t>(x[j] != x[j] ? 0x7fc0u : rounded);
  }
}

FOR_EACH_CPU
float addNorm(float* out, float* normalized, const float* x, const float* bias, const float* residual,
              const Norm& norm, int64_t n, const Mask& mask, int64_t row) {
  float sum = 0.0f;
  if (mask.dropsNothing()) {
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) {
      normalized[j] = x[j] + bias[j] + residual[j];
      sum += normalized[j];
    }
  } else {
    const MaskRow kept(mask, row);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) {
      normalized[j] = (x[j] + bias[j]) * kept[j] + residual[j];
      sum += normalized[j];
    }
  }
  const float mean = sum / static_cast<float>(n);
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < n; ++j) {
    const float distance = normalized[j] - mean;
    squares += distance * distance;
  }
  const float inverseDeviation = 1.0f / std::sqrt(squares / static_cast<float>(n) + norm.epsilon);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    normalized[j] = (normalized[j] - mean) * inverseDeviation;
    out[j] = normalized[j] * norm.weight[j] + norm.bias[j];
  }
  return inverseDeviation;
}

FOR_EACH_CPU
void addNormBackward(float* dSum, float* dX, const NormSums& sums, const float* dOut, const float* normalized,
                     const float* weight, float inverseDeviation, int64_t n, const Mask& mask, int64_t row) {
  float mean = 0.0f, projection = 0.0f;
#pragma omp simd reduction(+ : mean, projection)
  for (int64_t j = 0; j < n; ++j) {
    const float gradient = dOut[j] * weight[j];
    mean += gradient;
    projection += gradient * normalized[j];
  }
  mean /= static_cast<float>(n);
  projection /= static_cast<float>(n);
  float* __restrict dWeight = sums.weight;
  float* __restrict dBias = sums.bias;
  float* __restrict dLinearBias = sums.linearBias;
  const MaskRow kept(mask, row);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    dSum[j] = inverseDeviation * (dOut[j] * weight[j] - mean - normalized[j] * projection);
    dX[j] = dSum[j] * kept[j];
    dWeight[j] += dOut[j] * normalized[j];
    dBias[j] += dOut[j];
    dLinearBias[j] += dX[j];
  }
}

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
