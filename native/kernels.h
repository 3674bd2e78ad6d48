// CPU row kernels: plain loops that the compiler vectorises, in one version for each instruction set.
// The version is picked when the addon is loaded, so nothing assumes the machine that built it.
#pragma once

#include <c10/util/BFloat16.h>

#include "random.h"

namespace bertune::kernels {

void widen(float* out, const c10::BFloat16* x, int64_t n);
void narrow(c10::BFloat16* out, const float* x, int64_t n);  // to the nearest, ties to even

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

// scores -> dropout(softmax(scores)) in place; returns log(sum(exp(scores))).
float softmaxDropout(float* scores, int64_t n, const Mask& mask, int64_t row);

// Recomputes p = exp(scores - logSum) and its mask, then in place
// scores -> dropout(p), and dProbabilities -> p * (dropout(dProbabilities) - delta).
void softmaxDropoutBackward(float* scores, float* dProbabilities, int64_t n, float logSum, float delta,
                            const Mask& mask, int64_t row);

}  // namespace bertune::kernels
