#include "kernels.h"

#include <cmath>
#include <cstring>
#include <utility>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

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

INLINE uint32_t bitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

INLINE float floatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The bits of the nearest bfloat16, ties to even.
INLINE uint32_t roundedBits(float x) {
  const uint32_t bits = bitsOf(x);
  return x != x ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

template <typename T>
INLINE T roundTo(float x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return x;
  } else {
    return T(static_cast<uint16_t>(roundedBits(x)), T::from_bits());
  }
}

INLINE float toFloat(float x) { return x; }
INLINE float toFloat(c10::BFloat16 x) { return floatOf(static_cast<uint32_t>(x.x) << 16); }

}  // namespace

FOR_EACH_CPU
void widen(float* out, const c10::BFloat16* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = toFloat(x[j]);
}

FOR_EACH_CPU
void narrow(c10::BFloat16* out, const float* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = roundTo<c10::BFloat16>(x[j]);
}

FOR_EACH_CPU
void interleave(uint32_t* out, const c10::BFloat16* first, const c10::BFloat16* second, int64_t n) {
  if (second == nullptr) {
    for (int64_t j = 0; j < n; ++j) out[j] = first[j].x;
    return;
  }
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = first[j].x | static_cast<uint32_t>(second[j].x) << 16;
}

FOR_EACH_CPU
void interleave(uint32_t* out, const float* first, const float* second, int64_t n) {
  if (second == nullptr) {
    for (int64_t j = 0; j < n; ++j) out[j] = roundedBits(first[j]);
    return;
  }
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = roundedBits(first[j]) | roundedBits(second[j]) << 16;
}

namespace {

typedef uint32_t Words __attribute__((vector_size(64), aligned(4), may_alias));

constexpr int kLanes = 16;

// Exchanges the off-diagonal quarters of all 2 * D x 2 * D blocks. With D = 8, 4, 2, 1 that transposes.
template <size_t D, size_t... Lane>
INLINE void exchange(Words (&rows)[kLanes], std::index_sequence<Lane...>) {
  for (size_t i = 0; i < kLanes; ++i) {
    if ((i & D) != 0) continue;
    const Words above = rows[i], below = rows[i + D];
    rows[i] = __builtin_shufflevector(above, below, ((Lane & D) != 0 ? kLanes + Lane - D : Lane)...);
    rows[i + D] = __builtin_shufflevector(above, below, ((Lane & D) != 0 ? kLanes + Lane : Lane + D)...);
  }
}

INLINE void transposeBlock(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn) {
  Words rows[kLanes];
  constexpr std::make_index_sequence<kLanes> lanes;
  for (int i = 0; i < kLanes; ++i) std::memcpy(&rows[i], in + i * ldIn, sizeof rows[i]);
  exchange<8>(rows, lanes);
  exchange<4>(rows, lanes);
  exchange<2>(rows, lanes);
  exchange<1>(rows, lanes);
  for (int i = 0; i < kLanes; ++i) std::memcpy(out + i * ldOut, &rows[i], sizeof rows[i]);
}

}  // namespace

FOR_EACH_CPU
void transpose(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn, int64_t rows,
               int64_t columns) {
  const int64_t wholeRows = rows / kLanes * kLanes, wholeColumns = columns / kLanes * kLanes;
  for (int64_t i = 0; i < wholeRows; i += kLanes)
    for (int64_t j = 0; j < wholeColumns; j += kLanes)
      transposeBlock(out + j * ldOut + i, ldOut, in + i * ldIn + j, ldIn);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < wholeRows ? wholeColumns : 0; j < columns; ++j)
      out[j * ldOut + i] = in[i * ldIn + j];
}

FOR_EACH_CPU
void add(float* sum, const float* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) sum[j] += x[j];
}

FOR_EACH_CPU
void add(float* sum, const c10::BFloat16* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) sum[j] += toFloat(x[j]);
}

FOR_EACH_CPU
void scale(float* out, const float* x, float factor, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = x[j] * factor;
}

FOR_EACH_CPU
void scale(c10::BFloat16* out, const float* x, float factor, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = roundTo<c10::BFloat16>(x[j] * factor);
}

FOR_EACH_CPU
float dot(const float* a, const float* b, int64_t n) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) sum += a[j] * b[j];
  return sum;
}

FOR_EACH_CPU
float dot(const c10::BFloat16* a, const c10::BFloat16* b, int64_t n) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) sum += toFloat(a[j]) * toFloat(b[j]);
  return sum;
}

FOR_EACH_CPU
void addBias(float* out, const float* x, const float* bias, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = x[j] + bias[j];
}

