// The row kernels in the vectors of one instruction set. Compiled once for each (CMakeLists.txt), with
// BERTUNE_VARIANT as the namespace and BERTUNE_X86_LEVEL as the level of x86-64, 0 for what every processor
// has; with BERTUNE_BFLOAT16 the processor has the arithmetic of bfloat16 too.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ops/row_kernels.h"

#if BERTUNE_X86_LEVEL == 0 || defined(BERTUNE_X86_VARIANTS)

// Behind the other headers: what they define may be shared with the rest of the program and must run
// everywhere.
#if BERTUNE_X86_LEVEL == 3
#pragma GCC target("arch=x86-64-v3")
#elif BERTUNE_X86_LEVEL == 4
#ifdef BERTUNE_BFLOAT16
#pragma GCC target("arch=x86-64-v4,avx512bf16")
#else
#pragma GCC target("arch=x86-64-v4")
#endif
#endif
#include "ops/vectors.h"

namespace bertune::BERTUNE_VARIANT {

using namespace kernels;

namespace {

template <typename T>
INLINE void interleaveOf(uint32_t* out, const T* first, const T* second, int64_t n) {
  if (second == nullptr) {
    forEachVector(n, [&](int64_t j, int64_t lanes)
                         BODY { storeLanes(out + j, wordsOf(roundedLanes(first + j, lanes)), lanes); });
  } else {
    forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
      storeLanes(out + j, pairsOf(roundedLanes(first + j, lanes), roundedLanes(second + j, lanes)), lanes);
    });
  }
}

// Exchanges the off-diagonal quarters of all 2 * D x 2 * D blocks. With D = 8, 4, 2, 1 that transposes.
template <size_t D, size_t... Lane>
INLINE void exchange(Words::Part (&rows)[kPartLanes], std::index_sequence<Lane...> lanes) {
  if constexpr (D > 0) {
    for (size_t i = 0; i < kPartLanes; ++i) {
      if ((i & D) != 0) continue;
      const Words::Part above = rows[i], below = rows[i + D];
      rows[i] = __builtin_shufflevector(above, below, ((Lane & D) != 0 ? kPartLanes + Lane - D : Lane)...);
      rows[i + D] =
          __builtin_shufflevector(above, below, ((Lane & D) != 0 ? kPartLanes + Lane : Lane + D)...);
    }
    exchange<D / 2>(rows, lanes);
  }
}

INLINE void transposeBlock(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn) {
  Words::Part rows[kPartLanes];
  for (int64_t i = 0; i < kPartLanes; ++i) std::memcpy(&rows[i], in + i * ldIn, sizeof rows[i]);
  exchange<kPartLanes / 2>(rows, std::make_index_sequence<kPartLanes>());
  for (int64_t i = 0; i < kPartLanes; ++i) std::memcpy(out + i * ldOut, &rows[i], sizeof rows[i]);
}

template <typename T>
INLINE void addOf(float* sum, const T* x, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    storeLanes(sum + j, loadLanes(sum + j, lanes) + loadLanes(x + j, lanes), lanes);
  });
}

template <typename T>
INLINE void scaleOf(T* out, const float* x, float factor, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes)
                       BODY { storeLanes(out + j, loadLanes(x + j, lanes) * factor, lanes); });
}

template <typename T>
INLINE float dotOf(const T* a, const T* b, int64_t n) {
  Floats sum;
  forEachVector(
      n, [&](int64_t j, int64_t lanes) BODY { sum += loadLanes(a + j, lanes) * loadLanes(b + j, lanes); });
  return sumOf(sum);
}

template <typename T>
INLINE void addBiasOf(T* out, const float* x, const float* bias, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    storeLanes(out + j, loadLanes(x + j, lanes) + loadLanes(bias + j, lanes), lanes);
  });
}

// Phi(z) and its derivative, which is the normal density. The tail is half of erfc(|z| / sqrt(2)) by
// Abramowitz and Stegun 7.1.26, off by 0.8e-7 at most.
struct Normal {
  Floats distribution, density;

  INLINE explicit Normal(const Floats& z) {
    const Floats x = fromBits(bitsOf(z) & 0x7fffffffu) * 0.70710678118f;
    const Floats t = 1.0f / (1.0f + 0.3275911f * x);
    Floats p = t * (0.5f * 1.061405429f) - 0.5f * 1.453152027f;
    p = p * t + 0.5f * 1.421413741f;
    p = p * t - 0.5f * 0.284496736f;
    p = p * t + 0.5f * 0.254829592f;
    const Floats e = exp(-0.5f * z * z);
    const Floats tail = p * t * e;
    distribution = select(z < 0.0f, tail, 1.0f - tail);
    density = e * 0.39894228040f;
  }
};

