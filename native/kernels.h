// CPU row kernels: plain loops that the compiler vectorises, in one version for each instruction set.
// The version is picked when the addon is loaded, so nothing assumes the machine that built it.
#pragma once

#include "random.h"

namespace bertune::kernels {

// out = dropout(x) + residual; residual may be null.
void dropoutAdd(float* out, const float* x, const float* residual, int64_t n, const Mask& mask, int64_t row);

// scores -> dropout(softmax(scores)) in place; returns log(sum(exp(scores))).
float softmaxDropout(float* scores, int64_t n, const Mask& mask, int64_t row);

// Recomputes p = exp(scores - logSum) and its mask, then in place
// scores -> dropout(p), and dProbabilities -> p * (dropout(dProbabilities) - delta).
void softmaxDropoutBackward(float* scores, float* dProbabilities, int64_t n, float logSum, float delta,
                            const Mask& mask, int64_t row);

}  // namespace bertune::kernels