FOR_EACH_CPU
void addBias(c10::BFloat16* out, const float* x, const float* bias, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = roundTo<c10::BFloat16>(x[j] + bias[j]);
}

namespace {

// Phi(z) and its derivative, which is the normal density. The tail is half of erfc(|z| / sqrt(2)) by
// Abramowitz and Stegun 7.1.26, off by 0.8e-7 at most.
struct Normal {
  float distribution, density;

  INLINE explicit Normal(float z) {
    const float x = std::fabs(z) * 0.70710678118f;
    const float t = 1.0f / (1.0f + 0.3275911f * x);
    float p = 0.5f * 1.061405429f;
    p = p * t - 0.5f * 1.453152027f;
    p = p * t + 0.5f * 1.421413741f;
    p = p * t - 0.5f * 0.284496736f;
    p = p * t + 0.5f * 0.254829592f;
    const float e = expOf(-0.5f * z * z);
    const float tail = p * t * e;
    distribution = z < 0 ? tail : 1.0f - tail;
    density = e * 0.39894228040f;
  }
};

template <typename T>
INLINE void addBiasGeluOf(T* z, T* y, const float* x, const float* bias, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    z[j] = roundTo<T>(x[j] + bias[j]);
    const float value = toFloat(z[j]);
    y[j] = roundTo<T>(value * Normal(value).distribution);
  }
}

template <typename T>
INLINE void geluBackwardOf(T* dZ, float* sum, const T* dY, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const float value = toFloat(z[j]);
    const Normal normal(value);
    const float gradient = toFloat(dY[j]) * (normal.distribution + value * normal.density);
    dZ[j] = roundTo<T>(gradient);
    sum[j] += gradient;
  }
}

}  // namespace

FOR_EACH_CPU
void addBiasGelu(float* z, float* y, const float* x, const float* bias, int64_t n) {
  addBiasGeluOf(z, y, x, bias, n);
}

FOR_EACH_CPU
void addBiasGelu(c10::BFloat16* z, c10::BFloat16* y, const float* x, const float* bias, int64_t n) {
  addBiasGeluOf(z, y, x, bias, n);
}

FOR_EACH_CPU
void geluBackward(float* dZ, float* sum, const float* dY, const float* z, int64_t n) {
  geluBackwardOf(dZ, sum, dY, z, n);
}

FOR_EACH_CPU
void geluBackward(c10::BFloat16* dZ, float* sum, const c10::BFloat16* dY, const c10::BFloat16* z, int64_t n) {
  geluBackwardOf(dZ, sum, dY, z, n);
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

template <typename T>
INLINE void addNormBackwardOf(float* dSum, T* dX, const NormSums& sums, const float* dOut,
                              const float* normalized, const float* weight, float inverseDeviation, int64_t n,
                              const Mask& mask, int64_t row) {
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
    const float gradient = inverseDeviation * (dOut[j] * weight[j] - mean - normalized[j] * projection);
    const float dropped = gradient * kept[j];
    dSum[j] = gradient;
    dX[j] = roundTo<T>(dropped);
    dWeight[j] += dOut[j] * normalized[j];
    dBias[j] += dOut[j];
    dLinearBias[j] += dropped;
  }
}

FOR_EACH_CPU
void addNormBackward(float* dSum, float* dX, const NormSums& sums, const float* dOut, const float* normalized,
                     const float* weight, float inverseDeviation, int64_t n, const Mask& mask, int64_t row) {
  addNormBackwardOf(dSum, dX, sums, dOut, normalized, weight, inverseDeviation, n, mask, row);
}

FOR_EACH_CPU
void addNormBackward(float* dSum, c10::BFloat16* dX, const NormSums& sums, const float* dOut,
                     const float* normalized, const float* weight, float inverseDeviation, int64_t n,
                     const Mask& mask, int64_t row) {
  addNormBackwardOf(dSum, dX, sums, dOut, normalized, weight, inverseDeviation, n, mask, row);
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

// The keys of one query, panel by panel: body(values before the panel, values of the panel).
template <typename Body>
INLINE void forEachPanel(int64_t keys, const Body& body) {
  for (int64_t first = 0; first < keys; first += kPanel)
    body(first, keys - first < kPanel ? keys - first : kPanel);
}

template <typename T>
INLINE SoftmaxSums expDropoutOf(T* out, const float* scores, int64_t keys, int64_t stride, float scale,
                                const Mask& mask, int64_t row) {
  float largest = scores[0];
  forEachPanel(keys, [&](int64_t first, int64_t width) INLINE_LAMBDA {
    const float* panel = scores + first / kPanel * stride;
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < width; ++j) largest = panel[j] > largest ? panel[j] : largest;
  });
  float sum = 0.0f;
  const RowKey key = mask.row(row);
  const uint32_t threshold = mask.threshold;
  forEachPanel(keys, [&](int64_t first, int64_t width) INLINE_LAMBDA {
    const float* panel = scores + first / kPanel * stride;
    T* target = out + first / kPanel * stride;
    const auto before = static_cast<uint32_t>(first);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < width; ++j) {
      const float e = expOf((panel[j] - largest) * scale);
      sum += e;
      const bool isDropped = hash(key, before + static_cast<uint32_t>(j)) < threshold;
      target[j] = roundTo<T>(isDropped ? 0.0f : e);
    }
    for (int64_t j = width; j % 16 != 0; ++j) target[j] = T(0);
  });
  return {sum, largest * scale + std::log(sum)};
}