template <typename T>
INLINE void geluOf(T* y, const T* z, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats value = loadLanes(z + j, lanes);
    storeLanes(y + j, value * Normal(value).distribution, lanes);
  });
}

template <typename T>
INLINE void geluBackwardOf(T* dZ, const T* dY, const T* z, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats value = loadLanes(z + j, lanes);
    const Normal normal(value);
    const Floats gradient = loadLanes(dY + j, lanes) * (normal.distribution + value * normal.density);
    storeLanes(dZ + j, gradient, lanes);
  });
}

template <typename T>
INLINE void gatedGeluOf(T* y, const T* z, const T* gate, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats value = loadLanes(z + j, lanes);
    storeLanes(y + j, value * Normal(value).distribution * loadLanes(gate + j, lanes), lanes);
  });
}

template <typename T>
INLINE void gatedGeluBackwardOf(T* dZ, T* dGate, const T* dY, const T* z, const T* gate, int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats value = loadLanes(z + j, lanes), gradient = loadLanes(dY + j, lanes);
    const Normal normal(value);
    const Floats slope = normal.distribution + value * normal.density;
    storeLanes(dZ + j, gradient * loadLanes(gate + j, lanes) * slope, lanes);
    storeLanes(dGate + j, gradient * value * normal.distribution, lanes);
  });
}

// `direction` is 1, or -1 for the way back.
template <typename T>
INLINE void rotateOf(T* out, const T* x, const float* cosines, const float* sines, int64_t half,
                     float direction) {
  forEachVector(half, [&](int64_t j, int64_t lanes) BODY {
    const Floats cosine = loadLanes(cosines + j, lanes), sine = loadLanes(sines + j, lanes) * direction;
    const Floats low = loadLanes(x + j, lanes), high = loadLanes(x + half + j, lanes);
    storeLanes(out + j, low * cosine - high * sine, lanes);
    storeLanes(out + half + j, high * cosine + low * sine, lanes);
  });
}

template <typename T>
INLINE float normOf(float* out, T* normalized, const float* x, const Norm& norm, int64_t n) {
  const auto count = static_cast<float>(n);
  Floats sums;
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY { sums += loadLanes(x + j, lanes); });
  const float mean = sumOf(sums) / count;
  Floats squares;
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats distance = onlyFirst(loadLanes(x + j, lanes) - mean, lanes);
    squares += distance * distance;
  });
  const float inverseDeviation = 1.0f / std::sqrt(sumOf(squares) / count + norm.epsilon);
  const auto write = [&](const auto& keep) BODY {
    forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
      const Floats value = (loadLanes(x + j, lanes) - mean) * inverseDeviation;
      keep(j, value, lanes);
      storeLanes(out + j, value * loadLanes(norm.weight + j, lanes) + loadLanes(norm.bias + j, lanes), lanes);
    });
  };
  if (normalized == nullptr)
    write([](int64_t, const Floats&, int64_t) BODY {});
  else
    write([normalized](int64_t j, const Floats& value, int64_t lanes)
              BODY { storeLanes(normalized + j, value, lanes); });
  return inverseDeviation;
}

template <typename T>
INLINE void scaleNormalizedOf(T* out, const T* normalized, const float* weight, const float* bias,
                              int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats value = loadLanes(normalized + j, lanes);
    storeLanes(out + j, value * loadLanes(weight + j, lanes) + loadLanes(bias + j, lanes), lanes);
  });
}

INLINE void grow(float* sum, const Floats& by, int64_t lanes) {
  storeLanes(sum, loadLanes(sum, lanes) + by, lanes);
}

template <typename T>
INLINE void dropoutBackwardOf(T* dX, float* dBias, const float* dOut, int64_t n, const Mask& mask,
                              int64_t row) {
  withMaskRow(mask, row, [&](const auto& maskRow) BODY {
    forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
      const Floats dropped = loadLanes(dOut + j, lanes) * maskRow.factors(j);
      storeLanes(dX + j, dropped, lanes);
      grow(dBias + j, dropped, lanes);
    });
  });
}

