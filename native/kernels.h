// CPU row kernels in the vectors of vectors.h, in one version for each instruction set.
// The version is picked when the addon is loaded, so nothing assumes the machine that built it.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>

#include "random.h"

namespace bertune::kernels {

void narrow(c10::BFloat16* out, const float* x, int64_t n);  // to the nearest, ties to even
inline void narrow(float* out, const float* x, int64_t n) { std::copy_n(x, n, out); }

// out[i] = first[i] | second[i] << 16 as bfloat16; no `second` is zeros.
void interleave(uint32_t* out, const c10::BFloat16* first, const c10::BFloat16* second, int64_t n);
void interleave(uint32_t* out, const float* first, const float* second, int64_t n);

// out[j * ldOut + i] = in[i * ldIn + j] for i < rows, j < columns.
void transpose(uint32_t* out, int64_t ldOut, const uint32_t* in, int64_t ldIn, int64_t rows, int64_t columns);

// sum += x.
void add(float* sum, const float* x, int64_t n);
void add(float* sum, const c10::BFloat16* x, int64_t n);

// out = (x * factor) rounded.
void scale(float* out, const float* x, float factor, int64_t n);
void scale(c10::BFloat16* out, const float* x, float factor, int64_t n);

float dot(const float* a, const float* b, int64_t n);
float dot(const c10::BFloat16* a, const c10::BFloat16* b, int64_t n);

// out = (x + bias) rounded.
void addBias(float* out, const float* x, const float* bias, int64_t n);
void addBias(c10::BFloat16* out, const float* x, const float* bias, int64_t n);

// z = (x + bias) rounded, y = gelu(z) = z * Phi(z) with Phi the normal distribution (Hendrycks, Gimpel 2016).
void addBiasGelu(float* z, float* y, const float* x, const float* bias, int64_t n);
void addBiasGelu(c10::BFloat16* z, c10::BFloat16* y, const float* x, const float* bias, int64_t n);

// dZ = dY * gelu'(z), and sum += dZ; dZ may be dY.
void geluBackward(float* dZ, float* sum, const float* dY, const float* z, int64_t n);
void geluBackward(c10::BFloat16* dZ, float* sum, const c10::BFloat16* dY, const c10::BFloat16* z, int64_t n);

// out = dropout(x) + residual; residual may be null.
void dropoutAdd(float* out, const float* x, const float* residual, int64_t n, const Mask& mask, int64_t row);

struct Norm {
  const float* weight;
  const float* bias;
  float epsilon;
};

// out = LayerNorm(dropout(x + bias) + residual). `normalized` receives what LayerNorm's weight multiplies.
// Returns LayerNorm's 1 / standard deviation.
float addNorm(float* out, float* normalized, const float* x, const float* bias, const float* residual,
              const Norm& norm, int64_t n, const Mask& mask, int64_t row);

// Where a block of rows adds up the gradients of what all rows share.
struct NormSums {
  float* weight;
  float* bias;
  float* linearBias;
};

// The backward pass of addNorm: dSum is the gradient of the residual, dX that of x; `sums` grow.
void addNormBackward(float* dSum, float* dX, const NormSums& sums, const float* dOut, const float* normalized,
                     const float* weight, float inverseDeviation, int64_t n, const Mask& mask, int64_t row);
void addNormBackward(float* dSum, c10::BFloat16* dX, const NormSums& sums, const float* dOut,
                     const float* normalized, const float* weight, float inverseDeviation, int64_t n,
                     const Mask& mask, int64_t row);

// Attention sees the keys of a sequence in panels of kPanel, and so has its scores: those of one query are
// kPanel values in each panel, the panels `stride` apart.
constexpr int64_t kPanel = 64;

struct SoftmaxSums {
  float sum;     // of exp(scale * (score - largest score))
  float logSum;  // log(sum(exp(scale * score)))
};

// out = exp(scale * (score - largest score)) of the keys that dropout keeps, and 0 of the others and up to a
// multiple of 16. Softmax with dropout is that times mask.scale / sum.
SoftmaxSums expDropout(float* out, const float* scores, int64_t keys, int64_t stride, float scale,
                       const Mask& mask, int64_t row);
SoftmaxSums expDropout(c10::BFloat16* out, const float* scores, int64_t keys, int64_t stride, float scale,
                       const Mask& mask, int64_t row);

// One query of the backward pass. Nothing asks a row of padding: its logSum is infinite.
struct QueryBack {
  float logSum, delta;
  RowKey key;
};

// Two queries and the keys [first, first + keys) of a panel, their rows kPanel apart: p = exp(scale * score -
// logSum) again, dropped = dropout(p) and dScores = p * (dropout(dProbabilities) - delta), 0 up to a multiple
// of 16. As bfloat16 `dropped` and `dScorePairs` are right-hand sides of products, [key][query]; as float32
// all are rows.
void softmaxBackward(c10::BFloat16* dScores, c10::BFloat16* dScorePairs, c10::BFloat16* dropped,
                     const float* scores, const float* dProbabilities, int64_t first, int64_t keys,
                     float scale, const Mask& mask, const QueryBack queries[2]);
void softmaxBackward(float* dScores, float* dScorePairs, float* dropped, const float* scores,
                     const float* dProbabilities, int64_t first, int64_t keys, float scale, const Mask& mask,
                     const QueryBack queries[2]);

}  // namespace bertune::kernels