FOR_EACH_CPU
SoftmaxSums expDropout(float* out, const float* scores, int64_t keys, int64_t stride, float scale,
                       const Mask& mask, int64_t row) {
  return expDropoutOf(out, scores, keys, stride, scale, mask, row);
}

FOR_EACH_CPU
SoftmaxSums expDropout(c10::BFloat16* out, const float* scores, int64_t keys, int64_t stride, float scale,
                       const Mask& mask, int64_t row) {
  return expDropoutOf(out, scores, keys, stride, scale, mask, row);
}

struct Backward {
  float dropped, dScore;
};

INLINE Backward backwardOf(float score, float dProbability, float scale, const QueryBack& query, uint32_t key,
                           uint32_t threshold, float maskScale) {
  const float p = expOf(score * scale - query.logSum);
  const float kept = hash(query.key, key) < threshold ? 0.0f : maskScale;
  return {p * kept, p * (dProbability * kept - query.delta)};
}

FOR_EACH_CPU
void softmaxBackward(c10::BFloat16* dScores, c10::BFloat16* dScorePairs, c10::BFloat16* dropped,
                     const float* scores, const float* dProbabilities, int64_t first, int64_t keys,
                     float scale, const Mask& mask, const QueryBack queries[2]) {
  const QueryBack a = queries[0], b = queries[1];
  const uint32_t threshold = mask.threshold;
  const float maskScale = mask.scale;
  auto* rows = reinterpret_cast<uint16_t*>(dScores);
  auto* dScoreWords = reinterpret_cast<uint32_t*>(dScorePairs);
  auto* droppedWords = reinterpret_cast<uint32_t*>(dropped);
  const auto before = static_cast<uint32_t>(first);
#pragma omp simd
  for (int64_t j = 0; j < keys; ++j) {
    const uint32_t key = before + static_cast<uint32_t>(j);
    const Backward one = backwardOf(scores[j], dProbabilities[j], scale, a, key, threshold, maskScale);
    const Backward two =
        backwardOf(scores[j + kPanel], dProbabilities[j + kPanel], scale, b, key, threshold, maskScale);
    const uint32_t dOne = roundedBits(one.dScore), dTwo = roundedBits(two.dScore);
    rows[j] = static_cast<uint16_t>(dOne);
    rows[j + kPanel] = static_cast<uint16_t>(dTwo);
    dScoreWords[j] = dOne | dTwo << 16;
    droppedWords[j] = roundedBits(one.dropped) | roundedBits(two.dropped) << 16;
  }
  for (int64_t j = keys; j % 16 != 0; ++j) {
    rows[j] = rows[j + kPanel] = 0;
    dScoreWords[j] = droppedWords[j] = 0;
  }
}

FOR_EACH_CPU
void softmaxBackward(float* dScores, float*, float* dropped, const float* scores, const float* dProbabilities,
                     int64_t first, int64_t keys, float scale, const Mask& mask, const QueryBack queries[2]) {
  const uint32_t threshold = mask.threshold;
  const float maskScale = mask.scale;
  const auto before = static_cast<uint32_t>(first);
  for (int64_t row = 0; row < 2; ++row) {
    const QueryBack query = queries[row];
    const int64_t begin = row * kPanel;
#pragma omp simd
    for (int64_t j = begin; j < begin + keys; ++j) {
      const auto key = before + static_cast<uint32_t>(j - begin);
      const Backward back = backwardOf(scores[j], dProbabilities[j], scale, query, key, threshold, maskScale);
      dropped[j] = back.dropped;
      dScores[j] = back.dScore;
    }
    for (int64_t j = begin + keys; j % 16 != 0; ++j) dropped[j] = dScores[j] = 0;
  }
}

}  // namespace bertune::kernels