// store(first, gradient of what was normalized, lanes), vector by vector.
template <typename T, typename Store>
INLINE void normBackwardOf(const NormSums& sums, const float* dOut, const T* normalized, const float* weight,
                           float inverseDeviation, int64_t n, const Store& store) {
  Floats means, projections;
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats gradient = loadLanes(dOut + j, lanes) * loadLanes(weight + j, lanes);
    means += gradient;
    projections += gradient * loadLanes(normalized + j, lanes);
  });
  const float mean = sumOf(means) / static_cast<float>(n);
  const float projection = sumOf(projections) / static_cast<float>(n);
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats dY = loadLanes(dOut + j, lanes), value = loadLanes(normalized + j, lanes);
    store(j, inverseDeviation * (dY * loadLanes(weight + j, lanes) - mean - value * projection), lanes);
    grow(sums.weight + j, dY * value, lanes);
    grow(sums.bias + j, dY, lanes);
  });
}

template <typename T>
INLINE void addNormBackwardOf(float* dSum, T* dX, const NormSums& sums, const float* dOut,
                              const float* dSumAdded, const T* normalized, const float* weight,
                              float inverseDeviation, int64_t n, const Mask& mask, int64_t row) {
  const auto compute = [&](const auto& added) BODY {
    withMaskRow(mask, row, [&](const auto& maskRow) BODY {
      normBackwardOf(sums, dOut, normalized, weight, inverseDeviation, n,
                     [&](int64_t j, const Floats& ofNorm, int64_t lanes) BODY {
                       const Floats gradient = added(j, ofNorm, lanes);
                       const Floats dropped = gradient * maskRow.factors(j);
                       storeLanes(dSum + j, gradient, lanes);
                       storeLanes(dX + j, dropped, lanes);
                       grow(sums.linearBias + j, dropped, lanes);
                     });
    });
  };
  if (dSumAdded == nullptr)
    compute([](int64_t, const Floats& gradient, int64_t) BODY { return gradient; });
  else
    compute([dSumAdded](int64_t j, const Floats& gradient, int64_t lanes)
                BODY { return gradient + loadLanes(dSumAdded + j, lanes); });
}

template <typename T>
INLINE void normBackwardAloneOf(float* dSum, const NormSums& sums, const float* dOut, const T* normalized,
                                const float* weight, float inverseDeviation, int64_t n) {
  normBackwardOf(sums, dOut, normalized, weight, inverseDeviation, n,
                 [&](int64_t j, const Floats& gradient, int64_t lanes)
                     BODY { storeLanes(dSum + j, gradient, lanes); });
}

// The keys of one query, vector by vector: body(first key, its place, lanes).
template <typename Body>
INLINE void forEachKey(int64_t keys, int64_t stride, const Body& body) {
  for (int64_t first = 0; first < keys; first += kPanel)
    forEachVector(keys - first < kPanel ? keys - first : kPanel, [&](int64_t j, int64_t lanes) BODY {
      body(first + j, first / kPanel * stride + j, lanes);
    });
}

template <typename T>
INLINE SoftmaxSums expDropoutOf(T* out, const float* scores, int64_t first, int64_t keys, int64_t stride,
                                float scale, const Mask& mask, int64_t row) {
  Floats most = -std::numeric_limits<float>::infinity();
  forEachKey(keys, stride, [&](int64_t, int64_t place, int64_t lanes) BODY {
    // Rows are whole panels: there is something behind the last key, which must not count.
    const Floats values = load(scores + place);
    const Floats larger = select(values > most, values, most);
    most = select(laneNumbers() < static_cast<uint32_t>(lanes), larger, most);
  });
  const float largest = largestOf(most);
  Floats sums;
  withMaskRow(mask, row, [&](const auto& maskRow) BODY {
    forEachKey(keys, stride, [&](int64_t column, int64_t place, int64_t lanes) BODY {
      Floats e = exp((load(scores + place) - largest) * scale);
      if (lanes < kLanes) e = onlyFirst(e, lanes);
      sums += e;
      store(out + place, maskRow.kept(e, first + column));
    });
  });
  const float sum = sumOf(sums);
  return {sum, largest * scale + std::log(sum)};
}

struct Backward {
  Floats dropped, dScores;
};

// 16 keys of one query.
template <typename Row>
INLINE Backward backwardOf(const float* scores, const float* dProbabilities, float scale,
                           const QueryBack& query, const Row& maskRow, int64_t first, int64_t lanes) {
  // Above 0 by rounding only, which of scores beyond all reason would be far; NaN stays.
  const Floats exponent = load(scores) * scale - query.logSum;
  Floats p = exp(select(exponent > 0.0f, Floats(), exponent));
  if (lanes < kLanes) p = onlyFirst(p, lanes);
  Floats dP = load(dProbabilities);
  if (lanes < kLanes) dP = onlyFirst(dP, lanes);
  const Floats kept = maskRow.factors(first);
  return {p * kept, p * (dP * kept - query.delta)};
}

// The first of the largest logits is found again where a larger one came: of a vocabulary, a few times a row.
INLINE void addLogitsOf(LogitSums& sums, const float* x, const float* bias, int64_t first, int64_t n) {
  const float lowest = -std::numeric_limits<float>::infinity();
  Floats most = lowest;
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats values = loadLanes(x + j, lanes) + loadLanes(bias + j, lanes);
    const Floats larger = select(values > most, values, most);
    most = lanes == kLanes ? larger : select(laneNumbers() < static_cast<uint32_t>(lanes), larger, most);
  });
  const float largest = largestOf(most);
  if (largest > sums.largest || sums.largestPlace < 0) {
    int64_t place = 0;
    while (place + 1 < n && x[place] + bias[place] != largest) ++place;
    sums.largestPlace = first + place;
    sums.sum = sums.sum == 0 ? 0 : sums.sum * std::exp(sums.largest - largest);
    sums.largest = largest;
  }
  Floats total;
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    const Floats e = exp(loadLanes(x + j, lanes) + loadLanes(bias + j, lanes) - sums.largest);
    total += lanes == kLanes ? e : onlyFirst(e, lanes);
  });
  sums.sum += sumOf(total);
}

template <typename T>
INLINE void softmaxGradientOf(T* out, const float* x, const float* bias, float logSum, float factor,
                              int64_t n) {
  forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
    // Above 0 by rounding only; NaN stays.
    const Floats exponent = loadLanes(x + j, lanes) + loadLanes(bias + j, lanes) - logSum;
    storeLanes(out + j, exp(select(exponent > 0.0f, Floats(), exponent)) * factor, lanes);
  });
}

class Variant final : public RowKernels {
 public:
  using RowKernels::narrow;

  void narrow(c10::BFloat16* out, const float* x, int64_t n) const override {
    forEachVector(
        n, [&](int64_t j, int64_t lanes) BODY { storeLanes(out + j, loadLanes(x + j, lanes), lanes); });
  }
  void interleave(uint32_t* out, const c10::BFloat16* first, const c10::BFloat16* second,
                  int64_t n) const override {
    interleaveOf(out, first, second, n);
  }

  void interleave(uint32_t* out, const float* first, const float* second, int64_t n) const override {
    interleaveOf(out, first, second, n);
  }

  void transpose(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn, int64_t rows,
                 int64_t columns) const override {
    const int64_t wholeRows = rows / kPartLanes * kPartLanes,
                  wholeColumns = columns / kPartLanes * kPartLanes;
    for (int64_t i = 0; i < wholeRows; i += kPartLanes)
      for (int64_t j = 0; j < wholeColumns; j += kPartLanes)
        transposeBlock(out + j * ldOut + i, ldOut, in + i * ldIn + j, ldIn);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = i < wholeRows ? wholeColumns : 0; j < columns; ++j)
        std::memcpy(out + j * ldOut + i, in + i * ldIn + j, sizeof *out);  // words of any type
  }
  void add(float* sum, const float* x, int64_t n) const override { addOf(sum, x, n); }

  void add(float* sum, const c10::BFloat16* x, int64_t n) const override { addOf(sum, x, n); }

  void scale(float* out, const float* x, float factor, int64_t n) const override {
    scaleOf(out, x, factor, n);
  }

  void scale(c10::BFloat16* out, const float* x, float factor, int64_t n) const override {
    scaleOf(out, x, factor, n);
  }

  float dot(const float* a, const float* b, int64_t n) const override { return dotOf(a, b, n); }

  float dot(const c10::BFloat16* a, const c10::BFloat16* b, int64_t n) const override {
    return dotOf(a, b, n);
  }

  void addBias(float* out, const float* x, const float* bias, int64_t n) const override {
    addBiasOf(out, x, bias, n);
  }

  void addBias(c10::BFloat16* out, const float* x, const float* bias, int64_t n) const override {
    addBiasOf(out, x, bias, n);
  }

  void gelu(float* y, const float* z, int64_t n) const override { geluOf(y, z, n); }

  void gelu(c10::BFloat16* y, const c10::BFloat16* z, int64_t n) const override { geluOf(y, z, n); }

  void geluBackward(float* dZ, const float* dY, const float* z, int64_t n) const override {
    geluBackwardOf(dZ, dY, z, n);
  }

  void geluBackward(c10::BFloat16* dZ, const c10::BFloat16* dY, const c10::BFloat16* z,
                    int64_t n) const override {
    geluBackwardOf(dZ, dY, z, n);
  }

  void gatedGelu(float* y, const float* z, const float* gate, int64_t n) const override {
    gatedGeluOf(y, z, gate, n);
  }

  void gatedGelu(c10::BFloat16* y, const c10::BFloat16* z, const c10::BFloat16* gate,
                 int64_t n) const override {
    gatedGeluOf(y, z, gate, n);
  }

  void gatedGeluBackward(float* dZ, float* dGate, const float* dY, const float* z, const float* gate,
                         int64_t n) const override {
    gatedGeluBackwardOf(dZ, dGate, dY, z, gate, n);
  }

  void gatedGeluBackward(c10::BFloat16* dZ, c10::BFloat16* dGate, const c10::BFloat16* dY,
                         const c10::BFloat16* z, const c10::BFloat16* gate, int64_t n) const override {
    gatedGeluBackwardOf(dZ, dGate, dY, z, gate, n);
  }

  void rotate(float* out, const float* x, const float* cosines, const float* sines,
              int64_t half) const override {
    rotateOf(out, x, cosines, sines, half, 1.0f);
  }

  void rotate(c10::BFloat16* out, const c10::BFloat16* x, const float* cosines, const float* sines,
              int64_t half) const override {
    rotateOf(out, x, cosines, sines, half, 1.0f);
  }

  void rotateBack(float* out, const float* x, const float* cosines, const float* sines,
                  int64_t half) const override {
    rotateOf(out, x, cosines, sines, half, -1.0f);
  }

  void dropoutAdd(float* out, const float* x, const float* residual, int64_t n, const Mask& mask,
                  int64_t row) const override {
    withMaskRow(mask, row, [&](const auto& maskRow) BODY {
      forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
        const Floats added = residual == nullptr ? Floats() : loadLanes(residual + j, lanes);
        storeLanes(out + j, loadLanes(x + j, lanes) * maskRow.factors(j) + added, lanes);
      });
    });
  }

  void addBiasDropoutAdd(float* out, const float* x, const float* bias, const float* residual, int64_t n,
                         const Mask& mask, int64_t row) const override {
    withMaskRow(mask, row, [&](const auto& maskRow) BODY {
      forEachVector(n, [&](int64_t j, int64_t lanes) BODY {
        const Floats product = loadLanes(x + j, lanes) + loadLanes(bias + j, lanes);
        storeLanes(out + j, product * maskRow.factors(j) + loadLanes(residual + j, lanes), lanes);
      });
    });
  }

  void dropoutBackward(float* dX, float* dBias, const float* dOut, int64_t n, const Mask& mask,
                       int64_t row) const override {
    dropoutBackwardOf(dX, dBias, dOut, n, mask, row);
  }

  void dropoutBackward(c10::BFloat16* dX, float* dBias, const float* dOut, int64_t n, const Mask& mask,
                       int64_t row) const override {
    dropoutBackwardOf(dX, dBias, dOut, n, mask, row);
  }

  float norm(float* out, float* normalized, const float* x, const Norm& norm, int64_t n) const override {
    return normOf(out, normalized, x, norm, n);
  }

  float norm(float* out, c10::BFloat16* normalized, const float* x, const Norm& norm,
             int64_t n) const override {
    return normOf(out, normalized, x, norm, n);
  }

  void scaleNormalized(float* out, const float* normalized, const float* weight, const float* bias,
                       int64_t n) const override {
    scaleNormalizedOf(out, normalized, weight, bias, n);
  }

  void scaleNormalized(c10::BFloat16* out, const c10::BFloat16* normalized, const float* weight,
                       const float* bias, int64_t n) const override {
    scaleNormalizedOf(out, normalized, weight, bias, n);
  }

  void addNormBackward(float* dSum, float* dX, const NormSums& sums, const float* dOut,
                       const float* dSumAdded, const float* normalized, const float* weight,
                       float inverseDeviation, int64_t n, const Mask& mask, int64_t row) const override {
    addNormBackwardOf(dSum, dX, sums, dOut, dSumAdded, normalized, weight, inverseDeviation, n, mask, row);
  }

  void addNormBackward(float* dSum, c10::BFloat16* dX, const NormSums& sums, const float* dOut,
                       const float* dSumAdded, const c10::BFloat16* normalized, const float* weight,
                       float inverseDeviation, int64_t n, const Mask& mask, int64_t row) const override {
    addNormBackwardOf(dSum, dX, sums, dOut, dSumAdded, normalized, weight, inverseDeviation, n, mask, row);
  }

  void normBackward(float* dSum, const NormSums& sums, const float* dOut, const float* normalized,
                    const float* weight, float inverseDeviation, int64_t n) const override {
    normBackwardAloneOf(dSum, sums, dOut, normalized, weight, inverseDeviation, n);
  }

  void normBackward(float* dSum, const NormSums& sums, const float* dOut, const c10::BFloat16* normalized,
                    const float* weight, float inverseDeviation, int64_t n) const override {
    normBackwardAloneOf(dSum, sums, dOut, normalized, weight, inverseDeviation, n);
  }

  SoftmaxSums expDropout(float* out, const float* scores, int64_t first, int64_t keys, int64_t stride,
                         float scale, const Mask& mask, int64_t row) const override {
    return expDropoutOf(out, scores, first, keys, stride, scale, mask, row);
  }

  SoftmaxSums expDropout(c10::BFloat16* out, const float* scores, int64_t first, int64_t keys, int64_t stride,
                         float scale, const Mask& mask, int64_t row) const override {
    return expDropoutOf(out, scores, first, keys, stride, scale, mask, row);
  }

  void softmaxBackward(c10::BFloat16* dScores, c10::BFloat16* dScorePairs, c10::BFloat16* dropped,
                       const float* scores, const float* dProbabilities, int64_t first, int64_t keys,
                       float scale, const Mask& mask, const QueryBack queries[2]) const override {
    auto* dScoreWords = reinterpret_cast<uint32_t*>(dScorePairs);
    auto* droppedWords = reinterpret_cast<uint32_t*>(dropped);
    const QueryBack a = queries[0], b = queries[1];  // copies: a store could change what pointers lead to
    withMask(mask, [&](const auto& rowOf) BODY {
      const auto rowA = rowOf(a.key), rowB = rowOf(b.key);
      forEachVector(keys, [&](int64_t j, int64_t lanes) BODY {
        const Backward one = backwardOf(scores + j, dProbabilities + j, scale, a, rowA, first + j, lanes);
        const Backward two =
            backwardOf(scores + kPanel + j, dProbabilities + kPanel + j, scale, b, rowB, first + j, lanes);
        const Halves low = rounded(one.dScores), high = rounded(two.dScores);
        store(dScores + j, low);
        store(dScores + kPanel + j, high);
        store(dScoreWords + j, pairsOf(low, high));
        store(droppedWords + j, pairsOf(rounded(one.dropped), rounded(two.dropped)));
      });
    });
  }

  void softmaxBackward(float* dScores, float*, float* dropped, const float* scores,
                       const float* dProbabilities, int64_t first, int64_t keys, float scale,
                       const Mask& mask, const QueryBack queries[2]) const override {
    withMask(mask, [&](const auto& rowOf) BODY {
      for (int64_t row = 0; row < 2; ++row) {
        const QueryBack query = queries[row];
        const auto maskRow = rowOf(query.key);
        forEachVector(keys, [&](int64_t j, int64_t lanes) BODY {
          const int64_t place = row * kPanel + j;
          const Backward back =
              backwardOf(scores + place, dProbabilities + place, scale, query, maskRow, first + j, lanes);
          store(dropped + place, back.dropped);
          store(dScores + place, back.dScores);
        });
      }
    });
  }

  void addLogits(LogitSums& sums, const float* x, const float* bias, int64_t first,
                 int64_t n) const override {
    addLogitsOf(sums, x, bias, first, n);
  }
  void softmaxGradient(float* out, const float* x, const float* bias, float logSum, float factor,
                       int64_t n) const override {
    softmaxGradientOf(out, x, bias, logSum, factor, n);
  }
  void softmaxGradient(c10::BFloat16* out, const float* x, const float* bias, float logSum, float factor,
                       int64_t n) const override {
    softmaxGradientOf(out, x, bias, logSum, factor, n);
  }
};

}  // namespace

const RowKernels& rowKernels() {
  static const Variant variant;
  return variant;
}

}  // namespace bertune::BERTUNE_VARIANT

#endif
